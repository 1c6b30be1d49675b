"""The one training loop: sample, update, log, evaluate, checkpoint. It knows no algorithm.

:func:`train` starts a run in a folder, :func:`resume` goes on with one, :func:`fit` runs the bare loop on a population.
"""

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prudent import checkpoint, envs, evaluate, loggers, report, runs, video
from prudent.allocator import keep_freed_memory
from prudent.config import from_json
from prudent.data import Dataset, load_dataset
from prudent.data.columns import check_bounds
from prudent.errors import ConfigError, PrudentError
from prudent.population import Member, Population, Scaling
from prudent.types import Metrics

INTERRUPTED = 130
"""Exit code of a run that a signal stopped after saving."""


@dataclass(frozen=True)
class Options:
    """How to train, apart from the algorithm's own settings."""

    steps: int = 100_000  # gradient steps in all
    env: str | None = None  # Gymnasium id to evaluate in; none evaluates nowhere
    log_every: int = 1_000  # steps between lines of metrics
    eval_every: int = 5_000  # steps between evaluations
    eval_episodes: int = 10  # episodes per evaluation and member
    checkpoint_every: int = 5_000  # steps between checkpoints
    keep: int = 3  # newest checkpoints to keep; the one with the best evaluation stays too
    video: bool = False  # record a GIF of the first member at each evaluation
    device: str = "auto"  # auto, cpu, cuda or mps
    threads: int | None = None  # CPU threads; none leaves it to PyTorch

    def __post_init__(self):
        for name in ("steps", "log_every", "eval_every", "eval_episodes", "checkpoint_every", "keep", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be 1 or more, got {value}")
        if self.video and self.env is None:
            raise ConfigError("video needs an environment to film: give env")


class Interrupted(PrudentError):
    """A signal asked the run to stop; it saved first."""


def choose_device(name: str) -> torch.device:
    """The device called ``name``; auto is the first of cuda, mps and cpu that is there.

    Raises:
        ConfigError: there is no such device on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, found in there.items() if found))
    kind = name.partition(":")[0]
    if kind not in there:
        raise ConfigError(f"device must be one of auto, cpu, cuda, mps, got {name!r}")
    if not there[kind]:
        raise ConfigError(f"device {name!r} is not available here; available: {', '.join(k for k in there if there[k])}")
    return torch.device(name)


def prepare_process(options: Options) -> torch.device:
    """Threads and allocator of this process, and the device to train on."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    return choose_device(options.device)


# --- runs in a folder -------------------------------------------------------------------------------------------------


def train(
    dataset: Dataset,
    algorithm: str,
    members: Sequence[Member],
    options: Options,
    out: Path | str,
    sources: Mapping[str, Any] | None = None,
) -> Population:
    """Train a population and leave a complete run folder at ``out``.

    ``sources`` are the arguments with which :func:`prudent.data.load_dataset` finds the dataset again; :func:`resume`
    needs them unless it is handed the dataset.

    Raises:
        ConfigError: the folder is taken, or data, settings and environment do not fit each other.
        Interrupted: a signal stopped the run, after saving.
    """
    device = prepare_process(options)
    if options.env is not None:
        envs.check_fits(options.env, dataset.spec)
        dataset = _with_bounds(dataset, options.env)
    config = members[0].config
    scaling = Scaling.fit(dataset, config.normalize_observations)
    population = Population(algorithm, members, dataset.spec, scaling, device)
    folder = runs.create(Path(out))
    settings = asdict(options) | {"sources": dict(sources) if sources else None}
    runs.write_json(folder / "config.json", runs.describe(population, dataset, settings))
    runs.write_json(folder / "environment.json", runs.environment(device))
    return _run_in_folder(population, dataset, options, folder, resumed=None)


def _with_bounds(dataset: Dataset, env_id: str) -> Dataset:
    """The dataset with the environment's action bounds where it declares none itself.

    Raises:
        DataError: an action lies outside them.
    """
    if dataset.spec.action_low is not None or dataset.spec.discrete:
        return dataset
    found = envs.spec_of(env_id)
    spec = replace(dataset.spec, action_low=found.action_low, action_high=found.action_high)
    check_bounds(dataset.action, spec, dataset.name)
    return replace(dataset, spec=spec)


def resume(folder: Path | str, steps: int | None = None, dataset: Dataset | None = None) -> Population:
    """Go on with the run in ``folder`` from its newest checkpoint that verifies, up to ``steps`` in all.

    Raises:
        PrudentError: the folder holds no run, no checkpoint verifies, or the dataset is not the one it was trained on.
    """
    folder = Path(folder)
    stored = runs.read_json(folder / "config.json")
    settings = dict(stored["train"])
    sources = settings.pop("sources", None)
    options = from_json(Options, settings)
    if steps is not None:
        options = replace(options, steps=steps)
    if dataset is None:
        if sources is None:
            raise ConfigError(f"{folder} was trained on a dataset that lived in memory: hand it to resume again")
        dataset = load_dataset(**sources)
    if dataset.fingerprint != stored["dataset"]["fingerprint"]:
        raise ConfigError(f"{folder} was trained on other data than {dataset.name} holds now (fingerprint differs)")
    device = prepare_process(options)
    population, extra, skipped = checkpoint.load(folder, str(device))
    if population.state.step >= options.steps:
        raise ConfigError(f"{folder} is already at step {population.state.step}: give more --steps to go on")
    runs.write_json(folder / "config.json", {**stored, "train": {**settings, "steps": options.steps, "sources": sources}})
    for reason in skipped:
        print(f"skipped a checkpoint: {reason}")
    return _run_in_folder(population, dataset, options, folder, resumed=extra)


def _run_in_folder(
    population: Population, dataset: Dataset, options: Options, folder: Path, resumed: dict[str, Tensor] | None
) -> Population:
    start = population.state.step if resumed is not None else None
    with ExitStack() as stack:
        log = stack.enter_context(loggers.available_loggers(folder, population.names, resume_at=start))
        progress = stack.enter_context(loggers.Progress(options.steps, start or 0))
        observer = _FolderObserver(population, options, folder, log, progress)
        observer.restore(resumed or {})
        observer.status("running")
        try:
            fit(population, dataset, options, observer)
        except Interrupted:
            observer.save()
            observer.status("interrupted", f"stopped by a signal; go on with --resume {folder}")
            raise
        except Exception as error:
            observer.status("failed", f"{type(error).__name__}: {error}")
            raise
        observer.finish()
    report.write_report(folder)
    return population


# --- the loop ---------------------------------------------------------------------------------------------------------


class Observer:
    """What happens around the steps; this one only averages metrics and forgets them."""

    def __init__(self) -> None:
        self.sums: Metrics = {}
        self.count = 0

    def began(self, metrics: Metrics) -> None:
        """Before the first step; ``metrics`` are those of the first values, if any were fitted."""

    def stepped(self, step: int, metrics: Metrics) -> None:
        """After each step. Sums stay on the device: nothing here waits for it."""
        for name, value in metrics.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1


def fit(population: Population, dataset: Dataset, options: Options, observer: Observer) -> None:
    """Train ``population`` until ``options.steps``, telling ``observer`` of every step.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the step under way was finished.
    """
    data, first_values = population.prepare(dataset)
    observer.began(first_values)
    with _stop_requests() as requests:
        while population.state.step < options.steps:
            metrics = population.step(data)
            observer.stepped(population.state.step, metrics)
            if requests:
                raise Interrupted(f"stopped by {signal.Signals(requests[0]).name} at step {population.state.step}")


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects the first SIGINT or SIGTERM; the second one acts as it always did."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def handle(number: int, _frame: Any) -> None:
        received.append(number)
        for other, handler in previous.items():
            signal.signal(other, handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    except ValueError:
        # Only the main thread may set handlers; a run in another thread is stopped by its owner.
        previous.clear()
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass
class _Clock:
    """Time spent in steps, evaluations and checkpoints left out."""

    began: float = field(default_factory=time.perf_counter)
    steps: int = 0

    def metrics(self) -> dict[str, float]:
        seconds = max(time.perf_counter() - self.began, 1e-9)
        return {"time/steps_per_second": self.steps / seconds, "time/ms_per_step": 1000 * seconds / max(self.steps, 1)}


class _FolderObserver(Observer):
    """Logs, evaluates and saves at the intervals asked for, and at the last step whatever the intervals."""

    def __init__(
        self,
        population: Population,
        options: Options,
        folder: Path,
        log: loggers.Logger,
        progress: loggers.Progress,
    ):
        super().__init__()
        self.population, self.options, self.folder, self.log, self.progress = population, options, folder, log, progress
        self.clock = _Clock()
        self.best: tuple[float, int] | None = None
        self.why_no_video: str | None = None

    def began(self, metrics: Metrics) -> None:
        if metrics:
            self.log.log(0, {f"train/{name}": value for name, value in metrics.items()})
            self.progress.say("critics start from Monte-Carlo returns")
        self.clock = _Clock()

    def stepped(self, step: int, metrics: Metrics) -> None:
        super().stepped(step, metrics)
        self.clock.steps += 1
        self.progress.update(step)
        last = step == self.options.steps

        def due(every: int) -> bool:
            return last or step % every == 0

        if due(self.options.log_every):
            self.flush(step)
        if self.options.env is not None and due(self.options.eval_every):
            self.evaluate(step)
        if due(self.options.checkpoint_every):
            self.save()
        if due(min(self.options.log_every, self.options.eval_every, self.options.checkpoint_every)):
            self.clock = _Clock()

    def flush(self, step: int) -> None:
        """Write the means of the metrics since the last time."""
        means = {f"train/{name}": total / self.count for name, total in self.sums.items()}
        line = means | self.clock.metrics()
        self.log.log(step, line)
        self.progress.log(step, line)
        self.sums, self.count = {}, 0

    def evaluate(self, step: int) -> None:
        """Run the policies, deterministic and sampled, and film one if asked to."""
        assert self.options.env is not None
        found = evaluate.evaluate_both(self.population, self.options.env, episodes=self.options.eval_episodes)
        line = evaluation_metrics(found)
        self.log.log(step, line)
        self.progress.log(step, line)
        summary = found.summary()
        runs.write_json(self.folder / "evaluation.json", {"step": step, **summary})
        mean = summary["overall"]["return_mean"]
        if mean is not None and (self.best is None or mean > self.best[0]):
            self.best = (mean, step)
        if self.options.video:
            self.film(step)

    def film(self, step: int) -> None:
        """Record the first member, or say once why there is no picture."""
        assert self.options.env is not None
        reason = self.why_no_video or video.why_not(self.options.env)
        if reason is None:
            path = self.folder / "videos" / f"step_{step}.gif"
            path.parent.mkdir(exist_ok=True)
            video.record(self.population, self.options.env, path)
        elif self.why_no_video is None:
            self.why_no_video = reason
            self.progress.say(f"no picture: {reason}")

    def save(self) -> None:
        """Write a checkpoint with the running sums, so that metrics go on without a gap."""
        extra = {f"sums.{name}": value for name, value in self.sums.items()}
        extra["count"] = torch.tensor(self.count)
        if self.best is not None:
            extra["best"] = torch.tensor(self.best, dtype=torch.float64)
        checkpoint.save(self.folder, self.population, extra, self.options.keep, self.best[1] if self.best else None)
        self.status("running")

    def restore(self, extra: dict[str, Tensor]) -> None:
        """The inverse of :meth:`save`, for what is the observer's own."""
        sums = {n.removeprefix("sums."): t for n, t in extra.items() if n.startswith("sums.")}
        self.sums = {name: t.to(self.population.device) for name, t in sums.items()}
        self.count = int(extra.get("count", torch.tensor(0)))
        if "best" in extra:
            value, step = extra["best"].tolist()
            self.best = (value, int(step))

    def status(self, state: str, message: str = "") -> None:
        """``status.json``: one line a person can read."""
        step = self.population.state.step
        text = message or f"{state}, step {step} of {self.options.steps}"
        runs.write_json(
            self.folder / "status.json", {"state": state, "step": step, "steps": self.options.steps, "message": text}
        )

    def finish(self) -> None:
        """Everything is written; say so."""
        self.status("finished")


def evaluation_metrics(found: evaluate.BothEvaluations) -> dict[str, list[float | None]]:
    """The ``eval/`` metrics of an evaluation, one figure per member."""
    both = found.summary()
    deterministic, merged = both["deterministic"]["members"], both["members"]
    stochastic = both["stochastic"]["members"]
    line = {
        "eval/return": [m["return_mean"] for m in deterministic.values()],
        "eval/return_std": [m["return_std"] for m in deterministic.values()],
        "eval/normalized_score": [m["normalized_score"] for m in deterministic.values()],
        "eval/return_stochastic": [m["return_mean"] for m in stochastic.values()],
        "eval/predicted_value": [m["predicted_value"] for m in merged.values()],
        "eval/realized_value": [m["realized_value"] for m in merged.values()],
        "eval/lower_bound_share": [m["lower_bound_share"] for m in merged.values()],
    }
    return {name: values for name, values in line.items() if any(v is not None for v in values)}

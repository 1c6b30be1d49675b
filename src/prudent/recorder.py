"""What a run leaves behind while it trains: metrics, evaluations, pictures, checkpoints, its status."""

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prudent import checkpoint, evaluate, evaluation, loggers, runs, video
from prudent.errors import PrudentError
from prudent.loop import Observer, Options
from prudent.population import Population
from prudent.progress import Progress
from prudent.types import Metrics


class Interrupted(PrudentError):  # noqa: N818 - being stopped is no error
    """A signal or the time limit asked the run to stop; it saves first."""


class Recorder(Observer):
    """Logs, evaluates and saves at the intervals asked for, and at the last step whatever the intervals.

    A number put into ``requests`` (of a signal) stops the run after the step under way, and so do ``max_minutes``.
    """

    def __init__(
        self,
        population: Population,
        options: Options,
        folder: Path,
        log: loggers.Logger,
        progress: Progress,
        requests: Sequence[int] = (),
    ):
        super().__init__()
        self.population, self.options, self.folder = population, options, folder
        self.log, self.progress, self.requests = log, progress, requests
        self.clock, self.began_at = _Clock(), time.monotonic()
        self.settings = evaluation.settings_of(population.names)
        self.best: tuple[float, int, int] | None = None  # mean return, step, index of the setting
        self.diverged: set[int] = set()
        self.no_pictures = False

    def began(self, metrics: Metrics) -> None:
        """Log how well the first values fit, and start the clock."""
        if metrics:
            # Names of their own: the loss of a supervised step is no point of the curve that follows.
            self.log.log(0, {f"init/{name}": value for name, value in sorted(metrics.items())})
            self.progress.say("critics start from Monte-Carlo returns")
        self.clock = _Clock()

    def stepped(self, step: int, metrics: Metrics) -> None:
        """Whatever is due.

        Raises:
            Interrupted: a signal arrived, or the time is up.
            PrudentError: no member has finite losses any more.
        """
        super().stepped(step, metrics)
        self.clock.steps += 1
        self.progress.update(step)
        options, last = self.options, step == self.options.steps
        if last or step % options.log_every == 0:
            self.flush(step)
        with self.clock.stopped():
            is_best = False
            if options.env is not None and (last or step % options.eval_every == 0):
                is_best = self.evaluate(step, options.env)
            if last or is_best or step % options.checkpoint_every == 0:
                self.save()
        if not last:
            self.heed_requests(step)

    def heed_requests(self, step: int) -> None:
        """Stop where a signal or the time limit asks for it.

        Raises:
            Interrupted: one does.
        """
        if self.requests:
            raise Interrupted(f"stopped by {signal.Signals(self.requests[0]).name} at step {step}")
        limit = self.options.max_minutes
        if limit is not None and time.monotonic() - self.began_at >= 60 * limit:
            raise Interrupted(f"stopped at step {step}, after the {limit:g} minutes of max_minutes")

    def flush(self, step: int) -> None:
        """Write the means of the metrics since the last time."""
        means = {f"train/{name}": mean.tolist() for name, mean in sorted(self.means().items())}
        line = means | self.clock.metrics()
        self.log.log(step, line)
        self.progress.log(step, line)
        self.clock = _Clock()
        # At a last step between two intervals the sums stay, so that a longer run goes on as if never ended.
        if step % self.options.log_every == 0:
            self.sums, self.counts = {}, {}
        self.status("running")
        self.check(step, means)

    def check(self, step: int, means: Mapping[str, Sequence[float]]) -> None:
        """Say which members have diverged, and stop when all have."""
        known = len(self.diverged)
        for name in ("train/critic_loss", "train/actor_loss"):
            for member, figure in enumerate(means.get(name, ())):
                if not math.isfinite(figure) and member not in self.diverged:
                    self.diverged.add(member)
                    self.progress.say(
                        f"{self.population.names[member]} has diverged by step {step}: {name} is {figure}"
                    )
        if len(self.diverged) == self.population.size > known:
            raise PrudentError(f"every member has diverged by step {step}: try smaller learning rates or reward_scale")

    def evaluate(self, step: int, env: str) -> bool:
        """Run the policies, deterministic and sampled, and film one if asked to; whether they are the best so far."""
        found = evaluate.evaluate_both(self.population, env, episodes=self.options.eval_episodes)
        line = evaluation_metrics(found)
        self.log.log(step, line)
        self.progress.log(step, line)
        summary = found.summary()
        is_best = self.is_best(step, [figures["return_mean"] for figures in summary["members"].values()])
        runs.write_json(self.folder / "evaluation.json", {"step": step, "best": self.best_so_far(), **summary})
        if self.options.video:
            self.film(step, env)
        return is_best

    def is_best(self, step: int, returns: Sequence[float | None]) -> bool:
        """Whether a setting's mean return over its seeds is higher than any was before; remembers it.

        A mean over settings would be that of no policy. A diverged member (None) leaves the others of its setting.
        """
        found: list[tuple[float, int]] = []
        for index, members in enumerate(self.settings.values()):
            finite = [value for member in members if (value := returns[member]) is not None]
            if finite:
                found.append((sum(finite) / len(finite), index))
        mean, setting = max(found, key=lambda pair: pair[0], default=(-math.inf, 0))
        if not found or (self.best is not None and mean <= self.best[0]):
            return False
        self.best = (mean, step, setting)
        return True

    def best_so_far(self) -> dict[str, Any] | None:
        """The best evaluation of this training, as ``evaluation.json`` has it."""
        if self.best is None:
            return None
        mean, step, setting = self.best
        return {"step": step, "return": mean, "setting": list(self.settings)[setting]}

    def film(self, step: int, env: str) -> None:
        """Record the first member, or say once why there is no picture."""
        if self.no_pictures:
            return
        reason = video.why_not(env)
        if reason is not None:
            self.progress.say(f"no picture: {reason}")
        path = self.folder / "videos" / f"step_{step}.gif"
        self.no_pictures = reason is not None or video.record(self.population, env, path) is None

    def save(self) -> None:
        """Write a checkpoint with the running sums, so that metrics go on without a gap."""
        extra = {f"sums.{name}": value for name, value in self.sums.items()}
        extra |= {f"counts.{name}": torch.tensor(count) for name, count in self.counts.items()}
        if self.best is not None:
            extra["best"] = torch.tensor(self.best, dtype=torch.float64)
        checkpoint.save(self.folder, self.population, extra, self.options.keep, self.best[1] if self.best else None)
        self.status("running")

    def restore(self, extra: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`save`, for what is the recorder's own."""
        for key, value in extra.items():
            kind, _, name = key.partition(".")
            if kind == "sums":
                self.sums[name] = value.to(self.population.device)
            elif kind == "counts":
                self.counts[name] = int(value)
        if "best" in extra:
            value, step, *setting = extra["best"].tolist()
            self.best = (value, int(step), int(setting[0]) if setting else 0)  # none in older checkpoints

    def status(self, state: str, message: str = "") -> None:
        """``status.json``: one line a person can read."""
        runs.write_status(self.folder, state, self.population.state.step, self.options.steps, message)


class _Clock:
    """Time spent in steps; evaluations and checkpoints are left out."""

    def __init__(self) -> None:
        self.began, self.steps = time.perf_counter(), 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.began += time.perf_counter() - before

    def metrics(self) -> dict[str, float]:
        seconds = max(time.perf_counter() - self.began, 1e-9)
        return {"time/steps_per_second": self.steps / seconds, "time/ms_per_step": 1000 * seconds / max(self.steps, 1)}


def evaluation_metrics(found: evaluation.BothEvaluations) -> dict[str, list[Any]]:
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

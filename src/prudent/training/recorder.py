"""What a run leaves behind while it trains: metrics, evaluations, pictures, checkpoints, its status."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from prudent import files
from prudent.engine.guard import Guard, Incident
from prudent.engine.loop import Observer
from prudent.engine.members import settings_of
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.errors import Interrupted, PrudentError, in_one_line
from prudent.evaluation import result, rollouts, video
from prudent.runs import checkpoint
from prudent.runs.folder import write_json
from prudent.runs.metrics import Logger
from prudent.runs.status import incidents, write_status
from prudent.training.progress import Progress
from prudent.types import Metrics, Totals

T = TypeVar("T")


class Recorder(Observer):
    """Logs, evaluates and saves at the intervals asked for, and at the last step whatever the intervals.

    A number put into ``requests`` (of a signal) stops the run after the step under way, and so do ``max_minutes``. What
    fails on the way and is not needed to train on (an evaluation, a file on a full disk) becomes an
    :class:`~prudent.engine.guard.Incident`.
    """

    def __init__(
        self,
        population: Population,
        options: Options,
        folder: Path,
        log: Logger,
        progress: Progress,
        guard: Guard,
        requests: Sequence[int] = (),
    ):
        super().__init__()
        self.population, self.options, self.folder = population, options, folder
        self.log, self.progress, self.guard, self.requests = log, progress, guard, requests
        self.clock, self.began_at, self.reached = _Clock(), time.monotonic(), population.state.step
        self.settings = settings_of(population.names)
        self.best: tuple[float, int, int] | None = None  # mean return, step, index of the setting
        self.incidents: list[dict[str, Any]] = []
        self.told: set[str] = set()
        self.no_pictures = False

    def say(self, told: str) -> None:
        """On the screen."""
        self.progress.say(told)

    def began(self, metrics: Metrics) -> None:
        """Log how well the first values fit, and start the clock."""
        if metrics:
            # Names of their own: the loss of a supervised step is no point of the curve that follows.
            self._log(0, {f"init/{name}": value for name, value in sorted(metrics.items())})
            self.progress.say("critics start from Monte-Carlo returns")
        self._guarded(self.guard.begin())
        self.clock = _Clock()

    def due(self, step: int) -> int:
        """The next step at which anything is written, or the last one."""
        options = self.options
        periods = [options.log_every, options.checkpoint_every]
        if options.env is not None:
            periods.append(options.eval_every)
        return min(options.steps, *(step - step % period + period for period in periods))

    def stepped(self, step: int, totals: Totals) -> None:
        """Whatever is due.

        Raises:
            Interrupted: a signal arrived, or the time is up.
            PrudentError: every member has diverged.
            OSError: the checkpoint of the last step could not be saved.
        """
        self.clock.steps += step - self.reached
        self.reached = step
        super().stepped(step, totals)
        self.progress.update(step)
        options, last = self.options, step == self.options.steps
        if last or step % options.log_every == 0:
            self.flush(step)
        with self.clock.stopped():
            is_best = False
            if options.env is not None and (last or step % options.eval_every == 0):
                is_best = self.evaluate(step, options.env)
            if last or is_best or step % options.checkpoint_every == 0:
                self.save(last)
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
            raise Interrupted(f"stopped at step {step}, after the {limit:.3g} minutes of max_minutes")

    def flush(self, step: int) -> None:
        """Write the means of the metrics since the last time."""
        means = {f"train/{name}": mean.tolist() for name, mean in sorted(self.totals.means().items())}
        line = means | self.clock.metrics()
        self._log(step, line)
        self.progress.log(step, self._without_stopped(line))
        self.clock = _Clock()
        self._guarded(self.guard.check({name.partition("/")[2]: figures for name, figures in means.items()}))
        # At a last step between two intervals the sums stay, so that a longer run goes on as if never ended.
        if step % self.options.log_every == 0:
            self.totals = Totals()
        self.status("running")

    def _without_stopped(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """A line of metrics of the members that still train, for the screen, which has room for a mean alone."""
        living = [member for member in range(self.population.size) if member not in self.guard.stopped]
        return {name: [v[m] for m in living] if isinstance(v, list) else v for name, v in line.items()}

    def _guarded(self, found: Sequence[Incident]) -> None:
        """Tell and record what the guard did, and end the run when no member is left.

        Raises:
            PrudentError: none is.
        """
        members = [self.population.names.index(incident.member) for incident in found if incident.member]
        for incident, member in zip(found, members, strict=True):
            self.happened(incident)
            # What a member was on its way out is no part of its averages.
            self.totals.sums = {name: _without(total, member) for name, total in self.totals.sums.items()}
        if not members:
            return
        stopped = [float(member in self.guard.stopped) for member in members]
        rollbacks = [float(self.guard.rollbacks[member]) for member in members]
        self._log(found[0].step, {"guard/stopped": stopped, "guard/rollbacks": rollbacks}, members)
        if len(self.guard.stopped) == self.population.size:
            raise PrudentError(
                f"every member has diverged by step {found[0].step}: try smaller learning rates or reward_scale"
            )

    def _log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        try:
            self.log.log(step, metrics, members)
        except OSError as error:
            self.happened(Incident(step, "metrics wait", files.error_text(error)))

    def attempt(self, kind: str, do: Callable[[], T]) -> T | None:
        """What ``do`` returns, or None and an incident of this kind: for what training can do without."""
        try:
            return do()
        except OSError as error:
            why = files.error_text(error)
        except PrudentError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - environments raise anything
            why = in_one_line(error, with_kind=True)
        self.happened(Incident(self.population.state.step, kind, why))
        return None

    def happened(self, incident: Incident) -> None:
        """Tell it, and keep it for ``status.json``: training goes on."""
        self.incidents.append(incident.plain())
        self.progress.say(str(incident) if incident.member else f"{incident}; training goes on")
        self.status("running")

    def evaluate(self, step: int, env: str) -> bool:
        """Run the policies, deterministic and sampled, and film one if asked to; whether they are the best so far."""
        found = self.attempt(
            "evaluation failed",
            lambda: rollouts.evaluate_both(self.population, env, episodes=self.options.eval_episodes),
        )
        if found is None:
            self._log(step, {"eval/failed": 1.0})
            return False
        line = evaluation_metrics(found)
        self._log(step, line)
        self.progress.log(step, line)
        summary = found.summary()
        is_best = self.is_best(step, [figures["return_mean"] for figures in summary["members"].values()])
        content = {"step": step, "best": self.best_so_far(), **summary}
        self.attempt("write failed", lambda: write_json(self.folder / "evaluation.json", content))
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

    def save(self, must: bool = False) -> None:
        """Write a checkpoint with the running sums, so that metrics go on without a gap.

        Where it cannot be written the next interval tries again, and earlier ones stay.

        Raises:
            OSError: it ``must`` be written, as there is no next interval, and could not.
        """
        extra = {f"sums.{name}": value for name, value in self.totals.sums.items()}
        extra |= {f"counts.{name}": torch.tensor(count) for name, count in self.totals.counts.items()}
        extra |= {f"guard.{name}": t for name, t in self.guard.tensors().items()}
        if self.best is not None:
            extra["best"] = torch.tensor(self.best, dtype=torch.float64)
        try:
            # First, for a checkpoint must not be ahead of the metrics: a resumed run would leave a gap.
            self.log.sync()
            checkpoint.save(self.folder, self.population, extra, self.options.keep, self._kept())
        except OSError as error:
            if must:
                raise
            self.happened(Incident(self.population.state.step, "save failed", files.error_text(error)))
        self.status("running")

    def _kept(self) -> set[int]:
        """Steps of checkpoints that stay: of the best evaluation, and the last ones with stopped members still well."""
        steps = [step for step, _ in checkpoint.steps(self.folder)] if self.guard.whole else []
        well = [[step for step in steps if step <= until] for until in self.guard.whole.values()]
        return {max(found) for found in well if found} | ({self.best[1]} if self.best else set())

    def restore(self, extra: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`save`, for what is the recorder's own."""
        self.guard.restore({key.removeprefix("guard."): t for key, t in extra.items() if key.startswith("guard.")})
        if extra:
            self.incidents = incidents(self.folder, self.population.state.step)
        for key, value in extra.items():
            kind, _, name = key.partition(".")
            if kind == "sums":
                self.totals.sums[name] = value.to(self.population.device)
            elif kind == "counts":
                self.totals.counts[name] = int(value)
        if "best" in extra:
            value, step, *setting = extra["best"].tolist()
            self.best = (value, int(step), int(setting[0]) if setting else 0)  # none in older checkpoints

    def status(self, state: str, message: str = "") -> None:
        """``status.json``: one line a person can read, and what went wrong on the way."""
        step = self.population.state.step
        try:
            write_status(self.folder, state, step, self.options.steps, message, self.incidents)
        except OSError as error:
            # Told once for each reason: it is tried again with every line of metrics.
            if (told := files.error_text(error)) not in self.told:
                self.told.add(told)
                self.progress.say(f"{told}; training goes on")


def _without(total: Tensor, member: int) -> Tensor:
    """A metric's sums (P,) with that of one member at zero; a copy, as the first sum is the algorithm's own tensor."""
    fresh = total.clone()
    fresh[member] = 0
    return fresh


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


def evaluation_metrics(found: result.BothEvaluations) -> dict[str, list[Any]]:
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

"""What a run writes while it trains: metrics, evaluations, checkpoints, status."""

import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from prudent import files
from prudent.engine.guard import Guard, Incident, weights_at_bound
from prudent.engine.loop import Observer
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.errors import Interrupted, PrudentError, in_one_line
from prudent.evaluation import result, rollouts
from prudent.runs import checkpoint
from prudent.runs.folder import write_json
from prudent.runs.metrics import Logger
from prudent.runs.status import incidents, write_status
from prudent.training.best_evaluation import BestEvaluation
from prudent.training.callbacks import Callbacks, Training
from prudent.training.film import Film
from prudent.training.progress import Progress
from prudent.training.step_clock import StepClock
from prudent.types import Metrics, Totals

T = TypeVar("T")


class Recorder(Observer):
    """Logs, evaluates and saves at the intervals of the options, and always at the last step.

    The number of a signal in ``requests`` stops the run after the current step; so does ``max_minutes``. A failure
    that training can do without (an evaluation, a file on a full disk) becomes an
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
        callbacks: Sequence[Any] = (),
    ):
        super().__init__()
        self.callbacks = Callbacks(callbacks, Training(population, options.steps, folder))
        self._written: dict[str, int] = {}  # what was last logged, evaluated and saved at which step
        self.population, self.options, self.folder = population, options, folder
        self.log, self.progress, self.guard, self.requests = log, progress, guard, requests
        self.clock, self.began_at, self.reached = StepClock(), time.monotonic(), population.state.step
        self.best, self.film = BestEvaluation(population.names), Film(population, folder, self.say)
        self.incidents: list[dict[str, Any]] = []
        self._status_errors: set[str] = set()

    def say(self, message: str) -> None:
        """Print a line."""
        self.progress.say(message)

    def began(self, metrics: Metrics) -> None:
        """Log how well the first values fit, and start the clock."""
        if metrics:
            # Names of their own: the loss of a supervised step is no point of the curve that follows.
            self._log(0, {f"init/{name}": value for name, value in sorted(metrics.items())})
            self.progress.say("critics start from Monte-Carlo returns")
        self._handle(self.guard.begin())
        self.callbacks.call("began")
        self._stop_if_asked()
        self.clock = StepClock()

    def begin_with_evaluation(self) -> None:
        """Evaluate the policies that training goes on from, once, so that the curve begins with them."""
        if self.options.env is not None and self.best.step is None:
            self.evaluate(self.population.state.step, self.options.env)
            self.save()

    def due(self, step: int) -> int:
        """The next step at which something is written, or the last step."""
        options = self.options
        periods = [options.log_every, options.checkpoint_every]
        if options.env is not None:
            periods.append(options.eval_every)
        return min(options.steps, *(step - step % period + period for period in periods))

    def stepped(self, step: int, totals: Totals) -> None:
        """Write what is due.

        Raises:
            Interrupted: a signal arrived, or the time is up.
            PrudentError: every member has diverged.
            OSError: the checkpoint of the last step could not be saved.
        """
        self.clock.steps += step - self.reached
        self.reached = step
        super().stepped(step, totals)
        self.progress.update(step)
        last = step == self.options.steps
        self._write_due(step, last)
        self._stop_if_asked()
        if not (last or self.stopped):
            self.heed_requests(step)

    def _write_due(self, step: int, last: bool) -> None:
        """Log, evaluate and save, each if it is due or this is the ``last`` step, and once at each step."""
        options, is_best = self.options, False
        if self.clock.steps and _is_due(self._written, "log", options.log_every, step, last):
            self.flush(step)
        with self.clock.stopped():
            if options.env is not None and _is_due(self._written, "evaluation", options.eval_every, step, last):
                is_best = self.evaluate(step, options.env)
            if _is_due(self._written, "checkpoint", options.checkpoint_every, step, last) or is_best:
                self.save(last)

    def _stop_if_asked(self) -> None:
        """Make this the last step if a callback asks for it."""
        if self.callbacks.training.stopped_by and not self.stopped:
            self.stopped = True
            self._write_due(self.population.state.step, last=True)

    def heed_requests(self, step: int) -> None:
        """Stop if a signal or the time limit asks for it.

        Raises:
            Interrupted: one does.
        """
        if self.requests:
            raise Interrupted(f"stopped by {signal.Signals(self.requests[0]).name} at step {step}")
        limit = self.options.max_minutes
        if limit is not None and time.monotonic() - self.began_at >= 60 * limit:
            raise Interrupted(f"stopped at step {step}, after the {limit:.3g} minutes of max_minutes")

    # --- metrics ----------------------------------------------------------------------------------------------------

    def flush(self, step: int) -> None:
        """Write the means of the metrics since the last time."""
        means = {f"train/{name}": mean.tolist() for name, mean in sorted(self.totals.means().items())}
        line = means | self.clock.metrics()
        self._log(step, line)
        self.progress.log(step, without_members(line, self.guard.stopped))
        self.clock = StepClock()
        self._handle(self.guard.check({name.partition("/")[2]: figures for name, figures in means.items()}))
        for incident in weights_at_bound(self.population, self.guard.largest_P):
            # Once for each member, also in a resumed run: the weight may stay there for the rest of the run.
            if not any((row["kind"], row["member"]) == (incident.kind, incident.member) for row in self.incidents):
                self.happened(incident)
        # After a last step between two intervals the sums stay: if the run is taken further, the next line holds the
        # same steps as in a run that was never stopped.
        if step % self.options.log_every == 0:
            self.totals = Totals()
        self.status("running")
        self.callbacks.tell("stepped", line)

    def _log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        try:
            self.log.log(step, metrics, members)
        except OSError as error:
            self.happened(Incident(step, "metrics wait", files.error_text(error)))

    # --- failures ---------------------------------------------------------------------------------------------------

    def _handle(self, incidents: Sequence[Incident]) -> None:
        """Record what the guard did, and end the run when no member is left.

        Raises:
            PrudentError: none is.
        """
        members = [self.population.names.index(incident.member) for incident in incidents if incident.member]
        for incident, member in zip(incidents, members, strict=True):
            self.happened(incident)
            # What a member computed while it diverged does not enter the next line of metrics.
            self.totals.sums = {name: _without(total, member) for name, total in self.totals.sums.items()}
        if not members:
            return
        stopped = [float(member in self.guard.stopped) for member in members]
        rollbacks = [float(self.guard.rollbacks[member]) for member in members]
        self._log(incidents[0].step, {"guard/stopped": stopped, "guard/rollbacks": rollbacks}, members)
        if len(self.guard.stopped) == self.population.size:
            raise PrudentError(
                f"every member has diverged by step {incidents[0].step}: try smaller learning rates or reward_scale"
            )

    def attempt(self, kind: str, action: Callable[[], T]) -> T | None:
        """What ``action`` returns, or None and an incident of this kind if it fails: training goes on."""
        try:
            return action()
        except OSError as error:
            reason = files.error_text(error)
        except PrudentError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - environments raise anything
            reason = in_one_line(error, with_kind=True)
        self.happened(Incident(self.population.state.step, kind, reason))
        return None

    def happened(self, incident: Incident) -> None:
        """Print an incident and keep it for ``status.json``."""
        self.incidents.append(incident.plain())
        self.progress.say(str(incident) if incident.member else f"{incident}; training goes on")
        self.status("running")

    # --- evaluations and checkpoints --------------------------------------------------------------------------------

    def evaluate(self, step: int, env: str) -> bool:
        """Run the policies, deterministic and sampled; whether this evaluation is the best so far."""
        evaluations = self.attempt(
            "evaluation failed",
            lambda: rollouts.evaluate_both(self.population, env, episodes=self.options.eval_episodes),
        )
        if evaluations is None:
            self._log(step, {"eval/failed": 1.0})
            return False
        line = evaluation_metrics(evaluations)
        self._log(step, line)
        self.progress.log(step, line)
        summary = evaluations.summary()
        is_best = self.best.update(step, [figures["return_mean"] for figures in summary["members"].values()])
        content = {"step": step, "best": self.best.to_json(), **summary}
        self.attempt("write failed", lambda: write_json(self.folder / "evaluation.json", content))
        if self.options.video:
            self.film.record(step, env)
        self.callbacks.tell("evaluated", line)
        return is_best

    def save(self, must: bool = False) -> None:
        """Write a checkpoint, with the running sums, so that the metrics of a resumed run have no gap.

        If it cannot be written, earlier checkpoints stay and the next interval tries again.

        Raises:
            OSError: the checkpoint could not be written, and it ``must`` be because no interval follows.
        """
        extra = {f"sums.{name}": value for name, value in self.totals.sums.items()}
        extra |= {f"counts.{name}": torch.tensor(count) for name, count in self.totals.counts.items()}
        extra |= {f"guard.{name}": t for name, t in self.guard.tensors().items()}
        if (best := self.best.tensor()) is not None:
            extra["best"] = best
        try:
            # Metrics first: a checkpoint that is ahead of them would leave a gap in a resumed run.
            self.log.sync()
            saved = checkpoint.save(
                self.folder,
                self.population,
                extra,
                self.options.keep,
                _protected_steps(self.folder, self.guard, self.best),
            )
        except OSError as error:
            if must:
                raise
            self.happened(Incident(self.population.state.step, "save failed", files.error_text(error)))
            saved = None
        self.status("running")
        if saved is not None:
            self.callbacks.call("saved", saved)

    def restore(self, extra: Mapping[str, Tensor]) -> None:
        """Read back what :meth:`save` wrote for the recorder itself."""
        self.guard.restore({key.removeprefix("guard."): t for key, t in extra.items() if key.startswith("guard.")})
        if extra:
            self.incidents = incidents(self.folder, self.population.state.step)
        _restore_totals(self.totals, extra, self.population)
        if "best" in extra:
            self.best.restore(extra["best"])

    def status(self, state: str, message: str = "") -> None:
        """Write ``status.json``."""
        step = self.population.state.step
        try:
            stopped_by = self.callbacks.training.stopped_by
            write_status(self.folder, state, step, self.options.steps, message, self.incidents, stopped_by)
        except OSError as error:
            # Each reason is printed once: every line of metrics tries again.
            if (reason := files.error_text(error)) not in self._status_errors:
                self._status_errors.add(reason)
                self.progress.say(f"{reason}; training goes on")


def _protected_steps(folder: Path, guard: Guard, best: BestEvaluation) -> set[int]:
    """Checkpoints to keep: the best evaluation's, and the last one in which each stopped member was still well."""
    steps = [step for step, _ in checkpoint.steps(folder)] if guard.last_sound_step else []
    before_divergence = [[step for step in steps if step <= last_well] for last_well in guard.last_sound_step.values()]
    kept = set() if best.step is None else {best.step}
    return {max(candidates) for candidates in before_divergence if candidates} | kept


def _restore_totals(totals: Totals, extra: Mapping[str, Tensor], population: Population) -> None:
    for key, value in extra.items():
        kind, _, name = key.partition(".")
        if kind == "sums":
            totals.sums[name] = value.to(population.device)
        elif kind == "counts":
            totals.counts[name] = int(value)


def _is_due(written: dict[str, int], what: str, every: int, step: int, last: bool) -> bool:
    """Whether something is to be written at ``step``, which is then noted in ``written``: once at each step."""
    due = (last or step % every == 0) and written.get(what) != step
    if due:
        written[what] = step
    return due


def without_members(line: Mapping[str, Any], stopped: Collection[int]) -> dict[str, Any]:
    """A line of metrics without the stopped members, for the screen: it shows means over members."""
    return {
        name: [figure for member, figure in enumerate(v) if member not in stopped] if isinstance(v, list) else v
        for name, v in line.items()
    }


def _without(total: Tensor, member: int) -> Tensor:
    """The sums (P,) of a metric, with a member's sum at zero. A copy: the first sum is the algorithm's own tensor."""
    fresh = total.clone()
    fresh[member] = 0
    return fresh


def evaluation_metrics(evaluations: result.BothEvaluations) -> dict[str, list[Any]]:
    """The ``eval/`` metrics of an evaluation, one figure per member."""
    both = evaluations.summary()
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

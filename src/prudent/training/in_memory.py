"""Training without a run folder: from new weights, or on from those of a trained population."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from prudent.data import Dataset
from prudent.engine import windows
from prudent.engine.guard import largest_value, weights_at_bound
from prudent.engine.loop import Observer, fit
from prudent.engine.members import Member
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.errors import in_one_line
from prudent.progress import Wait
from prudent.training.callbacks import Callbacks, Training, noted_on
from prudent.types import Metrics, Totals


def train(
    dataset: Dataset, algorithm: str, members: Sequence[Member], options: Options, callbacks: Sequence[Any] = ()
) -> Population:
    """A new population, trained for ``options.steps`` steps.

    Raises:
        ConfigError: the algorithm is for the other kind of actions, or there is no such device.
        DataError: actions lie outside -1 to 1 and no bounds are declared.
    """
    population = new_population(dataset, algorithm, members, prepare_process(options))
    for remark in windows.taken_as_one(members, population.members):
        warnings.warn(f"{dataset.name}: {remark}", stacklevel=3)  # the line that called Agent.fit
    _train(population, dataset, options, callbacks)
    return population


def go_on(population: Population, dataset: Dataset, options: Options, callbacks: Sequence[Any] = ()) -> None:
    """Train what :func:`prudent.training.going_on.prepared` returned until it has made ``options.steps`` steps in all.

    If this is interrupted, the steps made so far are kept.
    """
    prepare_process(replace(options, device=str(population.device)))
    _train(population, dataset, options, callbacks)


def _train(population: Population, dataset: Dataset, options: Options, callbacks: Sequence[Any]) -> None:
    with _Steps(population, options, callbacks) as observer:
        fit(population, dataset, options.steps, observer)
    for incident in weights_at_bound(population, largest_value(population, dataset)):
        warnings.warn(str(incident), stacklevel=4)  # the line that called Agent.fit


class _Steps(Observer):
    """Shows the steps as a :class:`prudent.progress.Wait`, and tells callbacks of them."""

    def __init__(self, population: Population, options: Options, callbacks: Sequence[Any]):
        super().__init__()
        self._before, self._last, self._every = population.state.step, options.steps, options.log_every
        self._wait = Wait("training", self._last - self._before, "steps")
        self._callbacks = Callbacks(callbacks, Training(population, self._last))

    def began(self, metrics: Metrics) -> None:
        """Tell callbacks."""
        super().began(metrics)
        self._callbacks.call("began")
        self.stopped = bool(self._callbacks.training.stopped_by)

    def due(self, step: int) -> float:
        """The next step of which callbacks are told."""
        return step - step % self._every + self._every if self._callbacks else super().due(step)

    def stepped(self, step: int, totals: Totals) -> None:
        """Count the steps. Tell callbacks at their intervals: only then does it wait for the device."""
        super().stepped(step, totals)
        self._wait.update(step - self._before)
        if self._callbacks and (step % self._every == 0 or step == self._last):
            means = {f"train/{name}": mean for name, mean in sorted(self.totals.means().items())}
            self.totals = Totals()
            self._callbacks.tell("stepped", means)
            self.stopped = bool(self._callbacks.training.stopped_by)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._wait.close()
        if error is None:
            message = self._callbacks.training.message
            self._callbacks.end("stopped" if message else "finished", message)
        elif isinstance(error, Exception) or self._callbacks.failed:
            with noted_on(error):
                self._callbacks.end("failed", in_one_line(error, with_kind=True))

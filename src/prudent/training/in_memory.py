"""Training without a run folder: from new weights, or on from those of a trained population."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from prudent.data import Dataset
from prudent.data.columns import check_bounds
from prudent.data.encoding import check_same
from prudent.engine import windows
from prudent.engine.guard import largest_value, weights_at_bound
from prudent.engine.loop import Observer, fit
from prudent.engine.members import Member
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.errors import DataError
from prudent.progress import Wait
from prudent.types import Totals


def train(dataset: Dataset, algorithm: str, members: Sequence[Member], options: Options) -> Population:
    """A new population, trained for ``options.steps`` steps.

    Raises:
        ConfigError: the algorithm is for the other kind of actions, or there is no such device.
        DataError: actions lie outside -1 to 1 and no bounds are declared.
    """
    population = new_population(dataset, algorithm, members, prepare_process(options))
    for remark in windows.taken_as_one(members, population.members):
        warnings.warn(f"{dataset.name}: {remark}", stacklevel=3)  # the line that called Agent.fit
    _train(population, dataset, options.steps)
    return population


def go_on(population: Population, dataset: Dataset, options: Options) -> None:
    """Train for ``options.steps`` more steps on ``dataset``, which may be new.

    Networks, optimisers, random states and the number of the step go on from where they are. Settings, scaling and
    action bounds stay; the range of the log, at whose edge a policy takes observations, grows by the new data. If this
    is interrupted, the steps made so far are kept.

    Raises:
        DataError: the data do not fit, see :func:`check_fits_training`.
    """
    check_fits_training(population, dataset)
    prepare_process(replace(options, device=str(population.device)))
    population.scaling = population.scaling.widened(dataset)
    _train(population, dataset, options.steps)


def check_fits_training(population: Population, dataset: Dataset) -> None:
    """Refuse data that a trained population cannot go on with.

    Raises:
        DataError: sizes, kinds or names of columns differ, or an action lies outside the bounds that the networks were
            trained for.
    """
    check_same(population.scaling.encoding, dataset.meanings.encoding, dataset.name, "what was trained")
    spec = population.spec
    difference = spec.difference_from(replace(dataset.spec, action_low=spec.action_low, action_high=spec.action_high))
    if difference:
        raise DataError(f"{dataset.name} does not fit what was trained: {difference}")
    if spec.discrete:
        return
    if spec.action_low is None:
        # As Scaling.fit takes them.
        spec = replace(spec, action_low=(-1.0,) * spec.action_size, action_high=(1.0,) * spec.action_size)
    try:
        check_bounds(dataset.action, spec, dataset.name)
    except DataError as error:
        raise DataError(f"{error}; they are those of the first training: fit anew to change them") from error


def _train(population: Population, dataset: Dataset, steps: int) -> None:
    before = population.state.step
    with _Steps(steps, before) as observer:
        fit(population, dataset, before + steps, observer)
    for incident in weights_at_bound(population, largest_value(population, dataset)):
        warnings.warn(str(incident), stacklevel=4)  # the line that called Agent.fit


class _Steps(Observer):
    """Shows the steps as a :class:`prudent.progress.Wait`; ``before`` is the number of steps already made."""

    def __init__(self, steps: int, before: int):
        super().__init__()
        self._wait, self._before = Wait("training", steps, "steps"), before

    def stepped(self, step: int, totals: Totals) -> None:
        """Count the steps."""
        super().stepped(step, totals)
        self._wait.update(step - self._before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait.close()

"""Picks a checkpoint of a run from the curve of its average dataset Q (:mod:`prudent.evaluation.q_curve`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prudent.data import Dataset
from prudent.engine.population import Population
from prudent.errors import PrudentError
from prudent.evaluation import q_curve
from prudent.progress import watched
from prudent.runs import checkpoint

ROWS = 4096
"""Number of logged rows whose Q is averaged."""

_LAST = (
    "the last checkpoint is taken, and the verdict judges it as it is; a longer training (more steps) might give a "
    "better one"
)


@dataclass(frozen=True)
class Choice:
    """The chosen checkpoint, its average dataset Q, the peak of the curve, and the shape of the curve in words."""

    step: int
    q: float
    peak_step: int
    peak_q: float
    reading: str


@dataclass(frozen=True, eq=False)
class Curves:
    """Average dataset Q at each checkpoint: ``steps`` (C,), ``q`` (C, P) in the log's units of reward.

    ``reference`` (P,) is the mean return-to-go of the same rows. Rewards that are shifted stay shifted in both.
    """

    steps: tuple[int, ...]
    q: np.ndarray
    reference: np.ndarray

    def choose(self, member: int) -> Choice | None:
        """The checkpoint of one member; None if it has diverged."""
        q_C = self.q[:, member]
        if not np.isfinite(q_C[-1]):
            return None
        known = np.isfinite(q_C)
        return choose(np.asarray(self.steps)[known].tolist(), q_C[known], float(self.reference[member]))


def choose(steps: Sequence[int], q_C: np.ndarray, reference: float) -> Choice:
    """The last checkpoint before the average dataset Q falls below its peak; the very last if it does not fall.

    ``steps`` and ``q_C`` (C,) are those of each checkpoint, ``reference`` the mean return of the log in the same units.
    """
    shape = q_curve.shape(q_C, reference)
    if shape.falls:
        reading = f"dataset Q falls after step {steps[shape.kept]:,}: overfitting from there"
    elif shape.descends:
        reading = f"dataset Q is still falling to the mean return of the log: {_LAST}"
    elif shape.climbs:
        reading = f"dataset Q still climbs: {_LAST}"
    else:
        reading = "dataset Q has settled: last checkpoint"
    kept, peak = shape.kept, shape.peak
    return Choice(int(steps[kept]), float(q_C[kept]), int(steps[peak]), float(q_C[peak]), reading)


def checkpoints(run: Path) -> Iterator[tuple[int, Population]]:
    """(step, population) of each checkpoint of a run that verifies.

    Raises:
        PrudentError: there is none.
    """
    count = 0
    for step, folder in watched(checkpoint.steps(run), f"asking the policies of {run}", "checkpoints"):
        try:
            population, _ = checkpoint.load(folder)
        except PrudentError:
            continue
        count += 1
        yield step, population
    if count == 0:
        raise PrudentError(f"{run}: no checkpoint verifies; delete the folder to train it again")


def read(run: Path, dataset: Dataset, seed: int) -> Curves:
    """The curve of every member of a run, on a sample of the data that it was trained on.

    A checkpoint that does not verify is skipped.

    Raises:
        PrudentError: no checkpoint is left.
    """
    rows = np.sort(np.random.default_rng([seed, 7]).permutation(len(dataset))[:ROWS])
    observation, action = dataset.observation[rows], dataset.action[rows]
    steps, q, reference = [], [], np.empty(0)
    for step, population in checkpoints(run):
        every_observation = np.broadcast_to(observation, (population.size, *observation.shape))
        every_action = np.broadcast_to(action, (population.size, *action.shape))
        steps.append(step)
        # In the units of the log, like the fitted values that stand beside them.
        q.append(population.q_value(every_observation, every_action).astype(np.float64).mean(1) / _scale(population))
        if not reference.size:
            reference = _reference(dataset, rows, population) / _scale(population)
    return Curves(tuple(steps), np.stack(q), reference)


def _scale(population: Population) -> np.ndarray:
    """What the rewards of each member are multiplied by, (P,)."""
    return np.asarray(population.reward_scale, dtype=np.float64)


def _reference(dataset: Dataset, rows: np.ndarray, population: Population) -> np.ndarray:
    """Mean return-to-go of ``rows`` for each member, (P,), computed once per distinct discount and reward transform."""
    settings = list(zip(population.discount, population.reward_scale, population.reward_shift, strict=True))
    means = {
        (discount, scale, shift): float(
            dataset.returns_to_go(discount, (dataset.reward * scale + shift).astype(np.float32))[rows].mean()
        )
        for discount, scale, shift in dict.fromkeys(settings)
    }
    return np.array([means[key] for key in settings])

"""Which checkpoint of a run to take, from the curve of its average dataset Q (:mod:`prudent.evaluation.q_curve`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prudent.data import Dataset
from prudent.engine.population import Population
from prudent.errors import PrudentError
from prudent.evaluation import q_curve
from prudent.runs import checkpoint

ROWS = 4096
"""Logged decisions whose Q is averaged."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint taken, its average dataset Q, where the curve peaked, and how it reads, in words."""

    step: int
    q: float
    peak_step: int
    peak_q: float
    reading: str


@dataclass(frozen=True, eq=False)
class Curves:
    """Average dataset Q at each checkpoint: ``steps`` (C,), ``q`` (C, P) in the critics' units.

    ``reference`` (P,) is the mean return to go of the same decisions, transformed as the rewards were.
    """

    steps: tuple[int, ...]
    q: np.ndarray
    reference: np.ndarray

    def choose(self, member: int) -> Choice | None:
        """The checkpoint of one member; None where it has diverged."""
        q_C = self.q[:, member]
        if not np.isfinite(q_C[-1]):
            return None
        known = np.isfinite(q_C)
        return choose(np.asarray(self.steps)[known].tolist(), q_C[known], float(self.reference[member]))


def choose(steps: Sequence[int], q_C: np.ndarray, reference: float) -> Choice:
    """The last checkpoint before the average dataset Q falls below its peak; the last of all where it does not.

    ``steps`` and ``q_C`` (C,) of each checkpoint, ``reference`` what the log returned on average, in the same units.
    """
    found = q_curve.shape(q_C, reference)
    if found.falls:
        reading = f"dataset Q falls after step {steps[found.kept]:,}: overfitting from there"
    elif found.descends:
        reading = "still on its way down to what the log returned: the last; more steps would help"
    elif found.climbs:
        reading = "dataset Q still climbs: the last; more steps may help"
    else:
        reading = "dataset Q has settled: the last"
    kept, peak = found.kept, found.peak
    return Choice(int(steps[kept]), float(q_C[kept]), int(steps[peak]), float(q_C[peak]), reading)


def read(run: Path, dataset: Dataset, seed: int) -> Curves:
    """The curves of every member of a run, on a sample of the data that it was trained on.

    A checkpoint that does not verify is left out.

    Raises:
        PrudentError: none is left.
    """
    rows = np.sort(np.random.default_rng([seed, 7]).permutation(len(dataset))[:ROWS])
    steps, q, last = [], [], None
    for step, folder in checkpoint.steps(run):
        try:
            population, _ = checkpoint.load(folder)
        except PrudentError:
            continue
        observation = np.broadcast_to(dataset.observation[rows], (population.size, *dataset.observation[rows].shape))
        action = np.broadcast_to(dataset.action[rows], (population.size, *dataset.action[rows].shape))
        steps.append(step)
        q.append(population.q_value(observation, action).astype(np.float64).mean(1))
        last = population
    if last is None:
        raise PrudentError(f"{run}: no checkpoint verifies; delete the folder to train it again")
    return Curves(tuple(steps), np.stack(q), _reference(dataset, rows, last))


def _reference(dataset: Dataset, rows: np.ndarray, population: Population) -> np.ndarray:
    """Mean return to go of ``rows`` for each member, (P,), computed once per distinct discount and reward transform."""
    settings = list(zip(population.discount, population.reward_scale, population.reward_shift, strict=True))
    found = {
        (discount, scale, shift): float(
            dataset.returns_to_go(discount, (dataset.reward * scale + shift).astype(np.float32))[rows].mean()
        )
        for discount, scale, shift in dict.fromkeys(settings)
    }
    return np.array([found[key] for key in settings])

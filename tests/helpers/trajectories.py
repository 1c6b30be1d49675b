"""A small log with every kind of episode end, and batches of it as the library draws them."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from helpers.cases import Case
from prudent import algorithms
from prudent.data import Dataset
from prudent.engine.batches import TrainingData
from prudent.engine.scaling import Scaling
from prudent.nn.rng import MemberRng
from prudent.types import Batch

LENGTHS = (7, 1, 2, 9, 4, 12, 1, 3)
"""Longer and shorter than any window here; every second episode terminates, the others are truncated."""
STATES, ACTIONS = 3, 2


def trajectory_log(discrete: bool = False, with_dt: bool = False, masked: bool = False, seed: int = 0) -> Dataset:
    """Random rows in order of time."""
    rng, rows = np.random.default_rng(seed), sum(LENGTHS)
    state = rng.normal(size=(rows + len(LENGTHS), STATES)).astype(np.float32)
    first = np.concatenate([np.arange(n) + begin for n, begin in zip(LENGTHS, _begins(1), strict=True)])
    last = np.cumsum(LENGTHS) - 1
    terminated, truncated = np.zeros(rows, bool), np.zeros(rows, bool)
    terminated[last[::2]], truncated[last[1::2]] = True, True
    count = ACTIONS + 2
    action = rng.integers(count, size=rows) if discrete else rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32)
    extra = {}
    if with_dt:
        extra["dt"] = rng.uniform(0.3, 3, rows).astype(np.float32)
    if masked:
        allowed = rng.uniform(size=(rows + len(LENGTHS), count)) < 0.5
        allowed[first, action] = True
        allowed[:, 0] |= ~allowed.any(axis=1)
        extra |= {"mask": allowed[first], "next_mask": allowed[first + 1]}
    return Dataset.from_columns(
        observation=state[first],
        action=action,
        reward=rng.normal(size=rows).astype(np.float32),
        next_observation=state[first + 1],
        terminated=terminated,
        truncated=truncated,
        discrete=discrete,
        n_actions=count if discrete else None,
        extra=extra,
    )


def _begins(more: int) -> list[int]:
    """Where each episode's states begin, if each has ``more`` states than rows."""
    return np.concatenate([[0], np.cumsum(np.array(LENGTHS) + more)[:-1]]).tolist()


def tensors_of(batch: Batch) -> list[Tensor]:
    """Every tensor of a batch, those of its windows too, in a fixed order."""
    found: list[Tensor] = []
    batch.map(found.append)
    return found


class TrajectoryCase(Case):
    """A :class:`helpers.cases.Case` whose batch was drawn from a log; ``drawn`` (P, B) says which rows it has."""

    def __init__(self, algorithm: str, seed: int = 0, rows: int = 24, with_dt=False, masked=False, **options):
        discrete = algorithms.is_discrete(algorithm)
        sizes = {"state_size": STATES, "action_size": ACTIONS + 2 if discrete else ACTIONS}
        super().__init__(algorithm, seed, rows=rows, normalize_observations=False, **sizes, **options)
        self.dataset = trajectory_log(discrete, with_dt, masked)
        self.data = TrainingData(
            self.dataset, Scaling.fit(self.dataset, False), self.hyper, torch.device("cpu"), self.algorithm.NEEDS
        )
        batch = self.data.sample(MemberRng([seed + p for p in range(self.members)], "sample"), rows)
        self.batch = batch.map(lambda t: t.double() if t.is_floating_point() else t)
        places = {row.tobytes(): i for i, row in enumerate(self.dataset.observation)}
        self.drawn = np.array([[places[row.numpy().tobytes()] for row in member] for member in batch.observation])

    def log(self, config) -> list[SimpleNamespace]:
        """Every row of the log, as the oracles read it."""
        data = self.dataset
        return [
            SimpleNamespace(
                observation=data.observation[i].astype(np.float64),
                action=int(data.action[i]) if data.spec.discrete else data.action[i].astype(np.float64),
                reward=float(data.reward[i]) * config.reward_scale + config.reward_shift,
                next_observation=data.next_observation[i].astype(np.float64),
                terminated=bool(data.terminated[i]),
                truncated=bool(data.truncated[i]),
                dt=float(data.extra["dt"][i]) if "dt" in data.extra else 1.0,
                next_action=None if data.spec.discrete else data.action[min(i + 1, len(data) - 1)].astype(np.float64),
                next_action_known=not (data.terminated[i] or data.truncated[i]),
                mask=data.extra["mask"][i] if "mask" in data.extra else None,
                next_mask=data.extra["next_mask"][i] if "next_mask" in data.extra else None,
            )
            for i in range(len(data))
        ]

"""A dataset on the device, from which every member draws its own batches."""

import numpy as np
import torch
from torch import Tensor

from prudent.data import Dataset
from prudent.errors import ConfigError
from prudent.rng import MemberRng
from prudent.scaling import Scaling
from prudent.types import Batch, Hyper


class TrainingData:
    """A dataset on the device in the networks' units; every member draws rows of its own, with replacement."""

    def __init__(self, dataset: Dataset, scaling: Scaling, hyper: Hyper, device: torch.device, with_returns: bool):
        def place(column: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(column)).to(device)

        scaling = scaling.to(device)
        self.rows = len(dataset)
        self.observation = scaling.observation(place(dataset.observation))
        self.next_observation = scaling.observation(place(dataset.next_observation))
        self.action = scaling.action(place(dataset.action))
        reward_P = torch.stack([hyper.reward_scale, hyper.reward_shift])
        self.reward_scale_P1, self.reward_shift_P1 = reward_P.unsqueeze(-1)
        self.reward = place(dataset.reward)
        self.terminated = place(dataset.terminated)
        self.dt = place(dataset.extra["dt"].astype(np.float32)) if "dt" in dataset.extra else None
        self.return_to_go_PR: Tensor | None = None
        if with_returns:
            if self.dt is not None:
                raise ConfigError(f"{dataset.name} has steps of different length (dt): only value_init zero fits it")
            self.return_to_go_PR = torch.stack([place(r) for r in _returns_to_go(dataset, hyper)])

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...)."""
        rows_PB = rng.integers(self.rows, batch_size)
        return Batch(
            observation=self.observation[rows_PB],
            action=self.action[rows_PB],
            reward=self.reward[rows_PB] * self.reward_scale_P1 + self.reward_shift_P1,
            next_observation=self.next_observation[rows_PB],
            terminated=self.terminated[rows_PB],
            dt=None if self.dt is None else self.dt[rows_PB],
            return_to_go=None if self.return_to_go_PR is None else self.return_to_go_PR.gather(1, rows_PB),
        )


def _returns_to_go(dataset: Dataset, hyper: Hyper) -> list[np.ndarray]:
    """Each member's return-to-go (rows,), computed once per distinct discount and reward transform."""
    found: dict[tuple, np.ndarray] = {}
    settings = [(c.discount, c.reward_scale, c.reward_shift) for c in hyper.members]
    for discount, scale, shift in dict.fromkeys(settings):
        found[discount, scale, shift] = dataset.returns_to_go(discount, dataset.reward * scale + shift)
    return [found[key] for key in settings]

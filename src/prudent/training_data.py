"""A dataset on the device, from which every member draws its own batches."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from prudent.data import Dataset
from prudent.errors import ConfigError
from prudent.rng import MemberRng
from prudent.scaling import Scaling
from prudent.types import Batch, Hyper


class Source(Protocol):
    """What a population can learn from."""

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...) in the networks' units, drawn with ``rng``."""
        ...


class TrainingData:
    """A dataset on the device in the networks' units; every member draws rows of its own, with replacement.

    ``needs`` names the optional columns to prepare: ``return_to_go``, ``next_action``.
    """

    def __init__(self, dataset: Dataset, scaling: Scaling, hyper: Hyper, device: torch.device, needs: Sequence[str]):
        def place(column: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(column)).to(device)

        self.pools = [place(pool) for pool in best_rows(dataset, hyper)]
        if needs or self.pools:
            dataset.check_order()
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
        masked = dataset.spec.discrete and "mask" in dataset.extra
        self.mask = place(dataset.extra["mask"]) if masked else None
        self.next_mask = place(dataset.extra["next_mask"]) if masked else None
        self.return_to_go_PR: Tensor | None = None
        if "return_to_go" in needs:
            if self.dt is not None:
                raise ConfigError(
                    f"{dataset.name} has steps of different length (dt), over which returns-to-go are not defined: "
                    "only value_init zero fits it, and no cal_ql"
                )
            self.return_to_go_PR = torch.stack([place(r) for r in returns_to_go(dataset, hyper)])
        self.goes_on = place(dataset.followed) if "next_action" in needs else None

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...)."""
        if self.pools:
            index_PB = rng.integers([len(pool) for pool in self.pools], batch_size)
            rows_PB = torch.stack([pool[index] for pool, index in zip(self.pools, index_PB, strict=True)])
        else:
            rows_PB = rng.integers(self.rows, batch_size)
        return Batch(
            observation=self.observation[rows_PB],
            action=self.action[rows_PB],
            reward=self.reward[rows_PB] * self.reward_scale_P1 + self.reward_shift_P1,
            next_observation=self.next_observation[rows_PB],
            terminated=self.terminated[rows_PB],
            dt=None if self.dt is None else self.dt[rows_PB],
            mask=None if self.mask is None else self.mask[rows_PB],
            next_mask=None if self.next_mask is None else self.next_mask[rows_PB],
            return_to_go=None if self.return_to_go_PR is None else self.return_to_go_PR.gather(1, rows_PB),
            next_action=None if self.goes_on is None else self.action[(rows_PB + 1).clamp(max=self.rows - 1)],
            next_action_known=None if self.goes_on is None else self.goes_on[rows_PB],
        )


def best_rows(dataset: Dataset, hyper: Hyper) -> list[np.ndarray]:
    """Each member's rows of the best episodes by return, as many as make ``top_fraction`` of all rows.

    Nothing where no member has that setting below 1: then every row may be drawn.
    """
    fractions = [getattr(config, "top_fraction", 1.0) for config in hyper.members]
    if min(fractions) >= 1:
        return []
    order = np.argsort(-dataset.episode_returns, kind="stable")
    reached = np.cumsum(dataset.episode_lengths[order])
    pools = []
    for fraction in fractions:
        # The fewest episodes that hold the fraction, against rounding: 0.1 of 30 rows is 3, not 4.
        count = int(np.searchsorted(reached, fraction * len(dataset) * (1 - 1e-9))) + 1
        chosen = np.zeros(dataset.n_episodes, dtype=bool)
        chosen[order[:count]] = True
        pools.append(np.flatnonzero(chosen[dataset.episode_of_row]))
    return pools


def returns_to_go(dataset: Dataset, hyper: Hyper) -> list[np.ndarray]:
    """Each member's return-to-go (rows,), computed once per distinct discount and reward transform."""
    found: dict[tuple[Any, ...], np.ndarray] = {}
    settings = [(c.discount, c.reward_scale, c.reward_shift) for c in hyper.members]
    for discount, scale, shift in dict.fromkeys(settings):
        found[discount, scale, shift] = dataset.returns_to_go(discount, dataset.reward * scale + shift)
    return [found[key] for key in settings]

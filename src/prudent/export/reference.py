"""Logged decisions inside an exported graph: whether a decision lies outside them, and what the nearest one did.

The same score as that of ``prudent support``: the distance to the k-th nearest logged decision, in standard units. It
is computed here with matrix products in float64, so that a batch needs no tensor of rows x logged decisions x features.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reference:
    """Logged decisions, and the threshold beyond which a decision lies outside them.

    Attributes:
        states: (N, S) float32, in standard units.
        actions: (N, A) float32 in standard units; discrete (N,) int64, counted from 0.
        state_zero, state_one: (S,) float64, mean and standard deviation in the log.
        action_zero, action_one: (A,) float64; empty for discrete actions.
        neighbours: k.
        level: share of new logged decisions that lie below the threshold.
        threshold: a decision with a larger score lies outside.
        share: share of the policy's own decisions outside, at states of the log; ``interval`` is its 95 % interval.
    """

    states: np.ndarray
    actions: np.ndarray
    state_zero: np.ndarray
    state_one: np.ndarray
    action_zero: np.ndarray
    action_one: np.ndarray
    neighbours: int
    level: float
    threshold: float
    share: float | None = None
    interval: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.states)


class Neighbours(torch.nn.Module):
    """The distances of a :class:`Reference` as part of a graph."""

    states: Tensor
    actions: Tensor
    logged: Tensor
    state_zero: Tensor
    state_one: Tensor
    action_zero: Tensor
    action_one: Tensor

    def __init__(self, reference: Reference):
        super().__init__()
        self.k, self.threshold = reference.neighbours, reference.threshold
        self.discrete = reference.actions.ndim == 1
        # As columns, for the product below. The float32 values are exact in float64.
        self.register_buffer("states", torch.from_numpy(reference.states.T.astype(np.float64)))
        self.register_buffer("state_zero", torch.from_numpy(reference.state_zero))
        self.register_buffer("state_one", torch.from_numpy(reference.state_one))
        if self.discrete:
            self.register_buffer("logged", torch.from_numpy(reference.actions))
            return
        self.register_buffer("actions", torch.from_numpy(reference.actions.T.astype(np.float64)))
        self.register_buffer("action_zero", torch.from_numpy(reference.action_zero))
        self.register_buffer("action_one", torch.from_numpy(reference.action_one))
        logged = reference.actions * reference.action_one + reference.action_zero
        self.register_buffer("logged", torch.from_numpy(logged.astype(np.float32)))

    def forward(self, observation: Tensor, action: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The score (B,) of each decision, the nearest logged action, and whether there is one that is allowed (B,).

        ``observation`` (B, S) and ``action`` (B, A) are in the log's units, discrete actions (B,) counted from 0; so is
        the logged action. The nearest is that of the nearest logged state whose action ``mask`` (B, A) allows.
        """
        squared_BN = _squared(observation, self.states, self.state_zero, self.state_one)
        decision_BN = squared_BN
        if self.discrete:
            decision_BN = squared_BN.masked_fill(action.unsqueeze(-1) != self.logged, torch.inf)
        else:
            decision_BN = squared_BN + _squared(action, self.actions, self.action_zero, self.action_one)
        score_B = decision_BN.topk(self.k, dim=-1, largest=False).values.amax(-1).sqrt().float()
        if mask is not None:
            squared_BN = squared_BN.masked_fill(~mask.index_select(-1, self.logged), torch.inf)
        near_B, row_B = squared_BN.min(-1)
        return score_B, self.logged.index_select(0, row_B), near_B < torch.inf


def _squared(values: Tensor, columns_FN: Tensor, zero: Tensor, one: Tensor) -> Tensor:
    """Squared distances (B, N) of values (B, F), once they are in standard units, to the columns (F, N)."""
    # Rounded to float32 on the way, as the columns were: equal decisions have distance 0.
    standard = ((values.double() - zero) / one).float().double()
    product = standard @ columns_FN
    return (standard.square().sum(-1, keepdim=True) - 2 * product + columns_FN.square().sum(0)).clamp(min=0)

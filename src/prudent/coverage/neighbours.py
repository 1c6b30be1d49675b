"""How far a decision lies from the logged ones: exact nearest neighbours in standardised units.

Distances are Euclidean, every feature divided by its standard deviation in the log. For discrete actions the neighbours
of a decision are the logged states in which the same action was taken.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prudent import statistics

PAIRS = 1 << 20
"""Distances held at once: 4 MB, which a processor keeps close by."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Larger is further from the log; R rows decided by P policies.

    ``state`` (R,): distance to the k-th nearest logged state. ``decision`` (P, R): distance to the k-th nearest logged
    decision, state and action together. ``action`` (P, R): how unusual the action is in this state, whatever the state;
    continuous: distance to the nearest of the actions logged in the k nearest states; discrete: one over the share of
    the action among the nearest states, counted as far as the k-th that took it. A discrete action that was logged
    fewer than k times scores infinity, an action that is no number NaN.
    """

    state: np.ndarray
    decision: np.ndarray
    action: np.ndarray


class Neighbourhood:
    """Logged decisions, which others are held against.

    ``observation`` (N, S) and ``action`` (N, A), discrete (N,) int64; ``neighbours`` is k, at most N.
    """

    def __init__(self, observation: np.ndarray, action: np.ndarray, neighbours: int):
        self.neighbours = neighbours
        self.discrete = action.ndim == 1
        if self.discrete:
            # Rows of one action side by side: a slice of the distances, not a copy.
            order = np.argsort(action, kind="stable")
            observation, action = observation[order], action[order]
        self._observation_units = _Units.of(observation)
        self._action_units = None if self.discrete else _Units.of(action)
        self._states, self._actions = self._measured(observation, action)

    def __len__(self) -> int:
        return len(self._states)

    @torch.no_grad()
    def scores(self, observation: np.ndarray, action: np.ndarray) -> Scores:
        """Scores of the actions (P, R, A), discrete (P, R), taken at the observations (R, S)."""
        states, actions = self._measured(observation, action)
        step = max(1, PAIRS // len(self._states))
        score = self._score_discrete if self.discrete else self._score_continuous
        parts = [score(states[own], actions[:, own]) for own in _slices(len(states), step)]
        state, decision, unusual = (torch.cat(found, dim=-1).double().numpy() for found in zip(*parts, strict=True))
        return Scores(state, decision, unusual)

    def _measured(self, observation: np.ndarray, action: np.ndarray) -> tuple[Tensor, Tensor]:
        actions = torch.from_numpy(action) if self._action_units is None else self._action_units(action)
        return self._observation_units(observation), actions

    def _score_continuous(self, states: Tensor, actions_PRA: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        distance_RN = _distances(states, self._states)
        near_RK, rows_RK = distance_RN.topk(self.neighbours, largest=False)
        squared_RN = distance_RN.square_()
        logged_RKA = self._actions[rows_RK]
        decision, unusual = [], []
        for action_RA in actions_PRA:
            both_RN = _distances(action_RA, self._actions).square_().add_(squared_RN)
            decision.append(both_RN.topk(self.neighbours, largest=False).values[:, -1].sqrt())
            unusual.append((logged_RKA - action_RA.unsqueeze(1)).norm(dim=-1).amin(dim=-1))
        return near_RK[:, -1], torch.stack(decision), torch.stack(unusual)

    def _score_discrete(self, states: Tensor, actions_PR: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        distance_RN = _distances(states, self._states)
        near_RK = distance_RN.topk(self.neighbours, largest=False).values
        decision, unusual = torch.full((2, *actions_PR.shape), torch.nan).unbind()
        for number in actions_PR.unique().tolist():
            if number < 0:  # of a policy that has diverged
                continue
            own_RM = distance_RN[:, slice(*torch.searchsorted(self._actions, torch.tensor([number, number + 1])))]
            if own_RM.shape[1] < self.neighbours:
                reach_R1 = torch.full((len(states), 1), torch.inf)
                rarity_R = reach_R1[:, 0]
            else:
                reach_R1 = own_RM.topk(self.neighbours, largest=False).values[:, -1:]
                # Counting both up to the same distance treats states that occur more than once alike.
                rarity_R = (distance_RN <= reach_R1).sum(-1) / (own_RM <= reach_R1).sum(-1)
            taken_PR = actions_PR == number
            decision = torch.where(taken_PR, reach_R1[:, 0], decision)
            unusual = torch.where(taken_PR, rarity_R, unusual)
        return near_RK[:, -1], decision, unusual


@dataclass(frozen=True, eq=False)
class _Units:
    """Zero and one of each feature, (F,) float64: its mean and its standard deviation."""

    zero: np.ndarray
    one: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "_Units":
        exact = values.astype(np.float64)
        mean = exact.mean(0)
        return cls(mean, statistics.divisor(mean, exact.std(0)))

    def __call__(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(((values - self.zero) / self.one).astype(np.float32))


def _distances(these: Tensor, those: Tensor) -> Tensor:
    # By products of matrices it would be faster and wrong where it matters: equal rows would lie apart.
    return torch.cdist(these, those, compute_mode="donot_use_mm_for_euclid_dist")


def _slices(rows: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, max(rows, 1), step)]

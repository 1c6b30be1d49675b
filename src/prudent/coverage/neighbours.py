"""Distances of decisions to the logged ones: exact nearest neighbours in standardised units.

Distances are Euclidean, after dividing each feature by its standard deviation in the log. The neighbours of a discrete
decision are the logged states in which the same action was taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prudent import statistics

PAIRS = 1 << 20
"""Distances computed at once: 4 MB, which fit into a processor's cache."""


def _nothing(_rows: int) -> None:
    """Nobody wants to know how far it is."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of R rows for P policies; a larger score is further from the log.

    - ``state`` (R,): distance to the k-th nearest logged state.
    - ``decision`` (P, R): distance to the k-th nearest logged decision, state and action together.
    - ``action`` (P, R): how unusual the action is in this state. Continuous: the distance to the nearest of the actions
      logged in the k nearest states. Discrete: one over the share of the action among the nearest states, up to the
      k-th in which it was taken.

    A discrete action that was logged fewer than k times scores infinity, an action that is not a number NaN.
    """

    state: np.ndarray
    decision: np.ndarray
    action: np.ndarray


class Neighbourhood:
    """Logged decisions to compare others with.

    ``observation`` (N, S) and ``action`` (N, A), discrete (N,) int64; ``neighbours`` is k, at most N.
    """

    def __init__(self, observation: np.ndarray, action: np.ndarray, neighbours: int):
        self.neighbours = neighbours
        self.discrete = action.ndim == 1
        if self.discrete:
            # Sorted by action, so that the rows of one action are a slice and not a copy.
            order = np.argsort(action, kind="stable")
            observation, action = observation[order], action[order]
        self._observation_units = _Units.of(observation)
        self._action_units = None if self.discrete else _Units.of(action)
        self._states, self._actions = self._standardised(observation, action)

    def __len__(self) -> int:
        return len(self._states)

    @torch.no_grad()
    def scores(self, observation: np.ndarray, action: np.ndarray, done: Callable[[int], None] = _nothing) -> Scores:
        """Scores of the actions (P, R, A), discrete (P, R), taken at the observations (R, S).

        ``done`` is called with the number of rows after each part of them.
        """
        states, actions = self._standardised(observation, action)
        step = max(1, PAIRS // len(self._states))
        score = self._score_discrete if self.discrete else self._score_continuous
        parts = []
        for rows in _slices(len(states), step):
            parts.append(score(states[rows], actions[:, rows]))
            done(len(states[rows]))
        state, decision, unusual = (torch.cat(blocks, dim=-1).double().numpy() for blocks in zip(*parts, strict=True))
        return Scores(state, decision, unusual)

    def arrays(self) -> dict[str, np.ndarray]:
        """What distances are computed from: ``states`` (N, S) and ``actions`` (N, A) float32, discrete (N,), in units.

        ``state_zero``, ``state_one``, ``action_zero`` and ``action_one`` are the units, float64.
        """
        units = {"state": self._observation_units, "action": self._action_units or _Units(np.zeros(0), np.zeros(0))}
        zeros_and_ones = {
            f"{name}_{end}": getattr(unit, end) for name, unit in units.items() for end in ("zero", "one")
        }
        return {"states": self._states.numpy(), "actions": self._actions.numpy(), **zeros_and_ones}

    def _standardised(self, observation: np.ndarray, action: np.ndarray) -> tuple[Tensor, Tensor]:
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
            if number < 0:  # the policy has diverged
                continue
            same_RM = distance_RN[:, slice(*torch.searchsorted(self._actions, torch.tensor([number, number + 1])))]
            if same_RM.shape[1] < self.neighbours:
                reach_R1 = torch.full((len(states), 1), torch.inf)
                rarity_R = reach_R1[:, 0]
            else:
                reach_R1 = same_RM.topk(self.neighbours, largest=False).values[:, -1:]
                # Both counts go up to the same distance, so that equal states count alike.
                rarity_R = (distance_RN <= reach_R1).sum(-1) / (same_RM <= reach_R1).sum(-1)
            taken_PR = actions_PR == number
            decision = torch.where(taken_PR, reach_R1[:, 0], decision)
            unusual = torch.where(taken_PR, rarity_R, unusual)
        return near_RK[:, -1], decision, unusual


@dataclass(frozen=True, eq=False)
class _Units:
    """Standard units of each feature: ``zero`` is its mean, ``one`` its standard deviation; (F,) float64."""

    zero: np.ndarray
    one: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "_Units":
        exact = values.astype(np.float64)
        mean = exact.mean(0)
        return cls(mean, statistics.divisor(mean, exact.std(0)))

    def __call__(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(((values - self.zero) / self.one).astype(np.float32))


def _distances(first: Tensor, second: Tensor) -> Tensor:
    # Matrix products would be faster, but inexact for near rows: equal rows would have a distance above 0.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def _slices(rows: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, max(rows, 1), step)]

"""The linear system of fitted Q evaluation: its exact solution for given features.

With phi(s, a) the features, theta their coefficients and W the weights of the n rows, the fixed point of projected
evaluation solves a linear system (least-squares temporal differences; Lagoudakis & Parr 2003, JMLR 4, section 5):

    [sum W phi (phi - gamma^dt E phi(s', pi))^T / n + penalty] theta = sum W phi r / n

So a value does not depend on how many gradient steps it takes to look far ahead. Q is ``V(s) + A(s, a)``. The penalty
is small for V and larger for A, like prior knowledge worth that many rows: where the log says little about an action,
its effect is taken for small.

The transposed system gives the weight of each row in the value: how often, discounted, the policy passes there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from prudent.ope.features import LogFeatures
from prudent.ope.settings import ROWS, WIDEST

if TYPE_CHECKING:
    from prudent.ope.fqe import Decisions

STATE_ROWS = 0.0005
"""Penalty of V(s), in rows for each feature. With a discount near 1 even a small penalty draws V towards its mean."""
CHOICE_ROWS, PAIR_ROWS = 2.0, 0.02
"""Penalty of A(s, a), in rows for each feature: of discrete actions, each of which has coefficients of its own, and of
continuous ones, which share theirs."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Coefficients of one fit, float64.

    ``state`` (F, C): of V(s) in the first column; of discrete actions, of A(s, a) in the others. ``pair`` (F, 1): of
    A(s, a) for continuous actions. ``visits`` (rows,): the weight of each logged row in the mean of the start states.
    """

    state: Tensor
    pair: Tensor | None
    bad_end: "Solution | None" = None
    visits: Tensor | None = None


class System:
    """The system of one policy in the features of one member."""

    def __init__(self, problem: "Decisions", features: LogFeatures, member: int):
        self.problem, self.features, self.member = problem, features, member
        h = features.state(member)
        self.state_scale = _scale(h)
        self.width = len(self.state_scale)
        if problem.discrete:
            self.actions = problem.policy.shape[1]
            self.basis = _basis(h / self.state_scale, max(1, WIDEST // self.actions))
            self.size = self.width + self.actions * self.basis.shape[1]
        else:
            self.pair_scale = _scale(features.pair(member))
            self.size = self.width + len(self.pair_scale)

    @torch.no_grad()
    def solve(self, counts: Sequence[Tensor], starts: Tensor | None = None) -> list[Solution]:
        """The solution for each of ``counts`` (rows,), how often a row is there.

        With ``starts``, rows that begin an episode, the solutions have ``visits``. A system without a solution gives
        NaN.
        """
        problem = self.problem
        matrices = [torch.zeros(self.size, self.size, dtype=torch.double) for _ in counts]
        rights = [torch.zeros(self.size, 2, dtype=torch.double) for _ in counts]
        bad_end = torch.zeros_like(problem.reward) if problem.bad_end is None else problem.bad_end
        for rows in torch.arange(len(problem.reward)).split(ROWS):
            discount = problem.discount[rows].unsqueeze(1)
            reward = problem.reward[rows].double().unsqueeze(1) + (discount - 1) * problem.centre
            known = [reward / problem.spread, bad_end[rows].double().unsqueeze(1)]
            error = torch.cat([self._logged(rows) - discount * self._next(rows), *known], 1)
            for block, within, phi in self._blocks(rows):
                part = error[within]
                for count, matrix, right in zip(counts, matrices, rights, strict=True):
                    product = (phi * count[rows][within].unsqueeze(1)).mT @ part
                    matrix[block] += product[:, :-2]
                    right[block] += product[:, -2:]
        start = None if starts is None else self._expected(starts).mean(0)
        return [
            self._solution(matrix, right, float(count.sum()), start)
            for count, matrix, right in zip(counts, matrices, rights, strict=True)
        ]

    def _solution(self, matrix: Tensor, right: Tensor, total: float, start: Tensor | None) -> Solution:
        rows = CHOICE_ROWS if self.problem.discrete else PAIR_ROWS
        penalty = torch.full((self.size,), rows * self.width / total, dtype=torch.double)
        penalty[: self.width] = STATE_ROWS * self.width / total
        system = matrix / total + torch.diag(penalty)
        theta, failed = torch.linalg.solve_ex(system, right / total)
        theta = torch.where(failed > 0, torch.nan, theta)
        value, chance = self._coefficients(theta[:, 0]), self._coefficients(theta[:, 1])
        visits = None if start is None else self._visits(torch.linalg.solve_ex(system.mT, start)[0]) / total
        bad_end = None if self.problem.bad_end is None else chance
        return Solution(value.state, value.pair, bad_end, visits)

    def _visits(self, weights: Tensor) -> Tensor:
        parts = torch.arange(len(self.problem.reward)).split(ROWS)
        return torch.cat([self._logged(rows) @ weights for rows in parts])

    def _coefficients(self, theta: Tensor) -> Solution:
        state, rest = theta[: self.width].unsqueeze(1), theta[self.width :]
        if not self.problem.discrete:
            return Solution(state / self.state_scale.unsqueeze(1), (rest / self.pair_scale).unsqueeze(1))
        actions = self.basis @ rest.view(self.actions, -1).mT
        return Solution(torch.cat([state, actions], 1) / self.state_scale.unsqueeze(1), None)

    # --- phi ----------------------------------------------------------------------------------------------------------

    def _logged(self, rows: Tensor) -> Tensor:
        """phi(s, a), (rows, size)."""
        h = self.features.state(self.member)[rows] / self.state_scale
        if not self.problem.discrete:
            return torch.cat([h, self.features.pair(self.member)[rows] / self.pair_scale], 1)
        return self._by_action(h, torch.nn.functional.one_hot(self.problem.action[rows], self.actions).double())

    def _next(self, rows: Tensor) -> Tensor:
        """Mean of phi(s', a') over the policy's actions, (rows, size)."""
        h = self.features.next_state(self.member)[rows] / self.state_scale
        if self.problem.discrete:
            return self._by_action(h, self.problem.next_policy[rows].double())
        return self._with_pairs(h, self.problem.next_observation[rows], self.problem.next_policy[rows])

    def _expected(self, rows: Tensor) -> Tensor:
        """Mean of phi(s, a) over the policy's actions, (rows, size)."""
        h = self.features.state(self.member)[rows] / self.state_scale
        if self.problem.discrete:
            return self._by_action(h, self.problem.policy[rows].double())
        return self._with_pairs(h, self.problem.observation[rows], self.problem.policy[rows])

    def _by_action(self, h: Tensor, policy: Tensor) -> Tensor:
        return torch.cat([h, (policy.unsqueeze(2) * (h @ self.basis).unsqueeze(1)).flatten(1)], 1)

    def _with_pairs(self, h: Tensor, observation: Tensor, actions: Tensor) -> Tensor:
        pair = self.features.mean_pair(self.member, observation, actions)
        return torch.cat([h, pair / self.pair_scale], 1)

    def _blocks(self, rows: Tensor) -> Iterator[tuple[slice, Tensor | slice, Tensor]]:
        """phi(s, a) as (coefficients, rows in which it is not zero, values there): most products would be with zero."""
        if not self.problem.discrete:
            yield slice(None), slice(None), self._logged(rows)
            return
        h, action = self.features.state(self.member)[rows] / self.state_scale, self.problem.action[rows]
        yield slice(0, self.width), slice(None), h
        width = self.basis.shape[1]
        for a in action.unique().tolist():
            taken = (action == a).nonzero().squeeze(1)
            begin = self.width + a * width
            yield slice(begin, begin + width), taken, h[taken] @ self.basis


def _scale(features: Tensor) -> Tensor:
    """The root of each feature's mean square; features are divided by it, so that one penalty fits all."""
    return features.square().mean(0).sqrt().clamp(min=1e-6)


def _basis(features: Tensor, most: int) -> Tensor:
    """Directions (F, up to ``most``) of the features: all of them, or with many actions the main ones."""
    if most >= features.shape[1]:
        return torch.eye(features.shape[1], dtype=torch.double)
    return torch.linalg.eigh(features.mT @ features).eigenvectors[:, -most:]

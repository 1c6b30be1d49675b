"""Mean rewards of single decisions, learned by regression (:mod:`prudent.ope.one_step`).

Each fit keeps the weights that were best on held-out rows and stops when these get no better, so rewards that are rare
are not learned by heart. The constant mean is the first candidate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prudent import nn
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope import policy as policies
from prudent.ope.fqe import Decisions
from prudent.ope.settings import Settings
from prudent.progress import watched
from prudent.types import Params

CHECK_EVERY = 100
PATIENCE = 5
"""Checks without a better fit of the held-out rows after which the fit stops."""
MOST_HELD_OUT = 8192
"""At most so many held-out rows are looked at in a check."""


def q_of(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Network output for one action per row, (P, B); for continuous actions (P, N, B, A) it is (P, N, B)."""
    if not action.is_floating_point():
        return nn.value_of(nn.mlp(params, observation), action)
    ensemble = {name: p.unsqueeze(1) for name, p in params.items()}
    return nn.critic(ensemble, observation, action).squeeze(1)


@dataclass(frozen=True, eq=False)
class RewardValues:
    """Fitted mean rewards of P members; every method returns raw reward units, float64."""

    problem: Decisions
    params: Params

    @torch.no_grad()
    def logged_q(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """Mean reward of the logged actions, (members, rows)."""
        params, problem = {name: p[list(members)] for name, p in self.params.items()}, self.problem
        parts = [q_of(params, *_each(params, problem.observation[r], problem.action[r])) for r in _pieces(rows)]
        return self._raw(parts)

    @torch.no_grad()
    def value(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """Mean reward of the policy in the states of these rows, (members, rows)."""
        params, problem = {name: p[list(members)] for name, p in self.params.items()}, self.problem
        parts = []
        for r in _pieces(rows):
            if problem.discrete:
                (observation,) = _each(params, problem.observation[r])
                parts.append((problem.policy[r] * nn.mlp(params, observation)).sum(-1))
            else:
                chosen = _each(params, problem.observation[r], problem.policy[r].movedim(1, 0))
                parts.append(q_of(params, *chosen).mean(1))
        return self._raw(parts)

    def _raw(self, parts: list[Tensor]) -> np.ndarray:
        return self.problem.centre + self.problem.spread * torch.cat(parts, -1).double().numpy()


def _each(params: Params, *columns: Tensor) -> list[Tensor]:
    return [x.expand(len(params["w0"]), *x.shape) for x in columns]


def _pieces(rows: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(rows[part]) for part in policies.slices(len(rows))]


def fit(problem: Decisions, pools: list[tuple[Tensor, Tensor]], settings: Settings, seed: int) -> RewardValues:
    """A regression of the reward for each pair of rows to fit to and rows to check with, stopped at its best."""
    count, seeds = len(pools), [seed * 100_003 + p for p in range(len(pools))]
    size, discrete = problem.observation.shape[-1], problem.discrete
    inputs, outputs = (size, problem.policy.shape[-1]) if discrete else (size + problem.action.shape[-1], 1)
    params = nn.init_mlp(MemberRng(seeds, "reward init"), (inputs, *settings.hidden, outputs))
    for part in ("w", "b"):  # the first candidate is the mean reward
        params[f"{part}{len(settings.hidden)}"].zero_()
    reward = (problem.reward - problem.centre) / problem.spread
    rows_P, checks_P = [train for train, _ in pools], [_some(check, seed) for _, check in pools]
    rng, state = MemberRng(seeds, "reward rows"), optim.adam_init(params)
    average = {name: p.clone() for name, p in params.items()}
    polyak_P = torch.full((count,), settings.polyak)
    best = {name: p.clone() for name, p in average.items()}
    lowest_P = _losses(average, problem, reward, checks_P)
    waited_P = torch.zeros(count)
    for step in watched(range(settings.steps), "fitting rewards", "steps"):
        index_P = rng.integers([len(rows) for rows in rows_P], settings.batch_size)
        rows_PB = torch.stack([rows[i] for rows, i in zip(rows_P, index_P, strict=True)])
        observation, action, y_PB = problem.observation[rows_PB], problem.action[rows_PB], reward[rows_PB]
        gradients, _ = optim.gradients(
            lambda leaves, s=observation, a=action, y=y_PB: ((q_of(leaves, s, a) - y).square().mean(-1), {}), params
        )
        optim.adam_step(params, gradients, state, torch.full((count,), settings.lr))
        optim.polyak(average, params, polyak_P)
        if (step + 1) % CHECK_EVERY and step + 1 < settings.steps:
            continue
        losses_P = _losses(average, problem, reward, checks_P)
        better_P = losses_P < lowest_P
        lowest_P, waited_P = torch.where(better_P, losses_P, lowest_P), torch.where(better_P, 0, waited_P + 1)
        best = {name: torch.where(optim.per_member(better_P, p), p, best[name]) for name, p in average.items()}
        if bool((waited_P >= PATIENCE).all()):
            break
    return RewardValues(problem, best)


def _some(rows: Tensor, seed: int) -> Tensor:
    if len(rows) <= MOST_HELD_OUT:
        return rows
    chosen = np.random.default_rng([seed, 17]).permutation(len(rows))[:MOST_HELD_OUT]
    return rows[torch.from_numpy(np.sort(chosen))]


@torch.no_grad()
def _losses(params: Params, problem: Decisions, reward: Tensor, rows_P: list[Tensor]) -> Tensor:
    """Mean squared error of each member on its held-out rows, (P,)."""
    losses = []
    for p, rows in enumerate(rows_P):
        solo = {name: value[p : p + 1] for name, value in params.items()}
        q = q_of(solo, problem.observation[rows].unsqueeze(0), problem.action[rows].unsqueeze(0))[0]
        losses.append((q - reward[rows]).square().mean())
    stacked = torch.stack(losses)
    return torch.where(stacked.isnan(), math.inf, stacked)

"""Fitted Q evaluation: the values of a policy, learned from the log without a maximum over actions.

Le, Voloshin & Yue 2019 (arXiv 1903.08738, algorithm 3), by stochastic steps and a target that follows (Polyak):

    y = r + gamma^dt (1 - terminated) E_{a' ~ pi(.|s')} Qbar(s', a'),   loss = mean (Q(s, a) - y)^2

The expectation is the sum over discrete actions; of a continuous policy one of its draws at s' is taken anew in every
step. Each member has its own start, its own rows and its own target: nothing is shared and no minimum is taken over
members, since a lower bound would not be an estimate. Members may also have their own episodes: a fold's complement,
or a resample with replacement.

Rewards are raw. Inside, Q is ``centre + spread * network``, so that networks learn numbers of order one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prudent import nn
from prudent.engine.scaling import Scaling
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope import policy as policies
from prudent.ope.episodes import Episodes, going_on
from prudent.ope.policy import ROWS, DiscretePolicy, Policy
from prudent.ope.settings import Settings
from prudent.types import Params


@dataclass(frozen=True, eq=False)
class Decisions:
    """The log as fitted Q evaluation reads it: rows in the networks' units, and what the policy does there.

    ``here`` and ``ahead`` are the policy at s and at s': probabilities (rows, A) of discrete actions, draws (rows, N,
    A) of continuous ones. These and the logged ones are standardised with the logged ones' mean and deviation: declared
    bounds may be far wider than what anybody does. ``asked`` is ``here`` in the units of the log. ``discount`` (rows,)
    is 0 where the task ended.
    """

    observation: Tensor
    next_observation: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    here: Tensor
    ahead: Tensor
    asked: np.ndarray
    centre: float
    spread: float

    @property
    def discrete(self) -> bool:
        """Whether actions are."""
        return not self.action.is_floating_point()


def decisions(episodes: Episodes, policy: Policy, settings: Settings, seed: int) -> Decisions:
    """What ``policy`` does in the states of the log.

    Raises:
        ConfigError: it has diverged.
    """
    dataset = episodes.dataset
    if isinstance(policy, DiscretePolicy):
        here = policies.probabilities(policy, dataset.observation, dataset.extra.get("mask"))
        ahead = policies.probabilities(policy, dataset.next_observation, dataset.extra.get("next_mask"))
        return _assemble(episodes, dataset.action, here, ahead, here)
    here = policies.draws(policy, dataset.observation, settings.draws, seed)
    ahead = policies.draws(policy, dataset.next_observation, settings.draws, seed + 1)
    mean, std = dataset.action.mean(0, dtype=np.float64), dataset.action.std(0, dtype=np.float64)
    std = np.where(std > 1e-6 * np.maximum(1.0, np.abs(mean)), std, 1.0)
    action, scaled_here, scaled_ahead = (
        ((drawn - mean) / std).astype(np.float32) for drawn in (dataset.action, here, ahead)
    )
    return _assemble(episodes, action, scaled_here, scaled_ahead, here)


def behaviour_decisions(episodes: Episodes) -> Decisions:
    """The log's own course as a policy of one action: its value is V of the behaviour, learned without its actions."""
    rows = len(episodes.dataset)
    only = np.ones((rows, 1), dtype=np.float32)
    return _assemble(episodes, np.zeros(rows, dtype=np.int64), only, only, only)


def _assemble(
    episodes: Episodes, action: np.ndarray, here: np.ndarray, ahead: np.ndarray, asked: np.ndarray
) -> Decisions:
    dataset, scaling = episodes.dataset, Scaling.fit(episodes.dataset, True)
    discount = np.where(going_on(dataset), episodes.discount**episodes.dt, 0.0)
    centre, spread = first_values(episodes)
    return Decisions(
        observation=scaling.observation(torch.from_numpy(dataset.observation)),
        next_observation=scaling.observation(torch.from_numpy(dataset.next_observation)),
        action=torch.from_numpy(action),
        reward=torch.from_numpy(dataset.reward),
        discount=torch.from_numpy(discount.astype(np.float32)),
        here=torch.from_numpy(here),
        ahead=torch.from_numpy(ahead),
        asked=asked,
        centre=centre,
        spread=spread,
    )


def first_values(episodes: Episodes) -> tuple[float, float]:
    """A level and a scale of the values to start from: a recording's mean reward over the time that counts.

    The level solves ``v = mean r + mean (gamma^dt (1 - terminated)) v``, the value of a process without memory.
    """
    dataset = episodes.dataset
    # Never 0: an endless log without a discount is refused, see lay_out.
    lost = float(np.where(going_on(dataset), 1 - episodes.discount**episodes.dt, 1.0).mean())
    centre = float(dataset.reward.mean(dtype=np.float64)) / lost
    spread = float(dataset.reward.std(dtype=np.float64)) / lost**0.5
    return centre, spread if spread > 1e-6 * max(1.0, abs(centre)) else max(1.0, abs(centre))


# --- values -----------------------------------------------------------------------------------------------------------


def q_all(params: Params, observation: Tensor) -> Tensor:
    """Networks' Q of every discrete action, (P, B, A)."""
    return nn.mlp(params, observation)


def q_of(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Networks' Q (P, B) of one action per row, or (P, N, B) of continuous ones (P, N, B, A)."""
    if not action.is_floating_point():
        return nn.value_of(q_all(params, observation), action)
    ensemble = {name: p.unsqueeze(1) for name, p in params.items()}
    return nn.critic(ensemble, observation, action).squeeze(1)


def target(params: Params, problem: Decisions, rows_PB: Tensor, which_PB: Tensor) -> Tensor:
    """``r + gamma^dt (1 - terminated) E Qbar(s', a')`` in the networks' units, (P, B).

    ``which_PB`` picks one draw per row of a continuous policy.
    """
    following, ahead = problem.next_observation[rows_PB], problem.ahead
    if problem.discrete:
        value_PB = (ahead[rows_PB] * q_all(params, following)).sum(-1)
    else:
        value_PB = q_of(params, following, ahead[rows_PB, which_PB])
    raw_PB = problem.reward[rows_PB] + problem.discount[rows_PB] * (problem.centre + problem.spread * value_PB)
    return (raw_PB - problem.centre) / problem.spread


@dataclass(frozen=True, eq=False)
class Fitted:
    """Values of P members. All answers are in raw reward units, float64."""

    problem: Decisions
    params: Params
    earlier: Params
    """What ``params`` were at half of the steps: where these values are elsewhere, there was much left to learn."""

    @property
    def halfway(self) -> "Fitted":
        """The values as they were at half of the steps."""
        return replace(self, params=self.earlier)

    @torch.no_grad()
    def logged(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """Q of the logged actions, (P, rows) of the members named."""
        own, problem = self._of(members), self.problem
        parts = [
            q_of(own, _stacked(problem.observation[r], own), _stacked(problem.action[r], own)) for r in _pieces(rows)
        ]
        return self._raw(parts)

    def here(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the states of these rows, (P, rows)."""
        return self._expected(members, rows, self.problem.observation, self.problem.here)

    def ahead(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the states that these rows led to, (P, rows)."""
        return self._expected(members, rows, self.problem.next_observation, self.problem.ahead)

    @torch.no_grad()
    def _expected(self, members: Sequence[int], rows: np.ndarray, state: Tensor, policy: Tensor) -> np.ndarray:
        own, parts = self._of(members), []
        for r in _pieces(rows):
            observation = _stacked(state[r], own)
            if self.problem.discrete:
                parts.append((policy[r] * q_all(own, observation)).sum(-1))
            else:
                parts.append(q_of(own, observation, _stacked(policy[r].movedim(1, 0), own)).mean(1))
        return self._raw(parts)

    def _of(self, members: Sequence[int]) -> Params:
        return {name: p[list(members)] for name, p in self.params.items()}

    def _raw(self, parts: list[Tensor]) -> np.ndarray:
        return self.problem.centre + self.problem.spread * torch.cat(parts, -1).double().numpy()


def _stacked(x: Tensor, params: Params) -> Tensor:
    return x.expand(len(params["w0"]), *x.shape)


def _pieces(rows: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]


# --- fitting ----------------------------------------------------------------------------------------------------------


def rows_of(episodes: Episodes, counts_E: np.ndarray) -> Tensor:
    """The rows of the episodes, each as often as ``counts_E`` (episodes,) says."""
    return torch.from_numpy(np.repeat(np.arange(len(episodes.dataset)), counts_E[episodes.dataset.episode_of_row]))


def fit(problem: Decisions, pools: Sequence[Tensor], settings: Settings, seed: int) -> Fitted:
    """One member per pool of rows, each drawn from with replacement."""
    count, seeds = len(pools), [seed * 100_003 + p for p in range(len(pools))]
    size = problem.observation.shape[-1]
    if problem.discrete:
        sizes = (size, *settings.hidden, problem.here.shape[-1])
    else:
        sizes = (size + problem.action.shape[-1], *settings.hidden, 1)
    params = nn.init_mlp(MemberRng(seeds, "fqe init"), sizes)
    params[f"b{len(settings.hidden)}"].zero_()
    frozen = {name: p.clone() for name, p in params.items()}
    state, rng = optim.adam_init(params), MemberRng(seeds, "fqe rows")
    flat, offset_P1 = _joined(pools)
    polyak_P, lengths = torch.full((count,), settings.polyak), [len(p) for p in pools]
    earlier = frozen
    for step in range(settings.steps):
        if step == settings.steps // 2:
            earlier = {name: p.clone() for name, p in frozen.items()}
        index = rng.integers(lengths, settings.batch_size)
        rows_PB = flat[index + offset_P1]
        which_PB = index if problem.discrete else rng.integers(problem.ahead.shape[1], settings.batch_size)
        with torch.no_grad():
            y_PB = target(frozen, problem, rows_PB, which_PB)
        observation, action = problem.observation[rows_PB], problem.action[rows_PB]
        found, _ = optim.gradients(
            lambda leaves, s=observation, a=action, y=y_PB: ((q_of(leaves, s, a) - y).square().mean(-1), {}), params
        )
        optim.adam_step(params, found, state, torch.full((count,), learning_rate(settings, step)))
        optim.polyak(frozen, params, polyak_P)
    # The target is the average of the late iterates: less noise than the last of them.
    return Fitted(problem, frozen, earlier)


def _joined(pools: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The different pools one behind the other, and where each member's begins, (P, 1)."""
    begins: dict[int, int] = {}
    different: list[Tensor] = []
    for pool in pools:
        if id(pool) not in begins:
            begins[id(pool)] = sum(len(p) for p in different)
            different.append(pool)
    return torch.cat(different), torch.tensor([[begins[id(pool)]] for pool in pools])


def learning_rate(settings: Settings, step: int) -> float:
    """Constant for the first half, then down a straight line to a twentieth."""
    left = min(1.0, 2 * (1 - step / settings.steps))
    return settings.lr * (0.05 + 0.95 * left)


def combine(values_P: np.ndarray) -> np.ndarray:
    """The members' answers (P, ...) as one: their mean, never their minimum."""
    return values_P.mean(axis=0)

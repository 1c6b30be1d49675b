"""Fitted Q evaluation: the values of a policy, learned from the log.

Le, Voloshin & Yue 2019 (arXiv 1903.08738, algorithm 3), with stochastic gradient steps and a Polyak-averaged target:

    y = r + gamma^dt (1 - terminated) E_{a' ~ pi(.|s')} Qbar(s', a'),   loss = mean (Q(s, a) - y)^2

The expectation is a sum over discrete actions. For a continuous policy, each step picks one of its draws at s' at
random. Each member has its own initial weights, rows and target. There is no minimum over members, since a lower bound
is not an estimate. Members may also have their own episodes: all but one fold, or a resample with replacement.

Rewards are raw. Internally Q is ``centre + spread * network``, so that networks learn numbers of order one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from prudent import nn, statistics
from prudent.engine.scaling import Scaling
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope import policy as policies
from prudent.ope.episodes import Episodes, goes_on
from prudent.ope.policy import ContinuousPolicy, Policy
from prudent.ope.settings import Settings
from prudent.progress import watched
from prudent.types import Params


@dataclass(frozen=True, eq=False)
class Decisions:
    """The log as fitted Q evaluation reads it: rows in the units of the networks, and the policy's actions there.

    Attributes:
        observation, next_observation, action, reward: the rows.
        discount: (rows,) ``gamma^dt``, 0 at a termination.
        policy, next_policy: the policy at s and at s': probabilities (rows, A) of discrete actions, or draws (rows, N,
            A) of continuous ones. Continuous actions, logged or drawn, are standardised with the mean and the standard
            deviation of the logged ones, since declared bounds may be far wider than the actions taken.
        policy_actions: ``policy`` in the units of the log.
        centre, spread: Q is ``centre + spread * network``.
    """

    observation: Tensor
    next_observation: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    policy: Tensor
    next_policy: Tensor
    policy_actions: np.ndarray
    centre: float
    spread: float

    @property
    def discrete(self) -> bool:
        """Whether actions are discrete."""
        return not self.action.is_floating_point()


def decisions(episodes: Episodes, policy: Policy, settings: Settings, seed: int) -> Decisions:
    """The log with the actions of ``policy`` in its states.

    Raises:
        ConfigError: the policy has diverged.
    """
    dataset = episodes.dataset
    if not isinstance(policy, ContinuousPolicy):
        table, next_table = policies.tables(policy, dataset)
        return _assemble(episodes, dataset.spec.index_of(dataset.action), table, next_table, table)
    drawn = policies.draws(policy, dataset.observation, settings.draws, seed)
    next_drawn = policies.draws(policy, dataset.next_observation, settings.draws, seed + 1)
    mean = dataset.action.mean(0, dtype=np.float64)
    std = statistics.divisor(mean, dataset.action.std(0, dtype=np.float64))
    action, policy_scaled, next_scaled = (
        ((actions - mean) / std).astype(np.float32) for actions in (dataset.action, drawn, next_drawn)
    )
    return _assemble(episodes, action, policy_scaled, next_scaled, drawn)


def behaviour_decisions(episodes: Episodes) -> Decisions:
    """The log with a single action that the policy always takes: fitting it learns V of the behaviour policy."""
    rows = len(episodes.dataset)
    always = np.ones((rows, 1), dtype=np.float32)
    return _assemble(episodes, np.zeros(rows, dtype=np.int64), always, always, always)


def _assemble(
    episodes: Episodes, action: np.ndarray, policy: np.ndarray, next_policy: np.ndarray, policy_actions: np.ndarray
) -> Decisions:
    dataset, scaling = episodes.dataset, Scaling.fit(episodes.dataset, True)
    discount = np.where(goes_on(dataset), episodes.discount**episodes.dt, 0.0)
    centre, spread = first_values(episodes)
    return Decisions(
        observation=scaling.observation(torch.from_numpy(dataset.observation)),
        next_observation=scaling.observation(torch.from_numpy(dataset.next_observation)),
        action=torch.from_numpy(action),
        reward=torch.from_numpy(dataset.reward),
        discount=torch.from_numpy(discount.astype(np.float32)),
        policy=torch.from_numpy(policy),
        next_policy=torch.from_numpy(next_policy),
        policy_actions=policy_actions,
        centre=centre,
        spread=spread,
    )


def first_values(episodes: Episodes) -> tuple[float, float]:
    """``centre`` and ``spread`` of the values at the start of a fit: those of a process without memory.

    The centre solves ``v = mean r + mean (gamma^dt (1 - terminated)) v``.
    """
    dataset = episodes.dataset
    # Never 0: lay_out refuses episodes that do not terminate if there is no discount.
    rate = float(np.where(goes_on(dataset), 1 - episodes.discount**episodes.dt, 1.0).mean())
    centre = float(dataset.reward.mean(dtype=np.float64)) / rate
    spread = float(dataset.reward.std(dtype=np.float64)) / rate**0.5
    return centre, spread if spread > 1e-6 * max(1.0, abs(centre)) else max(1.0, abs(centre))


# --- values -----------------------------------------------------------------------------------------------------------


def q_all(params: Params, observation: Tensor) -> Tensor:
    """Network output for every discrete action, (P, B, A)."""
    return nn.mlp(params, observation)


def q_of(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Network output for one action per row, (P, B); for continuous actions (P, N, B, A) it is (P, N, B)."""
    if not action.is_floating_point():
        return nn.value_of(q_all(params, observation), action)
    ensemble = {name: p.unsqueeze(1) for name, p in params.items()}
    return nn.critic(ensemble, observation, action).squeeze(1)


def target(params: Params, problem: Decisions, rows_PB: Tensor, draw_PB: Tensor) -> Tensor:
    """``r + gamma^dt (1 - terminated) E Qbar(s', a')`` in the units of the networks, (P, B).

    ``draw_PB`` picks one draw per row of a continuous policy.
    """
    next_observation = problem.next_observation[rows_PB]
    if problem.discrete:
        value_PB = (problem.next_policy[rows_PB] * q_all(params, next_observation)).sum(-1)
    else:
        value_PB = q_of(params, next_observation, problem.next_policy[rows_PB, draw_PB])
    raw_PB = problem.reward[rows_PB] + problem.discount[rows_PB] * (problem.centre + problem.spread * value_PB)
    return (raw_PB - problem.centre) / problem.spread


@dataclass(frozen=True, eq=False)
class FittedValues:
    """Fitted values of P members. Every method returns raw reward units, float64."""

    problem: Decisions
    params: Params
    halfway_params: Params
    """``params`` after half of the steps. If their values differ much, the fit was too short."""

    @property
    def halfway(self) -> "FittedValues":
        """The values after half of the steps."""
        return replace(self, params=self.halfway_params)

    @torch.no_grad()
    def logged_q(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """Q of the logged actions, (members, rows)."""
        params, problem = self._params_of(members), self.problem
        parts = [
            q_of(params, _per_member(problem.observation[r], params), _per_member(problem.action[r], params))
            for r in _pieces(rows)
        ]
        return self._raw(parts)

    def value(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the states of these rows, (members, rows)."""
        return self._expected(members, rows, self.problem.observation, self.problem.policy)

    def next_value(self, members: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """V of the next states of these rows, (members, rows)."""
        return self._expected(members, rows, self.problem.next_observation, self.problem.next_policy)

    @torch.no_grad()
    def _expected(self, members: Sequence[int], rows: np.ndarray, state: Tensor, policy: Tensor) -> np.ndarray:
        params, parts = self._params_of(members), []
        for r in _pieces(rows):
            observation = _per_member(state[r], params)
            if self.problem.discrete:
                parts.append((policy[r] * q_all(params, observation)).sum(-1))
            else:
                parts.append(q_of(params, observation, _per_member(policy[r].movedim(1, 0), params)).mean(1))
        return self._raw(parts)

    def _params_of(self, members: Sequence[int]) -> Params:
        return {name: p[list(members)] for name, p in self.params.items()}

    def _raw(self, parts: list[Tensor]) -> np.ndarray:
        return self.problem.centre + self.problem.spread * torch.cat(parts, -1).double().numpy()


def _per_member(x: Tensor, params: Params) -> Tensor:
    return x.expand(len(params["w0"]), *x.shape)


def _pieces(rows: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(rows[part]) for part in policies.slices(len(rows))]


# --- fitting ----------------------------------------------------------------------------------------------------------


def all_rows(episodes: Episodes) -> Tensor:
    """Every row once."""
    return torch.arange(len(episodes.dataset))


def rows_of(episodes: Episodes, counts_E: np.ndarray) -> Tensor:
    """The rows of the episodes, with those of each episode repeated ``counts_E`` (episodes,) times."""
    return torch.from_numpy(np.repeat(np.arange(len(episodes.dataset)), counts_E[episodes.dataset.episode_of_row]))


def fit(problem: Decisions, pools: Sequence[Tensor], settings: Settings, seed: int) -> FittedValues:
    """Fits one member per pool of rows; batches are drawn from its pool with replacement."""
    count, seeds = len(pools), [seed * 100_003 + p for p in range(len(pools))]
    size = problem.observation.shape[-1]
    if problem.discrete:
        sizes = (size, *settings.hidden, problem.policy.shape[-1])
    else:
        sizes = (size + problem.action.shape[-1], *settings.hidden, 1)
    params = nn.init_mlp(MemberRng(seeds, "fqe init"), sizes)
    params[f"b{len(settings.hidden)}"].zero_()
    target_params = {name: p.clone() for name, p in params.items()}
    state, rng = optim.adam_init(params), MemberRng(seeds, "fqe rows")
    flat, offset_P1 = _joined(pools)
    polyak_P, lengths = torch.full((count,), settings.polyak), [len(p) for p in pools]
    halfway_params = target_params
    for step in watched(range(settings.steps), "fitting values", "steps"):
        if step == settings.steps // 2:
            halfway_params = {name: p.clone() for name, p in target_params.items()}
        index = rng.integers(lengths, settings.batch_size)
        rows_PB = flat[index + offset_P1]
        draw_PB = index if problem.discrete else rng.integers(problem.next_policy.shape[1], settings.batch_size)
        with torch.no_grad():
            y_PB = target(target_params, problem, rows_PB, draw_PB)
        observation, action = problem.observation[rows_PB], problem.action[rows_PB]
        gradients, _ = optim.gradients(
            lambda leaves, s=observation, a=action, y=y_PB: ((q_of(leaves, s, a) - y).square().mean(-1), {}), params
        )
        optim.adam_step(params, gradients, state, torch.full((count,), learning_rate(settings, step)))
        optim.polyak(target_params, params, polyak_P)
    # The target network averages the late iterates, so it is less noisy than the last iterate.
    return FittedValues(problem, target_params, halfway_params)


def _joined(pools: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The pools concatenated, each tensor once, and the start of each member's pool in there, (P, 1)."""
    starts: dict[int, int] = {}
    distinct: list[Tensor] = []
    for pool in pools:
        if id(pool) not in starts:
            starts[id(pool)] = sum(len(p) for p in distinct)
            distinct.append(pool)
    return torch.cat(distinct), torch.tensor([[starts[id(pool)]] for pool in pools])


def learning_rate(settings: Settings, step: int) -> float:
    """Constant for the first half, then falling linearly to a twentieth."""
    share = min(1.0, 2 * (1 - step / settings.steps))
    return settings.lr * (0.05 + 0.95 * share)


def combine(values_P: np.ndarray) -> np.ndarray:
    """One value from those of the members (P, ...): their mean, never their minimum."""
    return values_P.mean(axis=0)

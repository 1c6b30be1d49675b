"""The policy to evaluate: its probabilities, draws and densities, in the units of the log.

A policy is a few functions of observations, or the table of its probabilities in a log. :func:`as_policy` makes one
from a member of a trained population, including its scaling. Any other policy can be written down directly as a
:class:`DiscretePolicy` or a :class:`ContinuousPolicy`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from prudent import nn
from prudent.data import Dataset
from prudent.engine.population import Population
from prudent.errors import ConfigError
from prudent.progress import Wait
from prudent.types import Spec

ROWS = 8192
"""Rows that go through a network at once."""


@dataclass(frozen=True)
class DiscretePolicy:
    """``probability(observation (R, S), mask (R, A) bool or None) -> (R, A)``, each row summing to 1.

    Column j is action ``spec.first_action + j``.
    """

    spec: Spec
    probability: Callable[[np.ndarray, np.ndarray | None], np.ndarray]
    name: str = "policy"
    discount: float | None = None


@dataclass(frozen=True)
class ContinuousPolicy:
    """``draw(observation (R, S), generator) -> (R, A)``, one draw per row in the units of the log.

    ``log_prob(observation (R, S), action (R, A)) -> (R,)`` is its log-density in those units. None for a policy that
    takes one action per state, since that has no density.
    """

    spec: Spec
    draw: Callable[[np.ndarray, torch.Generator], np.ndarray]
    log_prob: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    name: str = "policy"
    discount: float | None = None


@dataclass(frozen=True, eq=False)
class LoggedPolicy:
    """A policy of which only the probabilities at the rows of one log are known; :mod:`prudent.ope.logged` makes them.

    ``log_prob`` (rows,) is the log-probability, or log-density in the units of the log, of each logged action.
    ``probability`` and ``next_probability`` (rows, A) are those of every discrete action in the state and the next
    state of each row; None if only the probability of the logged action is known.
    """

    spec: Spec
    log_prob: np.ndarray
    probability: np.ndarray | None = None
    next_probability: np.ndarray | None = None
    name: str = "target_prob"
    discount: float | None = None


Policy = DiscretePolicy | ContinuousPolicy | LoggedPolicy


def as_policy(agent: Any, member: int = 0) -> Policy:
    """The policy of one member of a population or of a fitted agent. A policy is returned unchanged.

    A stochastic policy stays stochastic: that is the policy that was trained and that its critics value.

    Raises:
        ConfigError: the agent is not fitted, has no such member, or is neither an agent, a population nor a policy.
    """
    if isinstance(agent, Policy):
        return agent
    population = getattr(agent, "population", agent)
    if population is None:
        raise ConfigError("the agent has not been fitted: there is no policy to evaluate yet")
    if not isinstance(population, Population):
        raise ConfigError(f"a policy to value is a function, a Policy or an agent, got {type(agent).__name__}")
    if not 0 <= member < population.size:
        raise ConfigError(f"member must lie within 0 to {population.size - 1}, got {member}")
    solo = population.member(member)
    shared = {"spec": solo.spec, "name": solo.names[0], "discount": float(solo.discount[0])}
    if solo.spec.discrete:
        return DiscretePolicy(probability=lambda observation, mask: _probability(solo, observation, mask), **shared)
    kind = solo.algorithm.POLICY
    log_prob = None if kind == "deterministic" else lambda observation, action: _log_prob(solo, observation, action)
    return ContinuousPolicy(draw=lambda observation, rng: _draw(solo, observation, rng), log_prob=log_prob, **shared)


@torch.no_grad()
def _probability(solo: Population, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    stacked = None if mask is None else mask[None]
    if solo.algorithm.POLICY == "greedy":
        action = solo.spec.index_of(solo.act(observation[None], mask=stacked)[0])
        # A diverged network returns action -1. NaN makes probabilities() report it.
        return np.where(action[:, None] < 0, np.nan, np.arange(solo.spec.action_size) == action[:, None])
    scaled = solo.policy_input(observation[None])
    allowed = None if stacked is None else torch.from_numpy(stacked).to(solo.device)
    logits = nn.mlp(solo.state.networks["actor"], scaled)
    return nn.log_prob_categorical(logits, allowed)[0].double().exp().cpu().numpy()


def _draw(solo: Population, observation: np.ndarray, generator: torch.Generator) -> np.ndarray:
    return solo.act(observation[None], deterministic=False, generator=generator)[0]


@torch.no_grad()
def _log_prob(solo: Population, observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    scaled = solo.policy_input(observation[None])
    mean, log_std = nn.tanh_gaussian(solo.state.networks["actor"], scaled)
    scaled_action = solo.scaling.action(_tensor(action, solo).unsqueeze(0))
    log_prob = nn.log_prob_tanh_gaussian(mean, log_std, scaled_action)[0]
    return (log_prob - solo.scaling.action_half_range.log().sum()).double().cpu().numpy()


def _tensor(values: np.ndarray, solo: Population) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32)).to(solo.device)


# --- evaluating it ----------------------------------------------------------------------------------------------------


def check(policy: Policy, dataset: Dataset) -> None:
    """Refuse a policy whose spaces differ from those of the data.

    Raises:
        ConfigError: kinds, sizes or declared bounds differ.
    """
    for f in fields(Spec):
        expected, logged = getattr(policy.spec, f.name), getattr(dataset.spec, f.name)
        undeclared = f.name in ("action_low", "action_high") and (expected is None or logged is None)
        if expected != logged and not undeclared:
            raise ConfigError(
                f"{policy.name} is a policy for other spaces than {dataset.name}: its {f.name} is {expected}, "
                f"that of the data is {logged}"
            )


def probabilities(policy: DiscretePolicy, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Probability of each action, (R, A) float32.

    Raises:
        ConfigError: the policy has diverged: these are not probabilities.
    """
    parts = [
        policy.probability(observation[rows], None if mask is None else mask[rows]) for rows in slices(len(observation))
    ]
    table = np.concatenate(parts)
    wrong = ~np.isfinite(table).all(axis=1) | (np.abs(table.sum(axis=1) - 1) > 1e-3) | (table < 0).any(axis=1)
    if wrong.any():
        raise ConfigError(f"{policy.name} gives no probabilities in {int(wrong.sum())} rows: it has diverged")
    return table.astype(np.float32)


def tables(policy: DiscretePolicy | LoggedPolicy, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each action in the state and in the next state of each row, twice (rows, A) float32.

    Raises:
        ConfigError: as in :func:`probabilities`; or only the probabilities of the logged actions are known.
    """
    if isinstance(policy, LoggedPolicy):
        if policy.probability is None or policy.next_probability is None:
            raise ConfigError(f"{policy.name}: only the probabilities of the logged actions are known")
        return policy.probability, policy.next_probability
    extra = dataset.extra
    table = probabilities(policy, dataset.observation, extra.get("mask"))
    return table, probabilities(policy, dataset.next_observation, extra.get("next_mask"))


def draws(policy: ContinuousPolicy, observation: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` actions per row drawn from the policy, (R, N, A) float32 in the units of the log.

    Raises:
        ConfigError: the policy has diverged: an action is not a number.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [
        np.stack([policy.draw(observation[rows], generator) for _ in range(count)], axis=1).astype(np.float32)
        for rows in slices(len(observation))
    ]
    actions = np.concatenate(parts)
    wrong = ~np.isfinite(actions).all(axis=(1, 2))
    if wrong.any():
        raise ConfigError(
            f"{policy.name} takes actions that are not numbers in {int(wrong.sum())} rows: it has diverged"
        )
    return actions


def log_probs(policy: Policy, dataset: Dataset) -> np.ndarray | None:
    """Log-probability, or log-density in the units of the log, of each logged action, (R,); None without a density."""
    if isinstance(policy, LoggedPolicy):
        return policy.log_prob
    if isinstance(policy, DiscretePolicy):
        table = probabilities(policy, dataset.observation, dataset.extra.get("mask"))
        with np.errstate(divide="ignore"):
            return np.log(table[np.arange(len(dataset)), dataset.spec.index_of(dataset.action)].astype(np.float64))
    if policy.log_prob is None:
        return None
    parts = [policy.log_prob(dataset.observation[rows], dataset.action[rows]) for rows in slices(len(dataset))]
    return np.concatenate(parts).astype(np.float64)


def slices(rows: int) -> Iterator[slice]:
    """``rows`` rows as slices of at most :data:`ROWS`; a long loop over them says how far it is."""
    with Wait("asking the policy", rows, "rows") as wait:
        for start in range(0, rows, ROWS):
            yield slice(start, start + ROWS)
            wait.update(min(start + ROWS, rows))

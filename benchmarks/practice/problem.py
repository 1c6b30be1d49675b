"""What every practice problem is made of: a simulator of many episodes at once, and the log, policies and truth of it.

A policy is a function ``(observation (N, S) float32, mask (N, A) bool or None, rng) -> actions``: (N,) int64 for
discrete actions, (N, A) in the log's units for continuous ones.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data import Dataset

Policy = Callable[[np.ndarray, np.ndarray | None, np.random.Generator], np.ndarray]
Probability = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
"""Probabilities (N, A) of discrete actions, from observations (N, S) and masks."""
REMAINDER = 1e-3
"""A simulation ends where the discount has fallen below this share."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one step of N episodes led to, each (N,): ``dt`` is None where every step lasts 1.

    ``bad`` are the terminations with a loss. They are among ``terminated``.
    """

    reward: np.ndarray
    terminated: np.ndarray
    bad: np.ndarray
    dt: np.ndarray | None = None


class Simulator(ABC):
    """N episodes of one problem, side by side. Subclasses draw their start states in ``__init__``.

    A step draws the same random numbers whatever the actions are, so that two policies meet the same luck.
    """

    group: np.ndarray | None = None
    """Number of the group of each episode, (N,) int64."""

    def __init__(self, n: int, rng: np.random.Generator):
        self.n, self.rng = n, rng
        self.never = np.zeros(n, dtype=bool)

    @abstractmethod
    def observe(self) -> np.ndarray:
        """(N, S) float32."""

    def mask(self) -> np.ndarray | None:
        """(N, A) bool: which discrete actions are allowed now. None: all of them, or the actions are continuous."""
        return None

    @abstractmethod
    def step(self, action: np.ndarray) -> Outcome:
        """One step of every episode. Those that have terminated take it too; nobody looks at them."""


@dataclass(frozen=True, eq=False)
class Returns:
    """Discounted returns (N,) of simulated episodes, and whether each ended badly, (N,) bool."""

    value: np.ndarray
    bad: np.ndarray

    def summary(self) -> tuple[float, float, float]:
        """Mean return, its standard error, and the share of bad ends."""
        return float(self.value.mean()), float(self.value.std(ddof=1) / math.sqrt(len(self.value))), self.bad.mean()


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem with a known truth.

    Attributes:
        name, about: what it is called, and one line about it.
        simulator: makes N episodes from a generator.
        features: names of the observation's features.
        behaviour: what makes the log.
        better: a plain rule that is better than the behaviour; for a skilled logger, the best rule there is.
        episodes, lengths: how many episodes a log records, and the least and most steps of a recording.
        simulations: how many episodes give a true value with a standard error below 0.5 % of the log's value.
        discount: per step, or per unit of ``dt``.
        probability: of the behaviour, where the log holds it.
        n_actions: of discrete actions; None for continuous ones, which have the bounds ``low`` and ``high``.
    """

    name: str
    about: str
    simulator: Callable[[int, np.random.Generator], Simulator]
    features: tuple[str, ...]
    behaviour: Policy
    better: Policy
    episodes: int
    lengths: tuple[int, int]
    simulations: int
    discount: float = 0.99
    probability: Probability | None = None
    n_actions: int | None = None
    low: float | None = None
    high: float | None = None

    def log(self, seed: int) -> Dataset:
        """A log of the behaviour policy; equal seeds give equal logs."""
        simulator = self.simulator(self.episodes, np.random.default_rng([seed, 1]))
        rng = np.random.default_rng([seed, 2])
        length = rng.integers(self.lengths[0], self.lengths[1] + 1, self.episodes)
        going, columns = np.ones(self.episodes, dtype=bool), []
        for step in range(1, self.lengths[1] + 1):
            now = self._decision(simulator, rng)
            outcome = simulator.step(now["action"])
            truncated = (length == step) & ~outcome.terminated
            ends = {"reward": outcome.reward, "terminated": outcome.terminated, "truncated": truncated, "going": going}
            after = {"next_observation": simulator.observe(), "next_mask": simulator.mask(), "dt": outcome.dt}
            columns.append({key: value for key, value in {**now, **ends, **after}.items() if value is not None})
            going = going & ~(outcome.terminated | truncated)
        # From (steps, episodes, ...) to rows, one episode after the other.
        table: dict[str, Any] = {key: np.stack([column[key] for column in columns], 1) for key in columns[0]}
        recorded = table.pop("going")
        rows: dict[str, Any] = {key: value[recorded] for key, value in table.items()}
        extra = {key: rows.pop(key) for key in ("mask", "next_mask", "dt", "behavior_log_prob") if key in rows}
        if simulator.group is not None:
            extra["group"] = np.broadcast_to(simulator.group[:, None], recorded.shape)[recorded]
        return Dataset.from_columns(
            **rows,
            action_low=self.low,
            action_high=self.high,
            discrete=self.n_actions is not None,
            n_actions=self.n_actions,
            name=self.name,
            extra=extra,
        )

    def _decision(self, simulator: Simulator, rng: np.random.Generator) -> dict[str, Any]:
        """What a log records before a step."""
        observation, mask = simulator.observe(), simulator.mask()
        action = self.behaviour(observation, mask, rng)
        found = {"observation": observation, "mask": mask, "action": action}
        if self.probability is not None:
            taken = self.probability(observation, mask)[np.arange(len(action)), action]
            found["behavior_log_prob"] = np.log(taken)
        return found

    def returns(self, policy: Policy, discount: float | None = None, n: int | None = None, seed: int = 0) -> Returns:
        """Simulate ``n`` episodes to their termination, or until the discount has fallen below :data:`REMAINDER`.

        Recordings do not stop here: a truncated episode goes on. Simulator and policy have generators of their own, so
        all policies of one seed meet the same luck. ``discount`` has to be below 1.
        """
        discount = self.discount if discount is None else discount
        n = self.simulations if n is None else n
        simulator, rng = self.simulator(n, np.random.default_rng([seed, 3])), np.random.default_rng([seed, 4])
        value, clock, bad, going = np.zeros(n), np.zeros(n), np.zeros(n, dtype=bool), np.arange(n)
        while len(going):
            observation, mask = simulator.observe()[going], simulator.mask()
            chosen = policy(observation, None if mask is None else mask[going], rng)
            action = np.zeros((n, *chosen.shape[1:]), dtype=chosen.dtype)  # the others have ended
            action[going] = chosen
            outcome = simulator.step(action)
            value[going] += discount ** clock[going] * outcome.reward[going]
            bad[going] = outcome.bad[going]
            clock += 1 if outcome.dt is None else outcome.dt
            going = going[~outcome.terminated[going] & (discount ** clock[going] > REMAINDER)]
        return Returns(value, bad)

    def true_value(
        self, policy: Policy, discount: float | None = None, n: int | None = None, seed: int = 0
    ) -> tuple[float, float, float]:
        """True value of a policy from the start states on, its standard error, and the share of bad ends."""
        return self.returns(policy, discount, n, seed).summary()


def acting(agent: Any, member: int = 0) -> Policy:
    """A policy that does what ``agent.predict`` does: what is deployed."""
    return lambda observation, mask, _: agent.predict(observation, member=member, mask=mask)


def drawing(probability: Probability) -> Policy:
    """A policy that draws discrete actions with these probabilities."""

    def policy(observation: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        return (probability(observation, mask).cumsum(1) > rng.random((len(observation), 1))).argmax(1)

    return policy


def exploring(choice: np.ndarray, mask: np.ndarray, share: float) -> np.ndarray:
    """Probabilities (N, A): ``choice`` (N,), but with probability ``share`` any allowed action (``mask`` (N, A))."""
    chosen = np.arange(mask.shape[1]) == choice[:, None]
    return share * mask / mask.sum(1, keepdims=True) + (1 - share) * chosen


def nearest_allowed(choice: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The allowed action nearest to each choice, (N,); of two, the smaller."""
    distance = np.abs(np.arange(mask.shape[1]) - choice[:, None])
    return np.where(mask, distance, mask.shape[1]).argmin(1)

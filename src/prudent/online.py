"""The online half: members that explore environments of their own, and the buffer that remembers what they saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from prudent import stepping
from prudent.data import Dataset
from prudent.errors import ConfigError, PrudentError
from prudent.population import Population
from prudent.rng import MemberRng
from prudent.types import Batch, Spec


@dataclass(frozen=True)
class Transition:
    """One step of P members, in the units of the environment.

    ``observation`` and ``next_observation`` (P, S) float32, ``action`` (P, A) float32 (discrete: (P,) int64),
    ``reward`` (P,) float32, flags (P,) bool, masks (P, A) bool or None. ``next_observation`` is what followed, also
    where the episode ended and another one begins in the next transition.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    mask: np.ndarray | None = None
    next_mask: np.ndarray | None = None


class Actor(Protocol):
    """Who chooses the actions of P environments."""

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """(P, S) observations -> (P, A) actions in the units of the environment (discrete: (P,) int64)."""
        ...


class Uniform:
    """Actions drawn uniformly within the bounds, or among those allowed.

    Raises:
        ConfigError: continuous actions without bounds.
    """

    def __init__(self, spec: Spec, seeds: Sequence[int]):
        if not spec.discrete and spec.action_low is None:
            raise ConfigError("actions have no finite bounds here, so nothing can be drawn uniformly between them")
        self.spec, self.rng = spec, MemberRng(seeds, "uniform")

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:  # noqa: ARG002 - it does not look
        """See :class:`Actor`."""
        draw = self.rng.uniform(0.0, 1.0, self.spec.action_size).numpy()
        if self.spec.discrete:
            return np.where(True if mask is None else mask[:, : self.spec.action_size], draw, -1.0).argmax(axis=1)
        low, high = np.array(self.spec.action_low), np.array(self.spec.action_high)
        return (low + draw * (high - low)).astype(np.float32)


class Explorer:
    """A population that acts to learn or to be recorded; every member samples with noise of its own.

    ``spread`` is exploration on top of the policy's own: the standard deviation of Gaussian noise as a share of half
    the action range, or for discrete actions the probability of a uniform one. ``deterministic`` takes the policy's
    mode instead of sampling, before that. ``seeds``, one per member, are those of the noise.
    """

    def __init__(self, population: Population, seeds: Sequence[int], spread: float = 0.0, deterministic: bool = False):
        self.population, self.spread = population, spread
        self.samples = population.algorithm.POLICY in ("gaussian", "categorical") and not deterministic
        self.rng = MemberRng(seeds, "explore", population.device)

    @torch.no_grad()
    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """See :class:`Actor`."""
        population = self.population
        discrete, size = population.spec.discrete, population.spec.action_size
        scaled = population.scaling.observation(torch.from_numpy(observation).to(population.device)).unsqueeze(1)
        networks, act = population.state.networks, population.algorithm.act
        noise = None
        if self.samples:
            noise = self.rng.uniform(0.0, 1.0, 1, size) if discrete else self.rng.normal(1, size)
        if not discrete:
            action = act(networks, scaled, noise)[0].squeeze(1)
            if self.spread:
                action = (action + self.spread * self.rng.normal(size)).clamp(-1.0, 1.0)
            # A diverged member must not stop the others: its NaN becomes the middle of the range.
            return population.scaling.unscale_action(action.nan_to_num(0.0)).cpu().numpy()
        allowed = None if mask is None else torch.from_numpy(mask[:, :size]).to(population.device)
        if allowed is not None and not allowed.any(1).all():
            raise PrudentError(f"the environment allows none of the {size} actions that the policy knows")
        action = act(networks, scaled, noise, None if allowed is None else allowed.unsqueeze(1))[0].squeeze(1)
        if self.spread:
            draw = self.rng.uniform(0.0, 1.0, size + 1)
            other = draw[:, 1:] if allowed is None else draw[:, 1:].masked_fill(~allowed, -1.0)
            action = torch.where(draw[:, 0] < self.spread, other.argmax(1), action)
        return action.cpu().numpy()


class Interaction:
    """One environment per member, stepped together; an episode that has ended is followed by the next one.

    Start states are drawn from the member's seed alone, so that a member meets the same ones in any company.

    Raises:
        ConfigError: the environment cannot be made.
    """

    def __init__(self, env_id: str, seeds: Sequence[int]):
        self.environments = stepping.Environments(env_id, len(seeds))
        self.spec = self.environments.spec
        self._starts = [MemberRng([seed], "start") for seed in seeds]
        self.observation = self.environments.reset([self._seed(index) for index in range(len(seeds))])

    def _seed(self, index: int) -> int:
        return int(self._starts[index].integers(2**31))

    def step(self, actor: Actor) -> Transition:
        """One step of every member.

        Raises:
            PrudentError: an environment failed or returned NaN.
        """
        before, mask = self.observation, self.environments.mask
        action = actor(before, mask)
        following, reward, terminated, truncated = self.environments.step(action)
        next_mask = self.environments.mask
        self.observation = following.copy()
        for index in np.flatnonzero(terminated | truncated):
            self.observation[index] = self.environments.restart(int(index), self._seed(int(index)))
        if self.spec.action_low is not None:
            action = np.clip(action, self.spec.action_low, self.spec.action_high).astype(np.float32)
        if mask is None and next_mask is not None:
            mask = np.ones_like(next_mask)
        flags = terminated, truncated & ~terminated
        return Transition(before, action, reward.astype(np.float32), following, *flags, mask, next_mask)

    def close(self) -> None:
        """Release the simulators."""
        self.environments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ReplayBuffer:
    """The last ``capacity`` transitions of P members; :meth:`sample` draws as :class:`TrainingData` does.

    Tensors are (P, capacity, ...) on the population's device, in the networks' units; rewards are transformed when
    they are drawn. Where the algorithm learns from returns-to-go a row can be drawn once its episode has ended.
    """

    def __init__(self, population: Population, capacity: int):
        spec, device = population.spec, population.device
        shape = (population.size, capacity)

        def empty(*more: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros((*shape, *more), dtype=dtype, device=device)

        self.population, self.capacity = population, capacity
        self.observation, self.next_observation = (empty(spec.observation_size) for _ in range(2))
        self.action = empty(dtype=torch.int64) if spec.discrete else empty(spec.action_size)
        self.reward, self.terminated, self.ended = empty(), empty(dtype=torch.bool), empty(dtype=torch.bool)
        self.mask: Tensor | None = None
        self.next_mask: Tensor | None = None
        needs = population.algorithm.NEEDS
        self.return_to_go = empty() if "return_to_go" in needs else None
        self.with_next_action = "next_action" in needs
        self.position, self.filled = 0, 0
        self.open = np.zeros(population.size, dtype=np.int64)  # rows of the episode that has not ended yet
        self._members = torch.arange(population.size, device=device).unsqueeze(1)

    @property
    def ready(self) -> np.ndarray:
        """(P,) int64: how many rows each member can draw from."""
        held_back = self.open if self.return_to_go is not None else np.zeros_like(self.open)
        return np.maximum(self.filled - held_back, 0)

    def add(self, step: Transition) -> None:
        """Remember a transition of every member, forgetting the oldest when the buffer is full."""
        at, scaling, device = self.position, self.population.scaling, self.population.device

        def place(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(device)

        ended = step.terminated | step.truncated
        self.observation[:, at] = scaling.observation(place(step.observation))
        self.next_observation[:, at] = scaling.observation(place(step.next_observation))
        self.action[:, at] = scaling.action(place(step.action))
        self.reward[:, at], self.terminated[:, at] = place(step.reward), place(step.terminated)
        self.ended[:, at] = place(ended)
        if step.mask is not None and step.next_mask is not None:
            self._add_masks(at, place(step.mask), place(step.next_mask))
        self.position = (at + 1) % self.capacity
        self.filled = min(self.filled + 1, self.capacity)
        self.open = np.minimum(self.open + 1, self.capacity)
        for member in np.flatnonzero(ended):
            if self.return_to_go is not None:
                self._settle(int(member), bool(step.terminated[member]))
            self.open[member] = 0

    def _add_masks(self, at: int, mask: Tensor, next_mask: Tensor) -> None:
        size = self.population.spec.action_size
        if self.mask is None or self.next_mask is None:
            allowed = torch.ones((*self.reward.shape, size), dtype=torch.bool, device=self.reward.device)
            self.mask, self.next_mask = allowed, allowed.clone()
        known = next_mask[:, :size]
        # Where only actions unknown to the policy are left, as behind an end, none of its own counts as forbidden.
        self.mask[:, at], self.next_mask[:, at] = mask[:, :size], known | ~known.any(1, keepdim=True)

    def _settle(self, member: int, terminated: bool) -> None:
        """Work out the returns-to-go of the episode that has just ended."""
        assert self.return_to_go is not None
        config, length = self.population.members[member].config, int(self.open[member])
        rows = torch.arange(self.position - length, self.position, device=self.reward.device) % self.capacity
        last = np.arange(length) == length - 1
        reward = self.reward[member, rows].cpu().numpy().astype(np.float64)
        # As the dataset has it, so that both halves of a batch mean the same by a truncation.
        episode = Dataset(
            observation=np.zeros((length, 1), np.float32),
            action=np.zeros(length, np.int64),
            reward=reward,
            next_observation=np.zeros((length, 1), np.float32),
            terminated=last & terminated,
            truncated=last & (not terminated),
            spec=self.population.spec,
        )
        found = episode.returns_to_go(config.discount, reward * config.reward_scale + config.reward_shift)
        self.return_to_go[member, rows] = torch.from_numpy(found).to(self.reward.device)

    def sample(self, rng: MemberRng, batch_size: int) -> Batch:
        """A batch (P, B, ...); members that have nothing to draw from yet get rows of zeros."""
        hyper = self.population.hyper
        ready = np.maximum(self.ready, 1).tolist()
        index_PB = rng.integers(ready if len(set(ready)) > 1 else ready[0], batch_size)
        rows_PB = (index_PB + (self.position - self.filled)) % self.capacity
        at = (self._members, rows_PB)
        scale_P1, shift_P1 = hyper.reward_scale.unsqueeze(-1), hyper.reward_shift.unsqueeze(-1)
        return Batch(
            observation=self.observation[at],
            action=self.action[at],
            reward=self.reward[at] * scale_P1 + shift_P1,
            next_observation=self.next_observation[at],
            terminated=self.terminated[at],
            mask=None if self.mask is None else self.mask[at],
            next_mask=None if self.next_mask is None else self.next_mask[at],
            return_to_go=None if self.return_to_go is None else self.return_to_go[at],
            **(self._next_action(rows_PB) if self.with_next_action else {}),
        )

    def _next_action(self, rows_PB: Tensor) -> dict[str, Any]:
        following = (rows_PB + 1) % self.capacity
        # What follows the newest row is not known yet: in the ring that place holds the oldest.
        newest = rows_PB == (self.position - 1) % self.capacity
        known = ~self.ended[self._members, rows_PB] & ~newest
        return {"next_action": self.action[self._members, following], "next_action_known": known}

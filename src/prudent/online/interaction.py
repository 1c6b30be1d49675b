"""One environment per member, stepped together; the transitions that come out."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from prudent.environments import vector
from prudent.nn.rng import MemberRng


@dataclass(frozen=True)
class Transition:
    """One step of P members, in the units of the environment.

    ``observation`` and ``next_observation`` are (P, S) float32, ``action`` (P, A) float32 (discrete: (P,) int64),
    ``reward`` (P,) float32, flags (P,) bool, masks (P, A) bool or None. At the end of an episode ``next_observation``
    is its last observation, not the first one of the next episode.
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
    """Chooses the actions of P environments."""

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """(P, S) observations -> (P, A) actions in the units of the environment (discrete: (P,) int64)."""
        ...


class Interaction:
    """One environment per member, stepped together. After the end of an episode the next one begins.

    Start states depend on the member's seed alone. A member sees the same ones in any population.

    Raises:
        ConfigError: the environment cannot be made.
    """

    def __init__(self, env_id: str, seeds: Sequence[int]):
        self.environments = vector.Environments(env_id, len(seeds))
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

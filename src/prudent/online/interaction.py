"""One environment per member, stepped together; the transitions that come out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

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

    def rows(self) -> Iterator["Transition"]:
        """Each environment's part, with a first axis of length 1."""
        for at in range(len(self.reward)):
            parts = {f.name: getattr(self, f.name) for f in fields(self)}
            yield replace(self, **{name: None if part is None else part[at : at + 1] for name, part in parts.items()})


def env_seeds(seed: int, count: int) -> list[int]:
    """Seeds of environments that run at once for one policy; the first is ``seed`` itself."""
    others = [np.random.SeedSequence([seed, index]).generate_state(1)[0] for index in range(1, count)]
    return [seed, *map(int, others)]


class Actor(Protocol):
    """Chooses the actions of P environments."""

    def __call__(self, observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """(P, S) observations -> (P, A) actions in the units of the environment (discrete: (P,) int64)."""
        ...


class Interaction:
    """Environments stepped together: one per member, or several for one policy. After an episode the next one begins.

    Start states depend on the member's seed alone. A member sees the same ones in any population.

    Raises:
        ConfigError: the environment cannot be made.
    """

    def __init__(self, env_id: str, seeds: Sequence[int]):
        self.environments = vector.Environments(env_id, len(seeds))
        self.spec = self.environments.spec
        self._starts = [MemberRng([seed], "start") for seed in seeds]
        self._episode_seeds = np.zeros(len(seeds), np.int64)
        self.observation = self.environments.reset([self._seed(index) for index in range(len(seeds))])

    def _seed(self, index: int) -> int:
        """The seed of the next episode in environment ``index``."""
        self._episode_seeds[index] = int(self._starts[index].integers(2**31))
        return int(self._episode_seeds[index])

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

    def state(self) -> dict[str, Tensor]:
        """What :meth:`rejoin` needs of this moment: the random states of the starts, the running episodes' seeds."""
        starts = torch.cat([rng.state() for rng in self._starts])
        return {"starts": starts, "episode_seeds": torch.from_numpy(self._episode_seeds.copy())}

    def rejoin(self, state: Mapping[str, Tensor], actions: Sequence[np.ndarray]) -> np.ndarray:
        """Repeat the running episodes of :meth:`state` from their seeds; returns where they then are, (K, S).

        A simulator has no state that could be stored, but it does the same again. ``actions`` has those taken so far in
        each environment's running episode, (steps, A) or discrete (steps,). Whoever knows the observations compares.

        Raises:
            PrudentError: an environment failed or returned NaN.
        """
        environments, count = self.environments, len(self._starts)
        for rng, start in zip(self._starts, state["starts"], strict=True):
            rng.restore(start.unsqueeze(0))
        self._episode_seeds = state["episode_seeds"].numpy().copy()
        for index, taken in enumerate(actions):
            self.observation[index] = environments.restart(index, int(self._episode_seeds[index]))
            environments.active[:] = np.arange(count) == index
            for action in taken:
                self.observation[index] = environments.step(np.stack([action] * count))[0][index]
        environments.active[:] = True
        return self.observation

    def close(self) -> None:
        """Release the simulators."""
        self.environments.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

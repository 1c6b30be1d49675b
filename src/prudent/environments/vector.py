"""Several environments of one kind, stepped together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from prudent.environments.make import make, spec_from
from prudent.errors import PrudentError, in_one_line


class Environments:
    """Environments of one kind, stepped together; an episode that has ended stays ended until it is restarted.

    Gymnasium's SyncVectorEnv restarts finished episodes, which would mix two episodes in one return, or else refuses to
    step the others. This plain loop does neither. It is also 6 to 9 % faster: in thousand steps per second of 30
    environments on one core, Hopper-v5 12.7 against 11.9, HalfCheetah-v5 31.7 against 29.3, Pendulum-v1 125 against
    116.

    Raises:
        ConfigError: see :func:`prudent.environments.make.make` and :func:`prudent.environments.make.spec_of`.
    """

    def __init__(self, env_id: str, count: int, render_mode: str | None = None) -> None:
        self.env_id = env_id
        self.envs = [make(env_id, render_mode) for _ in range(count)]
        self.spec = spec_from(self.envs[0], env_id)
        self.active = np.zeros(count, dtype=bool)
        # float64 stays: the scaling of a policy may need its digits.
        wide = np.dtype(self.envs[0].observation_space.dtype or np.float32).itemsize > 4
        self._observation = np.zeros((count, self.spec.observation_size), np.float64 if wide else np.float32)
        self._mask: np.ndarray | None = None
        self._steps = 0

    def __len__(self) -> int:
        return len(self.envs)

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def mask(self) -> np.ndarray | None:
        """(count, A) bool: the discrete actions allowed next; None if the environment has no masks.

        Masks come from ``info["action_mask"]``; column j is action ``spec.first_action + j``. If an episode has ended
        and its mask allows nothing, every action is allowed, so that a policy can still choose one.
        """
        return None if self._mask is None else self._mask.copy()

    def allowed(self, n_actions: int) -> np.ndarray | None:
        """:attr:`mask` for a policy that has only the first ``n_actions``: (count, n_actions), or None.

        Raises:
            PrudentError: a running episode allows none of them.
        """
        mask = self.mask
        if mask is None:
            return None
        known = mask[:, :n_actions]
        stuck = ~known.any(axis=1)
        if (stuck & self.active).any():
            first = self.spec.first_action
            numbers = f"{first} to {first + n_actions - 1}"
            raise PrudentError(f"{self._now()} allows none of the actions that the dataset has ({numbers})")
        known[stuck] = True
        return known

    def reset(self, seeds: Sequence[int] | np.ndarray) -> np.ndarray:
        """Start an episode in every environment, each with its own seed; returns observations (count, S).

        They are float32, or float64 if the environment has numbers of 8 bytes.

        Raises:
            PrudentError: an environment failed, returned NaN, or forbids every action.
        """
        self._steps = 0
        self._mask = None
        for index, seed in zip(range(len(self.envs)), seeds, strict=True):
            self.restart(index, seed)
        return self._observation.copy()

    def restart(self, index: int, seed: int) -> np.ndarray:
        """Start an episode in one environment; the others stay as they are. Returns its observation (S,).

        For continuous collection: step all, record the results, restart the environments that ended.

        Raises:
            PrudentError: see :meth:`reset`.
        """
        try:
            self._observation[index], info = self.envs[index].reset(seed=int(seed))
        except Exception as error:
            raise PrudentError(
                f"environment {self.env_id!r} at reset failed: {in_one_line(error, with_kind=True)}"
            ) from error
        if not np.isfinite(self._observation[index]).all():
            raise PrudentError(f"environment {self.env_id!r} at reset gave an observation with NaN or infinity")
        self.active[index] = True
        self._take_mask(index, info, over=False)
        return self._observation[index].copy()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """One step in every environment whose episode is running; actions of the others are ignored.

        ``action`` is (count, A) in environment units, clipped to the bounds (discrete: (count,) int64). Returns
        observation (count, S), reward (count,) float64, terminated and truncated (count,) bool. A finished
        episode returns its last observation, 0, False and False. :attr:`mask` belongs to the returned observations.

        Raises:
            PrudentError: an environment failed, returned NaN, or forbids every action.
        """
        self._steps += 1
        reward = np.zeros(len(self.envs))
        terminated, truncated = np.zeros((2, len(self.envs)), dtype=bool)
        if self.spec.action_low is not None:
            # Rounding takes tanh policies beyond the bounds, where an environment may do anything.
            action = np.clip(action, self.spec.action_low, self.spec.action_high).astype(np.float32)
        for index in np.flatnonzero(self.active):
            try:
                result: Any = self.envs[index].step(action[index])
                self._observation[index], reward[index], terminated[index], truncated[index], info = result
            except Exception as error:
                raise PrudentError(f"{self._now()} failed: {in_one_line(error, with_kind=True)}") from error
            self._take_mask(int(index), info, over=bool(terminated[index] or truncated[index]))
        self._check(self._observation, "observation")
        self._check(reward, "reward")
        self.active &= ~(terminated | truncated)
        return self._observation.copy(), reward, terminated, truncated

    def close(self) -> None:
        """Release the simulators."""
        for env in self.envs:
            env.close()

    def _take_mask(self, index: int, info: dict[str, Any], over: bool) -> None:
        value = info.get("action_mask") if self.spec.discrete else None
        if value is None:
            if self._mask is not None:
                self._mask[index] = True
            return
        mask, shape = np.asarray(value), (self.spec.action_size,)
        if mask.shape != shape or mask.dtype.kind not in "fiub" or not np.isin(mask, (0, 1)).all():
            raise PrudentError(f"{self._now()} gave an action_mask of shape {mask.shape}, expected {shape} true/false")
        if not mask.any() and not over:
            raise PrudentError(f"{self._now()} gave an action_mask that forbids every action, yet the episode goes on")
        if self._mask is None:
            self._mask = np.ones((len(self.envs), self.spec.action_size), dtype=bool)
        self._mask[index] = mask.astype(bool) if mask.any() else True

    def _now(self) -> str:
        return f"environment {self.env_id!r} at " + (f"step {self._steps}" if self._steps else "reset")

    def _check(self, values: np.ndarray, what: str) -> None:
        if not np.isfinite(values).all():
            raise PrudentError(f"{self._now()} gave NaN or infinity in its {what}")

"""Environments and policies whose every figure is known."""

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

from prudent.types import Spec

FIGURES = ["return_mean", "return_std", "normalized_score", "iqm", "ci95"]
FIGURES += ["predicted_value", "realized_value", "lower_bound_share"]
TOY_SPEC = Spec(2, 1, action_low=(-1.0,), action_high=(1.0,))


class Toy(gymnasium.Env):
    """Reward ``1 + action``. Actions below 0 end the task after 4 steps, or 7 where the start lies above a half.

    Observations are (start, time). Anything that steps on after an end fails. ``trouble`` at step 3: "raise", or NaN
    in the "reward" or the "observation".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, trouble: str = ""):
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)
        self.render_mode, self.trouble = render_mode, trouble
        self.over = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.start, self.time, self.over = self.np_random.random(), 0, False
        return self._observe(), {}

    def step(self, action):
        assert not self.over, "stepped after the end"
        assert self.action_space.contains(action), f"{action} is outside the action space"
        self.time += 1
        reward, observation = 1.0 + float(action[0]), self._observe()
        if self.time == 3 and self.trouble == "raise":
            raise RuntimeError("the simulator\nfell over")
        if self.time == 3 and self.trouble == "reward":
            reward = float("nan")
        if self.time == 3 and self.trouble == "observation":
            observation[0] = np.nan
        self.over = bool(action[0] < 0 and self.time >= (7 if self.start > 0.5 else 4))
        return observation, reward, self.over, False, {}

    def render(self):
        frame = np.zeros((100, 200, 3), np.uint8)
        frame[:, : 10 * self.time] = (200, 30, 30)
        return frame

    def _observe(self):
        return np.array([self.start, self.time], np.float32)


for _id, _trouble in {"": "", "Raise": "raise", "Reward": "reward", "Observation": "observation"}.items():
    gymnasium.register(f"prudent/Toy{_id}-v0", entry_point=Toy, max_episode_steps=20, kwargs={"trouble": _trouble})
gymnasium.register("prudent/ToyEndless-v0", entry_point=Toy)


class Gates(gymnasium.Env):
    """Three gates, of which the current one is closed: going through an open one earns its number and makes it current.

    Observations are (current gate, time), ``info["action_mask"]`` says which gates are open, and a closed one fails.
    Choosing gate 0 ends the task. ``trouble`` "without" closes gate 0 always, "shut" every gate from step 2, "wide"
    gives a mask of 4. Actions are numbered from ``first`` on: choosing gate k is action ``first + k``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, trouble: str = "", first: int = 0):
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = Discrete(3, start=first)
        self.render_mode, self.trouble, self.first = render_mode, trouble, first

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.current, self.time = int(self.np_random.integers(1, 3)), 0
        return self._observe()

    def step(self, action):
        assert self.action_space.contains(action), f"there is no action {action}"
        gate = int(action) - self.first
        assert gate != self.current, f"gate {gate} is closed"
        self.current, self.time = gate, self.time + 1
        observation, info = self._observe()
        over = self.current == 0
        # Behind the last gate there is nothing to choose from.
        return observation, float(self.current), over, False, info | ({"action_mask": np.zeros(3)} if over else {})

    def render(self):
        return np.full((10, 10, 3), 20 * self.time, np.uint8)

    def _observe(self):
        mask = np.arange(3) != self.current
        if self.trouble == "shut" and self.time >= 2:
            mask[:] = False
        if self.trouble == "without":
            mask[0] = False
        if self.trouble == "wide":
            mask = np.ones(4, bool)
        return np.array([self.current, self.time], np.float32), {"action_mask": mask.astype(np.int8)}


for _trouble in ("", "without", "shut", "wide"):
    gymnasium.register(
        f"prudent/Gates{_trouble.title()}-v0", entry_point=Gates, max_episode_steps=6, kwargs={"trouble": _trouble}
    )


class Constants:
    """Members that always take their own action (plus noise of 0.1, the same for all, when they sample)."""

    spec = TOY_SPEC

    def __init__(self, actions, discount=0.9, predicted=None, reward_scale=1.0, reward_shift=0.0):
        self.actions = np.asarray(actions, dtype=np.float64)
        self.size = len(self.actions)
        self.names = [f"action={a}" for a in actions]
        self.discount = np.broadcast_to(np.asarray(discount, dtype=np.float64), (self.size,))
        self.predicted = predicted
        self.reward_scale, self.reward_shift = reward_scale, reward_shift

    def act(self, observation, deterministic, generator, *, mask=None):
        assert mask is None, "a mask for continuous actions"
        members, rows, _ = observation.shape
        noise = np.zeros(rows) if deterministic else 0.1 * torch.randn(rows, generator=generator).numpy()
        return (self.actions[:, None] + noise)[..., None] * np.ones((members, rows, 1))

    def predicted_value(self, observation, generator, *, mask=None):
        del generator, mask
        if self.predicted is None:
            return None
        return np.broadcast_to(np.reshape(self.predicted, (-1, 1)), observation.shape[:2])


class Highest:
    """Members that go through the highest gate allowed, of the first ``known``; what they were asked is kept."""

    def __init__(self, size=2, known=3):
        self.spec = Spec(2, known, discrete=True)
        self.size, self.names = size, [f"member={k}" for k in range(size)]
        self.discount, self.reward_scale, self.reward_shift = np.full(size, 0.9), 1.0, 0.0
        self.asked = []

    def act(self, observation, deterministic, generator, *, mask=None):
        del deterministic, generator
        self.asked.append((observation, mask))
        return self.spec.action_size - 1 - mask[..., ::-1].argmax(axis=-1)

    def predicted_value(self, observation, generator, *, mask=None):
        """How many gates are open."""
        del observation, generator
        return mask.sum(axis=-1).astype(np.float64)


for _name, _first in {"From1": 1, "FromMinus2": -2}.items():
    gymnasium.register(f"prudent/Gates{_name}-v0", entry_point=Gates, max_episode_steps=6, kwargs={"first": _first})

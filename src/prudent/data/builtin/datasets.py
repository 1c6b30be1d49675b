"""Datasets made on the spot, without a download."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data.builtin import controllers
from prudent.data.builtin.controllers import TORQUE, Actor
from prudent.data.dataset import Dataset

EPISODES = 150  # of pendulum-mixed


@dataclass(frozen=True)
class Builtin:
    """How to make a built-in dataset, and the environment that it was collected in."""

    make: Callable[[int], Dataset]
    env_id: str


def pendulum_mixed(seed: int = 0) -> Dataset:
    """Swing-ups by a competent but constantly disturbed controller on Gymnasium's ``Pendulum-v1``.

    150 episodes of 200 steps, all truncated; observation (cos, sin, angular velocity), action one torque
    within [-2, 2]. Each episode is disturbed for its own share of time, from not at all to two thirds:
    torques drawn at random and held for a few steps. Mean return about -630. Deterministic by seed, a second
    or two.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)
    columns = _collect("Pendulum-v1", np.linspace(0, 0.68, EPISODES), controllers.disturbed_swing_up, rng)
    columns["action"] = columns["action"].astype(np.float32)[:, None]
    how = "a swing-up controller disturbed by random torques"
    return Dataset.from_columns(
        **columns, action_low=-TORQUE, action_high=TORQUE, name="pendulum-mixed", notes=_made(seed, how)
    )


def cartpole_mixed(seed: int = 0) -> Dataset:
    """A balancing controller and one that runs off the track, in turns, on Gymnasium's ``CartPole-v1``.

    200 episodes, about 36 000 steps; observation (position, velocity, angle, angular velocity), two discrete
    actions: push left, push right. Each episode has its own share of running away, none in the first and all
    of the time in the last, most of it in most. Mean return about 180; the balancing controller alone always
    reaches the limit of 500 steps. Imitation takes over the running away. Deterministic by seed, a second.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)

    def actor(share: float, rng: np.random.Generator) -> Actor:
        return controllers.taking_turns(controllers.balance, controllers.run_away, share, 29, rng)

    columns = _collect("CartPole-v1", np.cbrt(np.linspace(0, 1, 200)), actor, rng)
    how = "a controller that balances and one that runs off the track, in turns"
    return Dataset.from_columns(**columns, discrete=True, n_actions=2, name="cartpole-mixed", notes=_made(seed, how))


def lunarlander_mixed(seed: int = 0) -> Dataset:
    """Landings by a cautious but constantly disturbed controller on Gymnasium's ``LunarLander-v3``.

    250 episodes, about 30 000 steps; observation (position, velocity, angle, angular velocity, two leg contacts),
    four discrete actions: nothing, left, main and right engine. Each episode is disturbed for its own share of
    time, from not at all to two thirds: actions drawn at random and held for a few steps. Mean return about -12;
    the controller alone earns about 240. Deterministic by seed, a second or two. Needs the extra ``box2d``.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)

    def actor(share: float, rng: np.random.Generator) -> Actor:
        anything = controllers.holding_at_random(4, rng)
        return controllers.taking_turns(controllers.land, anything, share, 8, rng)

    columns = _collect("LunarLander-v3", np.linspace(0, 0.68, 250), actor, rng)
    how = "a landing controller disturbed by random actions"
    return Dataset.from_columns(**columns, discrete=True, n_actions=4, name="lunarlander-mixed", notes=_made(seed, how))


def _collect(
    env_id: str, shares: np.ndarray, actor_of: Callable[[float, np.random.Generator], Actor], rng: np.random.Generator
) -> dict[str, Any]:
    """The columns of one episode per share (episodes,), in random order."""
    from prudent.environments.make import make, spec_of

    discrete = spec_of(env_id).discrete
    keys = ("observation", "action", "reward", "next_observation", "terminated", "truncated")
    log: dict[str, list] = {key: [] for key in keys}
    env = make(env_id)
    try:
        for share in rng.permutation(shares):
            observation, _ = env.reset(seed=int(rng.integers(2**31)))
            actor = actor_of(float(share), rng)
            next(actor)
            ended = False
            while not ended:
                action = actor.send(observation)
                given = int(action) if discrete else np.array([action], dtype=np.float32)
                following, reward, terminated, truncated, _ = env.step(given)
                row = (observation, action, reward, following, terminated, truncated)
                for key, value in zip(keys, row, strict=True):
                    log[key].append(value)
                observation, ended = following, terminated or truncated
    finally:
        env.close()
    return {key: np.array(values) for key, values in log.items()}


def _made(seed: int, how: str) -> tuple[str, ...]:
    return (f"made on the spot with seed {seed}: {how}",)


BUILTIN: dict[str, Builtin] = {
    "pendulum-mixed": Builtin(pendulum_mixed, env_id="Pendulum-v1"),
    "cartpole-mixed": Builtin(cartpole_mixed, env_id="CartPole-v1"),
    "lunarlander-mixed": Builtin(lunarlander_mixed, env_id="LunarLander-v3"),
}

"""The built-in datasets: controllers acting in Gymnasium environments, at most a few seconds each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data.builtin import controllers
from prudent.data.builtin.controllers import TORQUE, Actor
from prudent.data.columns import COLUMNS
from prudent.data.dataset import Dataset
from prudent.progress import watched

EPISODES = 150  # of pendulum-mixed


@dataclass(frozen=True)
class Builtin:
    """How to make a built-in dataset, and the environment that it was collected in."""

    make: Callable[[int], Dataset]
    env_id: str


def pendulum_mixed(seed: int = 0) -> Dataset:
    """Swing-ups on Gymnasium's ``Pendulum-v1`` by a competent controller that random torques disturb.

    150 episodes of 200 steps, all truncated. The observation is (cos, sin, angular velocity), the action one torque
    within [-2, 2]. The share of time with random torques, each held for a few steps, rises over the episodes from 0 to
    68 %; their order is random. Mean return about -630. Equal seeds give equal data, in a second or two.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)
    columns = _collect("Pendulum-v1", np.linspace(0, 0.68, EPISODES), controllers.disturbed_swing_up, rng)
    columns["action"] = columns["action"].astype(np.float32)[:, None]
    how = "a swing-up controller disturbed by random torques"
    return Dataset.from_columns(
        **columns, action_low=-TORQUE, action_high=TORQUE, name="pendulum-mixed", notes=_note(seed, how)
    )


def cartpole_mixed(seed: int = 0) -> Dataset:
    """A balancing controller and one that runs off the track take turns on Gymnasium's ``CartPole-v1``.

    200 episodes, about 36 000 steps. The observation is (position, velocity, angle, angular velocity); the two discrete
    actions push left and right. The share of running away differs between episodes, from none to all of the time; it is
    above a half in most. Mean return about 180. The balancing controller alone always reaches the limit of 500 steps;
    imitation learns to run away as well. Equal seeds give equal data, in a second.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)

    def actor(share: float, rng: np.random.Generator) -> Actor:
        return controllers.taking_turns(controllers.balance, controllers.run_away, share, 29, rng)

    columns = _collect("CartPole-v1", np.cbrt(np.linspace(0, 1, 200)), actor, rng)
    how = "a controller that balances and one that runs off the track, in turns"
    return Dataset.from_columns(**columns, discrete=True, n_actions=2, name="cartpole-mixed", notes=_note(seed, how))


def lunarlander_mixed(seed: int = 0) -> Dataset:
    """Landings on Gymnasium's ``LunarLander-v3`` by a cautious controller that random actions disturb.

    250 episodes, about 30 000 steps. The observation is (position, velocity, angle, angular velocity, two leg
    contacts); the four discrete actions are nothing, left, main and right engine. The share of time with random
    actions, each held for a few steps, differs between episodes, from 0 to 68 %. Mean return about -12; the controller
    alone earns about 240. Equal seeds give equal data, in a second or two. Needs the extra ``box2d``.

    Raises:
        ConfigError: Gymnasium cannot make the environment.
    """
    rng = np.random.default_rng(seed)

    def actor(share: float, rng: np.random.Generator) -> Actor:
        random = controllers.holding_at_random(4, rng)
        return controllers.taking_turns(controllers.land, random, share, 8, rng)

    columns = _collect("LunarLander-v3", np.linspace(0, 0.68, 250), actor, rng)
    how = "a landing controller disturbed by random actions"
    return Dataset.from_columns(**columns, discrete=True, n_actions=4, name="lunarlander-mixed", notes=_note(seed, how))


def _collect(
    env_id: str, shares: np.ndarray, actor_of: Callable[[float, np.random.Generator], Actor], rng: np.random.Generator
) -> dict[str, Any]:
    """The columns of one episode for each share (episodes,), in random order."""
    from prudent.environments.make import make, spec_of

    discrete = spec_of(env_id).discrete
    log: dict[str, list] = {key: [] for key in COLUMNS}
    env = make(env_id)
    try:
        for share in watched(rng.permutation(shares), f"playing {env_id}", "episodes"):
            observation, _ = env.reset(seed=int(rng.integers(2**31)))
            actor = actor_of(float(share), rng)
            next(actor)
            ended = False
            while not ended:
                action = actor.send(observation)
                env_action = int(action) if discrete else np.array([action], dtype=np.float32)
                next_observation, reward, terminated, truncated, _ = env.step(env_action)
                row = (observation, action, reward, next_observation, terminated, truncated)
                for key, value in zip(COLUMNS, row, strict=True):
                    log[key].append(value)
                observation, ended = next_observation, terminated or truncated
    finally:
        env.close()
    return {key: np.array(values) for key, values in log.items()}


def _note(seed: int, how: str) -> tuple[str, ...]:
    return (f"generated with seed {seed}: {how}",)


BUILTIN: dict[str, Builtin] = {
    "pendulum-mixed": Builtin(pendulum_mixed, env_id="Pendulum-v1"),
    "cartpole-mixed": Builtin(cartpole_mixed, env_id="CartPole-v1"),
    "lunarlander-mixed": Builtin(lunarlander_mixed, env_id="LunarLander-v3"),
}

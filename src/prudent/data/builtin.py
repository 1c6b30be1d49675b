"""Datasets made on the spot, without a download."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np

from prudent.data.dataset import Dataset

EPISODES = 150
HORIZON = 200
TORQUE = 2.0
# A controller that pumps with little more than half the torque, and at most two thirds of it at random: the
# log then holds better actions than anybody in it strings together, which is what CQL can find and cloning
# cannot.
PUMP = 1.15
MOST_DISTURBED = 0.68


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
    from prudent import envs

    rng = np.random.default_rng(seed)
    log: dict[str, list] = {key: [] for key in ("observation", "action", "reward", "next_observation")}
    env = envs.make("Pendulum-v1")
    try:
        for disturbed in rng.permutation(np.linspace(0, MOST_DISTURBED, EPISODES)):
            observation, _ = env.reset(seed=int(rng.integers(2**31)))
            actor = _disturbed_controller(disturbed, rng)
            next(actor)
            for _ in range(HORIZON):
                action = np.array([actor.send(observation)], dtype=np.float32)
                following, reward, *_ = env.step(action)
                for key, value in zip(log, (observation, action, reward, following), strict=True):
                    log[key].append(value)
                observation = following
    finally:
        env.close()
    rows = EPISODES * HORIZON
    columns = {key: np.array(values, dtype=np.float32) for key, values in log.items()}
    return Dataset.from_columns(
        observation=columns["observation"],
        action=columns["action"],
        reward=columns["reward"],
        next_observation=columns["next_observation"],
        terminated=np.zeros(rows, dtype=bool),
        truncated=np.arange(1, rows + 1) % HORIZON == 0,
        action_low=-TORQUE,
        action_high=TORQUE,
        name="pendulum-mixed",
        notes=(f"made on the spot with seed {seed}: a swing-up controller disturbed by random torques",),
    )


def _disturbed_controller(disturbed: float, rng: np.random.Generator) -> Generator[float, np.ndarray, None]:
    """Send it an observation, it yields the torque; ``disturbed`` is the share of random torques."""
    torque = 0.0
    while True:
        at_random = rng.random() < disturbed
        held = rng.uniform(-TORQUE, TORQUE)
        for _ in range(rng.integers(1, 9)):
            observation = yield torque
            torque = held if at_random else float(np.clip(swing_up(observation) + rng.normal(0, 0.2), -TORQUE, TORQUE))


def swing_up(observation: np.ndarray) -> float:
    """Torque of an energy-shaping swing-up with linear balancing near the top (Astrom and Furuta 2000).

    ``observation`` (3,) is (cos, sin, angular velocity) with angle 0 upright; Pendulum-v1 has g 10, m 1, l 1
    and inertia 1/3.
    """
    cos, sin, velocity = (float(v) for v in observation)
    if cos > 0.9:
        return -(12.0 * np.arctan2(sin, cos) + 3.0 * velocity)
    # Energy relative to resting upright; pump while below it, brake above.
    energy = velocity**2 / 6 + 5 * (cos - 1)
    return PUMP * float(np.sign(velocity) or 1.0) * float(np.clip(-energy, -1, 1))


BUILTIN: dict[str, Builtin] = {"pendulum-mixed": Builtin(pendulum_mixed, env_id="Pendulum-v1")}

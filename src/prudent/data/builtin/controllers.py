"""Controllers, good and bad, that act in the built-in datasets.

A controller is a function from observation to action. An actor is a generator: send it an observation, it yields the
action.
"""

from collections.abc import Callable, Generator

import numpy as np

Actor = Generator[float | int, np.ndarray, None]
Controller = Callable[[np.ndarray], int]

TORQUE = 2.0
# The controller swings up with little more than half the torque. The logged actions can be combined to a better policy
# than any in the log: CQL can find it, imitation cannot.
PUMP = 1.15


def disturbed_swing_up(disturbed: float, rng: np.random.Generator) -> Actor:
    """Swings a pendulum up; for the share ``disturbed`` of the time it holds random torques instead."""
    torque = 0.0
    while True:
        at_random = rng.random() < disturbed
        held = rng.uniform(-TORQUE, TORQUE)
        for _ in range(rng.integers(1, 9)):
            observation = yield torque
            torque = held if at_random else float(np.clip(swing_up(observation) + rng.normal(0, 0.2), -TORQUE, TORQUE))


def taking_turns(first: Controller, second: Controller, share: float, longest: int, rng: np.random.Generator) -> Actor:
    """Two controllers in turns of 1 to ``longest`` steps; ``second`` acts in the given share of the turns."""
    action = 0
    while True:
        acting = second if rng.random() < share else first
        for _ in range(rng.integers(1, longest + 1)):
            observation = yield action
            action = acting(observation)


def holding_at_random(n_actions: int, rng: np.random.Generator, change: float = 0.2) -> Controller:
    """Ignores observations: holds each random action for ``1 / change`` steps on average."""
    held = int(rng.integers(n_actions))

    def act(observation: np.ndarray) -> int:
        nonlocal held
        del observation
        if rng.random() < change:
            held = int(rng.integers(n_actions))
        return held

    return act


def swing_up(observation: np.ndarray) -> float:
    """Torque of an energy-shaping swing-up with linear balancing near the top (Astrom and Furuta 2000).

    ``observation`` (3,) is (cos, sin, angular velocity) with angle 0 upright; Pendulum-v1 has g 10, m 1, l 1
    and inertia 1/3.
    """
    cos, sin, velocity = (float(v) for v in observation)
    if cos > 0.9:
        return -(12.0 * np.arctan2(sin, cos) + 3.0 * velocity)
    # Energy relative to rest at the top: below it accelerate, above it brake.
    energy = velocity**2 / 6 + 5 * (cos - 1)
    return PUMP * float(np.sign(velocity) or 1.0) * float(np.clip(-energy, -1, 1))


def balance(observation: np.ndarray) -> int:
    """Pushes CartPole-v1 so that the pole stays up and the cart near the middle: always for 500 steps.

    ``observation`` (4,) is (position, velocity, angle, angular velocity). The push goes to the side to which the pole
    leans or falls, and also a little to the side where the cart is or drifts: to return, the cart has to move past the
    pole first, so that the pole leans back to the middle.
    """
    position, velocity, angle, spin = (float(v) for v in observation)
    return int(angle + 0.4 * spin + 0.05 * position + 0.12 * velocity > 0)


def run_away(observation: np.ndarray) -> int:
    """Keeps the pole up like :func:`balance`, but drives the cart off the track, at 1.5 per second."""
    position, velocity, angle, spin = (float(v) for v in observation)
    outwards = 1.5 if position >= 0 else -1.5
    return int(angle + 0.4 * spin + 0.15 * (velocity - outwards) > 0)


def land(observation: np.ndarray) -> int:
    """Lands LunarLander-v3 cautiously, slower and with more fuel than needed; mean return about 240.

    ``observation`` (8,) is (position, velocity, angle, angular velocity, two leg contacts), the pad at the origin.
    It leans against its drift, sinks more slowly the lower it is, and corrects the lean with the side engines.
    Actions: 0 nothing, 1 left engine (turns it to the left), 2 main engine, 3 right engine.
    """
    across, height, drift, climb, angle, spin = (float(v) for v in observation[:6])
    if observation[6] > 0 or observation[7] > 0:
        return 2 if climb < -0.15 else 0
    lean = float(np.clip(0.6 * across + drift, -0.4, 0.4))
    sinking = -0.3 - 0.45 * max(height, 0.0)
    if sinking - climb > 0.08 and abs(angle - lean) < 0.5:
        return 2
    turn = lean - angle - 0.96 * spin
    if abs(turn) <= 0.1:
        return 0
    return 1 if turn > 0 else 3

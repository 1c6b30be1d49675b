"""A pilot who cannot be beaten: a boat is kept above one spot in wind and current, with continuous thrust.

The system is linear, its costs are quadratic, and the pilot uses the optimal gain, disturbed so little that the best
policy there is gains about 2 %. A policy that is deployed here is hardly ever better, and easily worse.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator

MOVE = np.array([[1.0, 0.3, 0.0], [0.0, 0.9, 0.3], [0.0, 0.0, 0.9]])
"""Of distance, speed and wind in a step."""
PUSH = np.array([0.0, 0.5, 0.0])
SHOCKS = np.array([0.05, 0.15, 0.35])
EFFORT = 0.1
"""Cost of thrust squared; distance squared costs 1."""
THRUST, FARTHEST = 6.0, 30.0
"""Bounds of the thrust, and of every part of the state. The pilot comes near neither."""
DISCOUNT, ENDING = 0.99, 0.03
"""A watch ends with this probability at each step, without any loss."""


class Boats(Simulator):
    """State: distance from the spot, speed, wind."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.state = rng.normal(0, [1.0, 0.5, 0.8], (n, 3))

    def observe(self) -> np.ndarray:
        return self.state.astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        thrust = np.clip(action[:, 0], -THRUST, THRUST)
        reward = -(self.state[:, 0] ** 2) - EFFORT * thrust**2
        after = self.state @ MOVE.T + thrust[:, None] * PUSH + SHOCKS * self.rng.normal(size=(self.n, 3))
        self.state = np.clip(after, -FARTHEST, FARTHEST)
        return Outcome(reward, self.rng.random(self.n) < ENDING, self.never)


def optimal_gain() -> np.ndarray:
    """(3,): the thrust ``-gain @ state`` is optimal, by the discounted Riccati equation. Watches that end discount."""
    gamma, cost = DISCOUNT * (1 - ENDING), np.diag([1.0, 0.0, 0.0])
    worth, gain = cost, np.zeros(3)
    for _ in range(500):
        gain = gamma * (PUSH @ worth @ MOVE) / (EFFORT + gamma * PUSH @ worth @ PUSH)
        closed = MOVE - np.outer(PUSH, gain)
        worth = cost + EFFORT * np.outer(gain, gain) + gamma * closed.T @ worth @ closed
    return gain


GAIN = optimal_gain()


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """The best there is: the pilot without the disturbance."""
    return np.clip(-observation @ GAIN, -THRUST, THRUST)[:, None]


def behaviour(observation: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The log's pilot."""
    thrust = better(observation, mask, rng) + rng.normal(0, 0.12, (len(observation), 1))
    return np.clip(thrust, -THRUST, THRUST)


PROBLEM = Problem(
    name="skilled",
    about="a pilot whom nobody can beat: a linear system with quadratic costs, almost the optimal gain",
    simulator=Boats,
    features=("distance", "speed", "wind"),
    behaviour=behaviour,
    better=better,
    episodes=200,
    lengths=(200, 200),
    simulations=50_000,
    discount=DISCOUNT,
    low=-THRUST,
    high=THRUST,
)

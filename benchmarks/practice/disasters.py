"""The load of a boiler: more load earns more, and rarely, above all while the gauge warns, the boiler bursts.

A log holds about 15 bursts. The log's rule is blind to the gauge. Running at full load looks best row by row, and is
far worse than the log.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator, drawing, exploring

LOADS = 4
RENT, BURST = 0.5, -150.0
"""Reward of a step, whatever the load, and of a burst, which is the end."""


class Boilers(Simulator):
    """State: gauge, price of what is made, age of the lining."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.gauge, self.price, self.age = rng.normal(0, 1, n), rng.uniform(0.7, 1.3, n), rng.uniform(0, 1, n)

    def observe(self) -> np.ndarray:
        return np.stack([self.gauge, self.price, self.age], 1).astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        hazard = 0.0004 * action**2 * np.exp(1.1 * self.gauge) * (0.5 + self.age)
        burst = self.rng.random(self.n) < np.minimum(hazard, 1)
        reward = RENT + 0.4 * self.price * action + BURST * burst
        noise = self.rng.normal(size=(2, self.n))
        self.gauge = 0.9 * self.gauge + 0.1 * (action - 1.4) + 0.4 * noise[0]
        self.price = np.clip(self.price + 0.1 * (1 - self.price) + 0.08 * noise[1], 0.4, 1.6)
        return Outcome(reward, burst, burst)


def probability(observation: np.ndarray, _: np.ndarray | None) -> np.ndarray:
    """The log's rule: load 1, or 2 at a good price; in 30 % of the decisions any load."""
    choice = np.where(observation[:, 1] > 1, 2, 1)
    return exploring(choice, np.ones((len(choice), LOADS), dtype=bool), 0.3)


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """Less load, the more the gauge warns."""
    return (observation[:, 0, None] < np.array([0.9, 0.0, -0.6])).sum(1)


PROBLEM = Problem(
    name="disasters",
    about="load of a boiler: rare bursts, which a greedy policy brings about",
    simulator=Boilers,
    features=("gauge", "price", "age"),
    behaviour=drawing(probability),
    better=better,
    episodes=100,
    lengths=(80, 80),
    simulations=45_000,
    n_actions=LOADS,
)

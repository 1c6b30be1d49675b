"""The speed of a server whose work comes in bursts: four speeds, looked at every few minutes, very noisy costs.

The speed changes by one level at a time, and the highest is barred while the server is hot. Few jobs are large, but a
large one is a queue by itself. The log looks at the waiting work alone, with thresholds that are too high, and in 35 %
of its decisions takes any speed.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator, drawing, exploring, nearest_allowed

SPEED = np.array([0.5, 1.0, 1.6, 2.4])
"""Work done in a minute."""
POWER = np.array([0.2, 0.6, 1.6, 4.0])
"""Cost of a minute."""
WAITING, TURNED_AWAY, ROOM = 0.25, 1.5, 40.0
"""Cost of a unit of waiting work per minute, cost of a unit that finds no room, and the room."""
HOT = 0.75


class Servers(Simulator):
    """State: waiting work, smoothed arrivals, speed, heat, whether a burst was announced."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.waiting, self.smoothed = rng.exponential(4.0, n), rng.uniform(0.5, 1.2, n)
        self.speed, self.heat, self.burst = rng.integers(0, 3, n), rng.uniform(0, 0.5, n), rng.random(n) < 0.25

    def observe(self) -> np.ndarray:
        state = (self.waiting, self.smoothed, self.speed, self.heat, self.burst)
        return np.stack(state, 1).astype(np.float32)

    def mask(self) -> np.ndarray:
        level = np.arange(len(SPEED))
        near = np.abs(level - self.speed[:, None]) <= 1
        # A hot server may stay at the highest speed for no longer; the level below is always near.
        return near & ((level < len(SPEED) - 1) | (self.heat < HOT)[:, None])

    def step(self, action: np.ndarray) -> Outcome:
        dt = np.clip(self.rng.exponential(2.5, self.n), 0.25, 8.0)
        jobs = self.rng.poisson(np.where(self.burst, 0.9, 0.35) * dt)
        # The size of a job: exponential, times a factor that is rarely large.
        work = self.rng.gamma(jobs, 1.3) * np.where(self.rng.random(self.n) < 0.1, 4.0, 0.85)
        after = np.maximum(self.waiting + work - SPEED[action] * dt, 0)
        refused = np.maximum(after - ROOM, 0)
        after -= refused
        cost = dt * (WAITING * 0.5 * (self.waiting + after) + POWER[action]) + TURNED_AWAY * refused
        kept = np.exp(-dt / 10)
        self.heat = self.heat * kept + (1 - kept) * action / (len(SPEED) - 1)
        self.smoothed = self.smoothed * kept + (1 - kept) * work / dt
        self.burst = np.where(self.rng.random(self.n) < 1 - np.exp(-dt / 20), self.rng.random(self.n) < 0.3, self.burst)
        self.waiting, self.speed = after, action
        return Outcome(-cost, self.never, self.never, dt)


def probability(observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The log's rule: faster at 8, 16 and 24 units of waiting work."""
    assert mask is not None
    choice = np.floor(observation[:, 0] / 8).clip(0, 3)
    return exploring(nearest_allowed(choice, mask), mask, 0.35)


def better(observation: np.ndarray, mask: np.ndarray | None, _: np.random.Generator) -> np.ndarray:
    """Faster at 3, 8 and 16 units, and earlier in a burst."""
    assert mask is not None
    pressing = observation[:, 0] + 4 * observation[:, 4]
    choice = np.searchsorted([3.0, 8.0, 16.0], pressing)
    return nearest_allowed(choice, mask)


PROBLEM = Problem(
    name="queue",
    about="speed of a server: masks, irregular time, very noisy costs",
    simulator=Servers,
    features=("waiting", "smoothed", "speed", "heat", "burst"),
    behaviour=drawing(probability),
    better=better,
    episodes=80,
    lengths=(70, 110),
    simulations=10_000,
    n_actions=len(SPEED),
)

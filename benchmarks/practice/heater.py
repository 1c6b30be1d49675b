"""Heating 12 halls: continuous power, 5 to 60 minutes between decisions, recordings that stop, boilers that trip.

Halls differ in size, and each is a group of the log. The log is a thermostat with too small a gain, which knows nothing
of the weather. An overheated hall trips its boiler, and that is costly and final.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator

HALLS = 12
HOTTEST, TRIP = 31.0, 25.0
"""Degrees at which a boiler trips, and what that costs."""
DISCOMFORT = 0.4
"""Cost of a degree off the wanted temperature, per hour."""
POWER = 10.0


class Halls(Simulator):
    """State: temperature inside and outside, wanted temperature, hour of the day."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.group = np.arange(n) % HALLS
        # The same halls in every simulation.
        sizes = np.random.default_rng(12)
        self.inertia = sizes.uniform(1.0, 3.0, HALLS)[self.group]
        self.warming = sizes.uniform(3.0, 6.0, HALLS)[self.group]
        self.inside, self.outside = rng.uniform(12, 27, n), rng.uniform(-3, 12, n)
        self.wanted, self.hour = rng.choice([19.0, 20.0, 21.0, 22.0], n), rng.uniform(0, 24, n)

    def tariff(self) -> np.ndarray:
        return np.where(np.abs(self.hour - 13.5) < 6.5, 0.30, 0.12)

    def observe(self) -> np.ndarray:
        angle = 2 * np.pi * self.hour / 24
        clock = (np.sin(angle), np.cos(angle), self.tariff())
        return np.stack([self.inside, self.outside, self.wanted, *clock], 1).astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        power = np.clip(action[:, 0], 0, POWER)
        dt = np.clip(self.rng.exponential(0.35, self.n), 1 / 12, 1.0)
        shocks = np.sqrt(dt) * self.rng.normal(size=(2, self.n))
        settled = self.outside + self.warming * power
        after = settled + (self.inside - settled) * np.exp(-dt / self.inertia) + 0.3 * shocks[0]
        off = np.abs(0.5 * (self.inside + after) - self.wanted)
        tripped = after > HOTTEST
        reward = -dt * (self.tariff() * power + DISCOMFORT * off) - TRIP * tripped
        self.inside, self.hour = after, (self.hour + dt) % 24
        self.outside = self.outside - 0.1 * dt * (self.outside - 5) + 0.3 * shocks[1]
        return Outcome(reward, tripped, tripped, dt)


def behaviour(observation: np.ndarray, _: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The log's thermostat: proportional, without the weather, and disturbed."""
    power = 1.6 + 0.5 * (observation[:, 2] - observation[:, 0]) + rng.normal(0, 1.2, len(observation))
    return np.clip(power, 0, POWER)[:, None]


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """Make up for the loss to the outside, then correct."""
    inside, outside, wanted = observation[:, :3].T
    return np.clip((wanted - outside) / 4.5 + 0.5 * (wanted - inside), 0, POWER)[:, None]


PROBLEM = Problem(
    name="heater",
    about="power of heaters: irregular time, 12 groups, terminations with a loss",
    simulator=Halls,
    features=("inside", "outside", "wanted", "hour_sin", "hour_cos", "tariff"),
    behaviour=behaviour,
    better=better,
    episodes=96,
    lengths=(60, 110),
    simulations=6000,
    discount=0.95,
    low=0.0,
    high=POWER,
)

"""A battery that buys and sells power: continuous, an episode is a day of half-hours, and what is left is settled.

Prices have a morning and an evening peak, last for a while and spike now and then. The log buys below one price and
sells above another, whatever the hour, and is much disturbed.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator

STEPS, HOURS = 48, 0.5
CAPACITY, POWER = 10.0, 5.0
"""kWh, and kW of charging (positive) and discharging."""
KEPT, WEAR = 0.93, 0.01
"""Share of the energy that survives each way, and cost of a kWh that goes through."""
SETTLED = 0.17
"""What a kWh that is left at midnight is worth."""


class Days(Simulator):
    """State: charge, price, level of the day's prices, hour of the day as sine and cosine, share of the day gone."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.charge, self.level = rng.uniform(0, CAPACITY, n), rng.normal(0, 0.03, n)
        self.drift, self.time = rng.normal(0, 0.03, n), 0
        self.price = self.new_price()

    def new_price(self) -> np.ndarray:
        hour = HOURS * self.time
        peaks = 0.10 * np.exp(-(((hour - 8) / 2) ** 2)) + 0.16 * np.exp(-(((hour - 19) / 2) ** 2))
        spike = 0.25 * (self.rng.random(self.n) < 0.02)
        return np.maximum(0.15 + peaks + self.level + self.drift + spike, 0.01)

    def observe(self) -> np.ndarray:
        angle, day = 2 * np.pi * self.time / STEPS, np.full(self.n, self.time / STEPS)
        clock = (np.full(self.n, np.sin(angle)), np.full(self.n, np.cos(angle)), day)
        return np.stack([self.charge, self.price, self.level, *clock], 1).astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        wanted = HOURS * np.clip(action[:, 0], -POWER, POWER)
        stored = np.clip(np.where(wanted > 0, KEPT * wanted, wanted), -self.charge, CAPACITY - self.charge)
        bought = np.where(stored > 0, stored / KEPT, KEPT * stored)
        reward = -self.price * bought - WEAR * np.abs(stored)
        self.charge, self.time = self.charge + stored, self.time + 1
        self.drift = 0.9 * self.drift + 0.015 * self.rng.normal(size=self.n)
        self.price = self.new_price()
        ended = np.full(self.n, self.time == STEPS)
        return Outcome(reward + SETTLED * self.charge * ended, ended, self.never)


def behaviour(observation: np.ndarray, _: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The log's rule: buy below .16, sell above .22, disturbed."""
    price = observation[:, 1]
    power = np.where(price < 0.16, 2.0, np.where(price > 0.22, -2.0, 0.0)) + rng.normal(0, 1.5, len(price))
    return np.clip(power, -POWER, POWER)[:, None]


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """Buy at night and in the afternoon, sell at the two peaks, with full power; a spike is sold at any time."""
    hour, price = 24 * observation[:, 5], observation[:, 1]
    peak = (np.abs(hour - 8) < 1.3) | (np.abs(hour - 19) < 1.6) | (price > 0.33)
    cheap = (hour < 5) | (np.abs(hour - 13.5) < 2.5)
    return np.where(peak, -POWER, np.where(cheap, 0.6 * POWER, 0.0))[:, None]


PROBLEM = Problem(
    name="battery",
    about="a battery against prices: continuous, days that end with a settlement",
    simulator=Days,
    features=("charge", "price", "level", "hour_sin", "hour_cos", "day"),
    behaviour=behaviour,
    better=better,
    episodes=160,
    lengths=(STEPS, STEPS),
    simulations=20_000,
    low=-POWER,
    high=POWER,
)

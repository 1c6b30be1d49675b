"""Reordering in 90 shops: five order sizes, two days of lead time, weekends, a season and promotions.

The log orders up to a fixed level that is blind to demand, and in 30 % of its decisions any size that fits.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator, drawing, exploring, nearest_allowed

UNITS = np.array([0.0, 20.0, 40.0, 60.0, 80.0])
SHELF = 170.0
"""Units that shop and lorries may hold together."""
MARGIN, HOLDING, DELIVERY, DISAPPOINTED = 2.0, 0.12, 11.0, 0.9
"""Per unit sold, per unit and night in stock, per delivery, per unit that was asked for in vain."""


class Shops(Simulator):
    """State: units in stock, units that arrive tonight and tomorrow night, smoothed demand, promotion, date."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.level = rng.uniform(17, 31, n)
        self.stock = rng.integers(15, 75, n).astype(float)
        self.tonight, self.tomorrow = rng.choice(UNITS[:3], size=(2, n))
        self.smoothed = self.level * rng.uniform(0.9, 1.1, n)
        self.promoted = rng.random(n) < 0.15
        self.date = rng.integers(0, 364, n)

    def observe(self) -> np.ndarray:
        week, year = 2 * np.pi * self.date / 7, 2 * np.pi * self.date / 364
        stock = (self.stock, self.tonight, self.tomorrow, self.smoothed, self.promoted)
        return np.stack([*stock, np.sin(week), np.cos(week), np.sin(year), np.cos(year)], 1).astype(np.float32)

    def mask(self) -> np.ndarray:
        room = SHELF - self.stock - self.tonight - self.tomorrow
        return np.maximum(room, 0)[:, None] >= UNITS

    def step(self, action: np.ndarray) -> Outcome:
        ordered = UNITS[action]
        busy = np.where(self.date % 7 >= 5, 1.4, 1.0) * np.where(self.promoted, 1.5, 1.0)
        asked = self.rng.poisson(self.level * busy * (1 + 0.3 * np.sin(2 * np.pi * self.date / 364)))
        sold = np.minimum(asked, self.stock)
        kept = self.stock - sold
        reward = MARGIN * sold - HOLDING * kept - DISAPPOINTED * (asked - sold) - DELIVERY * (ordered > 0)
        self.stock, self.tonight, self.tomorrow = kept + self.tonight, self.tomorrow, ordered
        self.smoothed += 0.15 * (asked - self.smoothed)
        self.promoted = self.rng.random(self.n) < np.where(self.promoted, 0.7, 0.05)
        self.date = self.date + 1
        return Outcome(reward, self.never, self.never)


def order_up_to(level: np.ndarray | float, observation: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The size that brings stock and deliveries nearest to ``level``, if it fits."""
    missing = level - observation[:, :3].sum(1)
    return nearest_allowed(np.clip(np.round(missing / 20), 0, 4), mask)


def probability(observation: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The log's rule."""
    assert mask is not None
    return exploring(order_up_to(74.0, observation, mask), mask, 0.3)


def better(observation: np.ndarray, mask: np.ndarray | None, _: np.random.Generator) -> np.ndarray:
    """Order up to what four days will ask for."""
    assert mask is not None
    level = 4.1 * observation[:, 3] * np.where(observation[:, 4] > 0, 1.2, 1.0)
    return order_up_to(level, observation, mask)


PROBLEM = Problem(
    name="inventory",
    about="orders of shops: masks, lead time, season; the log's probabilities are known",
    simulator=Shops,
    features=("stock", "tonight", "tomorrow", "smoothed", "promotion", "week_sin", "week_cos", "year_sin", "year_cos"),
    behaviour=drawing(probability),
    better=better,
    episodes=90,
    lengths=(90, 90),
    simulations=7000,
    probability=probability,
    n_actions=len(UNITS),
)

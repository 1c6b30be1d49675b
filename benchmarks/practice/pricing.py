"""Prices for visitors of a shop: a session is a few visits, and what a visitor is ready to pay is not known.

The log adds the same margin to every cost, somewhat disturbed. Visitors who look like paying more could be asked for
more; a price that is refused makes the visitor likelier to leave for good, without any loss.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator

LOWEST, HIGHEST = 1.0, 12.0
"""Bounds of the price."""


class Sessions(Simulator):
    """State: purse (what the visitor looks like paying), loyalty, whether on a phone, cost of the good, visit."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.purse, self.loyalty = rng.uniform(-1, 1, n), rng.uniform(0, 1, n)
        self.phone, self.cost, self.visit = rng.random(n) < 0.5, rng.uniform(1.5, 3.5, n), np.zeros(n)

    def observe(self) -> np.ndarray:
        state = (self.purse, self.loyalty, self.phone, self.cost, self.visit)
        return np.stack(state, 1).astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        price = np.clip(action[:, 0], LOWEST, HIGHEST)
        ready = 5.0 + 1.8 * self.purse + 1.0 * self.loyalty - 0.5 * self.phone
        luck = self.rng.random((3, self.n))
        bought = luck[0] < 1 / (1 + np.exp(-1.6 * (ready - price)))
        reward = bought * (price - self.cost)
        left = luck[1] < np.where(bought, 0.24, 0.38) - 0.10 * self.loyalty
        self.loyalty = np.clip(self.loyalty + np.where(bought, 0.15, -0.15), 0, 1)
        self.cost, self.visit = 1.5 + 2.0 * luck[2], self.visit + 1
        return Outcome(reward, left, self.never)


def behaviour(observation: np.ndarray, _: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """The log's rule: cost and a margin, disturbed."""
    price = observation[:, 3] + 2.2 + rng.normal(0, 0.8, len(observation))
    return np.clip(price, LOWEST, HIGHEST)[:, None]


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """Ask for more where the purse looks fuller."""
    purse, loyalty, phone, cost, _visit = observation.T
    price = 2.3 + 1.3 * purse + 0.6 * loyalty - 0.3 * phone + 0.6 * cost
    return np.clip(price, LOWEST, HIGHEST)[:, None]


PROBLEM = Problem(
    name="pricing",
    about="prices in sessions of a few visits: continuous, every episode ends, noisy rewards",
    simulator=Sessions,
    features=("purse", "loyalty", "phone", "cost", "visit"),
    behaviour=behaviour,
    better=better,
    episodes=1500,
    lengths=(80, 80),
    simulations=80_000,
    low=LOWEST,
    high=HIGHEST,
)

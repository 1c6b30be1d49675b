"""Doses for patients with an infection: the drug adds up in the body, and too much of it kills as well.

Every episode ends, by death or discharge. The log's doctor looks at the infection alone and forgets what was given
before, so about 60 % of the patients die. A doctor who watches the level of the drug loses about 10 %.
"""

import numpy as np

from benchmarks.practice.problem import Outcome, Problem, Simulator, drawing, exploring

DOSES = 5
"""Doses of 0, 1, 2, 3 and 4 units."""
KEPT = 0.65
"""Share of the drug's level that is left after a day."""
DEATH, DISCHARGE, CARE = -29.0, 9.0, 0.25
"""Reward of a death and of a discharge, and cost of a day."""
LONGEST = 30
"""Days until a patient is moved elsewhere."""


class Patients(Simulator):
    """State: bacteria, level of the drug, damage to the kidneys, frailty, day."""

    def __init__(self, n: int, rng: np.random.Generator):
        super().__init__(n, rng)
        self.bacteria, self.frailty = rng.uniform(3.0, 7.0, n), rng.uniform(0.6, 1.4, n)
        self.level, self.damage, self.day = np.zeros(n), rng.uniform(0.0, 1.0, n), np.zeros(n)

    def observe(self) -> np.ndarray:
        state = (self.bacteria, self.level, self.damage, self.frailty, self.day)
        return np.stack(state, 1).astype(np.float32)

    def step(self, action: np.ndarray) -> Outcome:
        noise = self.rng.normal(size=(2, self.n))
        self.day = self.day + 1
        self.level = KEPT * self.level + action
        growth = 0.20 - 0.10 * np.minimum(self.level, 6.0) + 0.10 * noise[0]
        self.bacteria = np.clip(self.bacteria * np.exp(growth), 0.0, 20.0)
        self.damage = np.maximum(0.85 * self.damage + 0.90 * np.maximum(self.level - 4.0, 0) + 0.05 * noise[1], 0)
        danger = self.frailty * (0.45 * self.bacteria + 0.9 * self.damage)
        died = self.rng.random(self.n) < 1 / (1 + np.exp(6.8 - danger))
        well = ~died & (self.bacteria < 1.0) & (self.damage < 2.0)
        moved = ~died & ~well & (self.day >= LONGEST)
        reward = DEATH * died + DISCHARGE * well - CARE
        return Outcome(reward, died | well | moved, died)


def probability(observation: np.ndarray, _: np.ndarray | None) -> np.ndarray:
    """The log's doctor: the more bacteria, the higher the dose; in 30 % of the decisions any dose."""
    choice = np.clip(np.round(0.5 + 0.7 * observation[:, 0]), 0, DOSES - 1)
    return exploring(choice, np.ones((len(choice), DOSES), dtype=bool), 0.3)


def better(observation: np.ndarray, _: np.ndarray | None, __: np.random.Generator) -> np.ndarray:
    """Fill the level of the drug up to 4."""
    return np.clip(np.round(4.0 - KEPT * observation[:, 1]), 0, DOSES - 1).astype(np.int64)


PROBLEM = Problem(
    name="dosing",
    about="doses for patients: every episode ends, by a death (a loss) or a discharge",
    simulator=Patients,
    features=("bacteria", "level", "damage", "frailty", "day"),
    behaviour=drawing(probability),
    better=better,
    episodes=500,
    lengths=(LONGEST, LONGEST),
    simulations=60_000,
    n_actions=DOSES,
)

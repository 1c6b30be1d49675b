"""A contextual bandit whose values are known."""

from dataclasses import dataclass

import numpy as np

from prudent.data import Dataset

BEHAVIOUR, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])


@dataclass(frozen=True)
class Bandit:
    """Its log, and the mean reward of the policy that draws from ``TARGET``."""

    log: Dataset
    value: float


def bandit(rows: int, seed: int = 0, rate: float = 0.4, terminated: bool = True) -> Bandit:
    """Clicks that depend on the action (``rate`` times 0.5, 1 and 1.5) and on a context of -1 or 1 (by a fifth)."""
    rng = np.random.default_rng(seed)
    context = rng.choice([-1.0, 1.0], size=(rows, 1)).astype(np.float32)
    action = rng.choice(3, p=BEHAVIOUR, size=rows)
    chance = rate * np.array([0.5, 1.0, 1.5])[action] * (1 + 0.2 * context[:, 0])
    ends = np.full(rows, terminated)
    log = Dataset.from_columns(
        observation=context,
        action=action,
        reward=(rng.random(rows) < chance).astype(np.float32),
        next_observation=context,
        terminated=ends,
        truncated=~ends,
        discrete=True,
        n_actions=3,
        name="bandit",
        extra={"behavior_log_prob": np.log(BEHAVIOUR[action])},
    )
    return Bandit(log, rate * float(TARGET @ [0.5, 1.0, 1.5]))

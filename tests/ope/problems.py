"""Small logs and fast settings for the tests of off-policy evaluation."""

import numpy as np

from prudent.data import Dataset
from prudent.ope import Settings

LINEAR = Settings(
    members=3,
    folds=2,
    n_bootstrap=0,
    steps=500,
    batch_size=128,
    hidden=(),
    lr=0.02,
    polyak=0.2,
    behaviour_steps=300,
)
"""For one-hot observations: linear values are tables there."""


def random_log(seed=0, episodes=8, terminated=0.5, with_dt=False, actions=2, **extra):
    """Episodes of 1 to 5 steps with random everything, about half of them truncated; two features, discrete actions."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, size=episodes)
    rows = int(lengths.sum())
    last = np.zeros(rows, dtype=bool)
    last[np.cumsum(lengths) - 1] = True
    ended = np.zeros(rows, dtype=bool)
    ended[last] = rng.random(episodes) < terminated
    observation = rng.normal(size=(rows + 1, 2)).astype(np.float32)
    following = observation[1:].copy()
    following[last] = rng.normal(size=(episodes, 2))
    extra = {key: np.asarray(column) for key, column in extra.items()}
    if with_dt:
        extra["dt"] = rng.uniform(0.5, 2.0, size=rows)
    return Dataset.from_columns(
        observation=observation[:-1],
        action=rng.integers(actions, size=rows),
        reward=rng.normal(size=rows),
        next_observation=following,
        terminated=ended,
        truncated=last & ~ended,
        discrete=True,
        n_actions=actions,
        name="random",
        extra=extra,
    )

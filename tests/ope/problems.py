"""Small logs and fast settings for the tests of off-policy evaluation."""

import numpy as np

from prudent.data import Dataset
from prudent.ope import DiscretePolicy, Settings, features, fqe
from prudent.types import Spec

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
"""Without hidden layers the features are the inputs; for one-hot observations values are tables then."""


def prepared(log, policy, settings=LINEAR, seed=0):
    """The problem of ``policy`` and features of ``log`` that were learned: what a fit is made from."""
    learned = features.learn(log, features.read(log.dataset), settings, seed)
    return fqe.decisions(log, policy, learned.rows, settings, seed), learned


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


def risky(episodes=400, discount=0.9):
    """A process of four states whose steps may end the episode with a loss, or without one.

    Returns a log of random actions, a policy, and its true discounted chance of a loss from each state (4,).
    """
    rng, states, actions = np.random.default_rng(5), 4, 2
    move_SAS = rng.dirichlet(np.ones(states), size=(states, actions))
    loss_SA, harmless = rng.uniform(0.0, 0.2, size=(states, actions)), 0.1
    policy_SA = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.0, 1.0]])
    rows = []
    for _ in range(episodes):
        state, going_on = int(rng.integers(states)), True
        while going_on:
            action, luck = int(rng.integers(actions)), rng.random()
            loss = luck < loss_SA[state, action]
            ended = loss or luck > 1 - harmless
            following = int(rng.choice(states, p=move_SAS[state, action]))
            cut = not ended and rng.random() < 0.1
            rows.append((state, action, -10.0 if loss else rng.normal(1, 0.3), following, ended, cut))
            state, going_on = following, not (ended or cut)
    state, action, reward, following, ended, cut = (np.array(column) for column in zip(*rows, strict=True))
    one_hot = np.eye(states, dtype=np.float32)
    log = Dataset.from_columns(
        observation=one_hot[state],
        action=action,
        reward=reward,
        next_observation=one_hot[following],
        terminated=ended,
        truncated=cut,
        discrete=True,
        n_actions=actions,
        name="risky",
    )
    going_on_SAS = discount * (1 - loss_SA - harmless)[..., None] * move_SAS
    transition_SS = np.einsum("sa,sat->st", policy_SA, going_on_SAS)
    chance_S = np.linalg.solve(np.eye(states) - transition_SS, (policy_SA * loss_SA).sum(1))
    spec = Spec(states, actions, discrete=True)
    return log, DiscretePolicy(spec, lambda o, _: policy_SA[o.argmax(1)], "risky", discount), chance_S

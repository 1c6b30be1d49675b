"""IQL, CIQL and sparse Q-learning on one-state problems whose values and policies are known."""

from functools import cache

import numpy as np
import pytest

from prudent import algorithms, nn
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling

QUICK = {
    "hidden": (32, 32),
    "batch_size": 256,
    "critic_lr": 3e-3,
    "value_lr": 3e-3,
    "actor_lr": 3e-3,
    "polyak": 0.1,
    "normalize_observations": False,
}
NO_PENALTY = {"alpha": 0.0, "n_negatives": 1}  # CIQL without what it adds to IQL
NO_ACTOR = {"actor_period": 10_000}  # where V and Q are probed: neither reads the actor
ALPHAS = [0.05, 0.3, 3.0]
RNG = np.random.default_rng(0)
SPREAD = RNG.uniform(-0.9, 0.9, size=1000)
SKEWED = np.where(RNG.uniform(size=4000) < 0.8, -1, 0) + RNG.uniform(size=4000)


def payoff(action):
    """Best at 0.3, where it is 1."""
    return 1 - (action - 0.3) ** 2


def bandit(action) -> Dataset:
    """One state, one decision, then the end."""
    here = np.ones((len(action), 1), np.float32)
    ended = np.ones(len(action), bool)
    return Dataset.from_columns(
        observation=here,
        action=action[:, None].astype(np.float32),
        reward=payoff(action).astype(np.float32),
        next_observation=here,
        terminated=ended,
        truncated=~ended,
    )


def learned(name, action, varied, steps=400, **options) -> Population:
    """A population trained on the bandit."""
    data = bandit(action)
    config = algorithms.get(name).Config(**{**QUICK, **options})
    population = Population(name, grid(config, varied, [0]), data.spec, Scaling.fit(data, False))
    training, _ = population.prepare(data)
    for _ in range(steps):
        population.step(training)
    return population


@cache
def sparse() -> Population:
    """Sparse Q-learning of every alpha, trained once for all tests."""
    return learned("sparse_ql", SPREAD, {"alpha": ALPHAS})


def value(population) -> np.ndarray:
    """(P,) V of the only state."""
    networks = population.state.networks["value"]
    return nn.mlp(networks, population.policy_input(np.ones((population.size, 1, 1)))).detach().numpy()[:, 0, 0]


def root(decreasing) -> float:
    """Where a decreasing function of v is 0, by bisection."""
    low, high = -10.0, 10.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) > 0 else (low, middle)
    return low


def expectile_of(q, level) -> float:
    """Where the weighted distances above and below balance."""
    return root(lambda v: np.mean(np.where(q > v, level, 1 - level) * (q - v)))


def sparse_value_of(q, alpha) -> float:
    """Where ``E max((q - v) / (2 alpha) + 1, 0)`` is 1."""
    return root(lambda v: np.mean(np.maximum((q - v) / (2 * alpha) + 1, 0)) - 1)


def played(weights) -> float:
    """The most likely action of a tanh-Gaussian fitted to the log with these weights: its mean is theirs."""
    return float(np.tanh(np.average(np.arctanh(SPREAD), weights=weights)))


@pytest.mark.parametrize("name", ["iql", "ciql"])
def test_v_is_the_expectile_of_the_payoffs(name):
    levels = [0.1, 0.5, 0.9]
    options = NO_PENALTY if name == "ciql" else {}
    found = value(learned(name, SPREAD, {"expectile": levels}, **options, **NO_ACTOR))
    expected = [expectile_of(payoff(SPREAD), level) for level in levels]
    assert np.ptp(expected) > 0.5, "the expectiles lie close together: this says little"
    np.testing.assert_allclose(found, expected, atol=0.05, err_msg=f"V of {name} is not the expectile")


def test_sparse_v_solves_its_equation():
    found = value(sparse())
    expected = [sparse_value_of(payoff(SPREAD), alpha) for alpha in ALPHAS]
    assert abs(expected[-1] - payoff(SPREAD).mean()) < 1e-6, "a large alpha means the mean"
    assert expected[0] > expected[-1] + 0.1, "a small alpha takes better than the mean"
    np.testing.assert_allclose(found, expected, atol=0.05, err_msg="V is not the root")


def test_iql_plays_the_weighted_mean():
    betas = [0.0, 3.0, 10.0]
    population = learned("iql", SPREAD, {"beta": betas})
    q = payoff(SPREAD)
    weights = [np.minimum(np.exp(beta * (q - expectile_of(q, 0.7))), 100) for beta in betas]
    check_play(population, [played(w) for w in weights])


def test_ciql_plays_the_softmax_weighted_mean():
    betas = [0.0, 5.0, 20.0]
    population = learned("ciql", SPREAD, {"beta": betas}, **NO_PENALTY)
    q = payoff(SPREAD)
    check_play(population, [played(np.exp(b * np.maximum(q - expectile_of(q, 0.8), 0))) for b in betas])


def test_sparse_plays_what_is_better_than_v():
    q = payoff(SPREAD)
    check_play(sparse(), [played(np.maximum(q - sparse_value_of(q, alpha), 0)) for alpha in ALPHAS])


def check_play(population, expected) -> None:
    found = population.act(np.ones((population.size, 1, 1)))[:, 0, 0]
    assert abs(expected[-1] - played(None)) > 0.1, "this is plain cloning: it says little"
    np.testing.assert_allclose(found, expected, atol=0.07, err_msg="the policy is not the weighted clone")


def test_ciql_pushes_negatives_down_until_the_log_is_valued_as_high_and_no_further():
    """The log holds the worse half four times out of five, so that uniform actions are worth 0.18 more on average.

    The minimum of ``E_beta (Q - r)^2 + a (E_u Q - E_beta Q)`` is ``Q = r - a/2 (u / beta - 1)``, whose difference of
    means is ``0.18 - a/2 (int u^2 / beta - 1)``: 0 for a = 0.64. The clamp holds every larger alpha there.
    """
    population = learned("ciql", SKEWED, {"alpha": [0.0, 0.3, 5.0]}, 1000, n_critics=1, critic_lr=1e-3, **NO_ACTOR)
    grid_points = (np.arange(200) + 0.5) / 100 - 1
    density = np.where(grid_points < 0, 0.8, 0.2)
    stop = 2 * 0.18 / (0.25 / 0.8 + 0.25 / 0.2 - 1)
    inner = (np.abs(grid_points) > 0.2) & (np.abs(grid_points) < 0.95)
    states = np.ones((3, 200, 1))
    found = population.q_value(states, np.broadcast_to(grid_points[:, None], (3, 200, 1)))
    for alpha, q in zip([0.0, 0.3, 5.0], found, strict=True):
        expected = payoff(grid_points) - min(alpha, stop) / 2 * (0.5 / density - 1)
        error = np.abs(q - expected)[inner].mean()
        # Around the clamp the penalty comes and goes from batch to batch, hence the wider margin: without the clamp the
        # error would be 2, without a penalty 0.3.
        assert error < (0.1 if alpha < stop else 0.2), f"alpha {alpha}: Q is {error:.3f} away from the minimum"

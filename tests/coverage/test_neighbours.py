"""Distances to logged decisions, compared with plain loops."""

import numpy as np
import pytest

from prudent.coverage import neighbours
from prudent.coverage.neighbours import Neighbourhood

K = 3


def log(rows, discrete, seed=0):
    rng = np.random.default_rng(seed)
    observation = (rng.normal(size=(rows, 2)) * [1.0, 50.0] + [0.0, 1e4]).astype(np.float32)
    action = rng.integers(3, size=rows) if discrete else (rng.normal(size=(rows, 2)) * [0.1, 3.0]).astype(np.float32)
    return observation, action


def standard(values, reference):
    reference = reference.astype(np.float64)
    return (values - reference.mean(0)) / reference.std(0)


def by_loops(known_observation, known_action, observation, action):
    """The (state, decision, action) scores, one decision after another."""
    states, query = standard(known_observation, known_observation), standard(observation, known_observation)
    scores = []
    for row, taken in zip(query, action, strict=True):
        distance = np.sqrt(((states - row) ** 2).sum(1))
        near = np.argsort(distance)[:K]
        if known_action.ndim == 1:
            reach = np.sort(distance[known_action == taken])[K - 1]
            rarity = (distance <= reach).sum() / ((distance <= reach) & (known_action == taken)).sum()
            scores.append((distance[near[-1]], reach, rarity))
            continue
        actions, query_action = standard(known_action, known_action), standard(taken, known_action)
        apart = np.sqrt(((actions - query_action) ** 2).sum(1))
        both = np.sort(np.sqrt(distance**2 + apart**2))
        scores.append((distance[near[-1]], both[K - 1], apart[near].min()))
    return np.array(scores).T


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("pairs", [1, 1000, 1 << 20])
def test_scores_are_those_of_loops(discrete, pairs, monkeypatch):
    monkeypatch.setattr(neighbours, "PAIRS", pairs)
    known, (observation, action) = log(80, discrete), log(30, discrete, seed=1)
    other = np.roll(action, 1, axis=0)
    scores = Neighbourhood(*known, K).scores(observation, np.stack([action, other]))
    for policy, taken in enumerate((action, other)):
        state, decision, unusual = by_loops(*known, observation, taken)
        np.testing.assert_allclose(scores.state, state, rtol=2e-4)
        np.testing.assert_allclose(scores.decision[policy], decision, rtol=2e-4)
        np.testing.assert_allclose(scores.action[policy], unusual, rtol=2e-4)


def test_rarity_is_one_over_the_share_of_the_action():
    # A hundred times the same state: action 0 was taken 78 times, action 1 20 times, action 2 twice.
    action = np.repeat([0, 1, 2], [78, 20, 2])
    known = Neighbourhood(np.zeros((100, 1), np.float32), action, 5)
    scores = known.scores(np.zeros((4, 1), np.float32), np.array([[0, 1, 2, 3]]))
    np.testing.assert_allclose(scores.action[0], [100 / 78, 5.0, np.inf, np.inf])
    np.testing.assert_allclose(scores.decision[0], [0, 0, np.inf, np.inf])


def test_an_action_that_is_not_a_number_has_no_score():
    observation, action = log(50, False)
    taken = action[:2].copy()
    taken[0] = np.nan
    scores = Neighbourhood(observation, action, K).scores(observation[:2], taken[np.newaxis])
    assert np.isnan([scores.decision[0, 0], scores.action[0, 0]]).all()
    assert np.isfinite([scores.decision[0, 1], scores.action[0, 1]]).all()
    observation, action = log(50, True)
    scores = Neighbourhood(observation, action, K).scores(observation[:2], np.array([[-1, 1]]))
    assert np.isnan(scores.decision).tolist() == np.isnan(scores.action).tolist() == [[True, False]]


@pytest.mark.parametrize("discrete", [False, True])
def test_no_rows_have_no_scores(discrete):
    observation, action = log(50, discrete)
    scores = Neighbourhood(observation, action, K).scores(observation[:0], action[np.newaxis, :0])
    assert (scores.state.shape, scores.decision.shape, scores.action.shape) == ((0,), (1, 0), (1, 0))


def test_a_constant_feature_counts_in_its_own_units():
    observation = np.stack([np.arange(20), np.full(20, 7)], axis=1).astype(np.float32)
    known = Neighbourhood(observation, np.zeros((20, 1), np.float32), 1)
    state = known.scores(np.array([[5, 7], [5, 8.5]], np.float32), np.zeros((1, 2, 1), np.float32)).state
    np.testing.assert_allclose(state, [0, 1.5], atol=1e-6)


def test_one_near_action_is_enough():
    # Two modes in every state: both are supported, an action between them is not.
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(400, 1)).astype(np.float32)
    action = (np.where(rng.random((400, 1)) < 0.5, -1, 1) + 0.05 * rng.normal(size=(400, 1))).astype(np.float32)
    taken = np.array([-1, 1, 0], np.float32).reshape(3, 1, 1)
    score = Neighbourhood(observation, action, 10).scores(np.zeros((1, 1), np.float32), taken).action[:, 0]
    assert max(score[:2]) < 0.1 < 0.7 < score[2], score

"""The exact values of the known problems are what their behaviours and targets earn."""

import numpy as np
import pytest
import torch

from benchmarks import known


@pytest.mark.parametrize("make", [known.tabular, known.quadratic])
def test_the_behaviours_value_is_what_it_earns(make):
    """Hardly cut, so that returns are whole: the mean of many has to hit the exact value."""
    problem = make(5, truncation=1e-9 if make is known.tabular else 0.02)
    data = problem.log(1500 if make is known.tabular else 250, 0)
    bounds = data.episode_bounds
    step = np.arange(len(data)) - bounds[:-1][data.episode_of_row]
    returns = np.add.reduceat(problem.discount**step * data.reward.astype(np.float64), bounds[:-1])
    long = data.episode_lengths > 60 if make is known.quadratic else np.ones(data.n_episodes, bool)
    error = returns[long].std() / np.sqrt(long.sum())
    assert abs(returns[long].mean() - problem.behaviour_value) < 3.5 * error


def test_the_targets_value_by_playing_it():
    """The quadratic problem again, its behaviour replaced by its target: gain and spread enter the equation alike."""
    base = known.quadratic(5)
    generator = torch.Generator().manual_seed(0)
    data = base.log(400, 1)
    drawn = base.target.draw(data.observation, generator)
    density = base.target.log_prob(data.observation, drawn)
    assert density.mean() == pytest.approx(-0.5 - np.log(0.45) - 0.5 * np.log(2 * np.pi), abs=0.05)
    assert base.target_value > base.behaviour_value


def test_shift_moves_the_target():
    same, best = known.tabular(5, shift=0.0), known.tabular(5, shift=1.0)
    assert same.target_value == pytest.approx(same.behaviour_value)
    assert best.target_value > same.target_value
    probability = best.target.probability(np.eye(5), None)
    np.testing.assert_array_equal(probability.max(1), 1)


def test_logs_are_repeatable_and_carry_their_probabilities():
    first, second = known.tabular(5).log(5, 1), known.tabular(5).log(5, 1)
    assert first.fingerprint == second.fingerprint
    assert known.tabular(5).log(5, 2).fingerprint != first.fingerprint
    assert np.exp(first.extra["behavior_log_prob"]).max() <= 1
    assert known.tabular(5).log(50, 0).truncated.any()
    assert known.quadratic(5).log(5, 0).truncated.sum() == 5

"""Interquartile mean, bootstrap intervals, discounted returns."""

import numpy as np
import pytest

from prudent.data import Dataset
from prudent.statistics import discounted, interval, iqm, mean


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0], 5.0),
        ([1.0, 2.0, 9.0], 4.0),  # nothing to cut below four values
        ([100.0, 1.0, 3.0, -50.0], 2.0),
        ([-100.0, 1.0, 2.0, 3.0, 100.0], 2.0),  # floor(5 / 4) = 1 at each end
        (list(range(8)), 3.5),
        ([0, 0, 4, 5, 6, 1000, 7, 1000], 5.5),
    ],
)
def test_iqm_of_known_values(values, expected):
    assert iqm(np.array(values)) == pytest.approx(expected)


def test_iqm_reduces_the_axis_it_is_told():
    values = np.array([[1.0, 2.0, 3.0, 100.0], [5.0, 5.0, 5.0, 5.0]])
    np.testing.assert_allclose(iqm(values, axis=1), [2.5, 5.0])
    np.testing.assert_allclose(iqm(values.T, axis=0), [2.5, 5.0])


def test_interval_of_equal_values_is_a_point():
    assert interval(np.full((3, 5), 7.0)) == (7.0, 7.0)


def test_interval_is_the_same_for_the_same_seed():
    values = np.random.default_rng(0).normal(size=(3, 10))
    assert interval(values, seed=1) == interval(values, seed=1)
    assert interval(values, seed=1) != interval(values, seed=2)


@pytest.mark.parametrize("values", [[[1.0]], [[1.0, np.nan]], [[1.0, np.inf]]])
def test_no_interval_where_nothing_can_be_said(values):
    assert interval(np.array(values)) is None


def test_members_are_resampled_before_episodes():
    # All spread is between members: an interval over episodes alone would be ten times too narrow.
    values = np.repeat([[0.0], [10.0], [20.0]], 100, axis=1)
    low, high = interval(values, mean)
    assert (low, high) == (0.0, 20.0)


def test_one_member_is_resampled_by_episode():
    values = np.arange(100.0)[None]
    low, high = interval(values, mean)
    assert low < 49.5 < high
    # The standard error of the mean of 0..99 is 2.9.
    assert high - low == pytest.approx(2 * 1.96 * 2.9, rel=0.1)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        values = generator.normal(size=(10, 1)) + generator.normal(size=(10, 10))
        low, high = interval(values, mean, samples=400, seed=seed)
        held += low <= 0 <= high
    assert 0.86 <= held / 200 <= 0.98


def test_discounted_agrees_with_the_returns_to_go_of_a_dataset():
    generator = np.random.default_rng(0)
    reward = generator.normal(size=(30, 2, 1))
    lengths, terminated = np.array([[30], [12]]), np.array([[False], [True]])
    realized, *_ = discounted(reward, lengths, terminated, np.array([0.9, 0.9]))
    for member in range(2):
        length = int(lengths[member, 0])
        end = np.arange(length) == length - 1
        data = Dataset.from_columns(
            observation=np.zeros((length, 1)),
            next_observation=np.zeros((length, 1)),
            action=np.zeros((length, 1)),
            reward=reward[:length, member, 0],
            terminated=end & terminated[member, 0],
            truncated=end & ~terminated[member, 0],
        )
        assert realized[member, 0] == pytest.approx(data.returns_to_go(0.9)[0], rel=1e-5)


def test_discount_one_adds_nothing_after_a_truncation():
    reward = np.ones((5, 1, 1))
    realized, continuation, weight = discounted(reward, np.array([[5]]), np.array([[False]]), np.array([1.0]))
    assert (realized.item(), continuation.item(), weight.item()) == (5.0, 0.0, 1.0)

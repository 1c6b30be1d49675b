"""Suggested settings follow from the rows: never from a name or a unit, and never past the recordings."""

import json
from dataclasses import replace

import numpy as np
import pytest

from prudent.data import Dataset, describe, describe_dict
from prudent.data.spread import behind, spread_to_go
from prudent.data.suggestions import suggest_alpha, suggest_discount


def log(reward, length=50, terminated=False, dt=None, name="log.npz") -> Dataset:
    """Episodes of ``length`` steps with these rewards; all terminate or all are cut."""
    reward = np.asarray(reward, np.float32)
    state = np.arange(len(reward) + 1, dtype=np.float32)[:, None]
    ends = np.arange(1, len(reward) + 1) % length == 0
    return Dataset.from_columns(
        observation=state[:-1],
        action=np.zeros((len(reward), 1), np.float32),
        reward=reward,
        next_observation=state[1:],
        terminated=ends & terminated,
        truncated=ends & (not terminated),
        extra={} if dt is None else {"dt": np.asarray(dt, np.float32)},
        name=name,
    )


NOISE = np.random.default_rng(0).normal(size=20_000)


def lasting(steps: int) -> np.ndarray:
    """Rewards each of which holds for a number of steps."""
    return np.repeat(NOISE[: len(NOISE) // steps], steps)


# --- discount ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"), [(1000, 0.99), (200, 0.99), (100, 0.98), (89, 0.97), (50, 0.95), (20, 0.9), (1, 0.1)]
)
def test_the_largest_discount_that_does_not_look_past_the_recordings(length, expected):
    data = log(NOISE[: 100 * (length if length < 1000 else 10)], length=min(length, 1000))
    found = suggest_discount(data)
    assert found.discount == expected
    assert found.behind == behind(data, expected) == pytest.approx(expected**length)
    assert found.behind <= 0.15


def test_where_nothing_lies_behind():
    found = suggest_discount(log(NOISE[:1000], length=10, terminated=True))
    assert (found.discount, found.behind) == (0.99, 0.0)
    assert "all episodes terminate" in found.why


def test_the_reason_names_the_next_larger_discount():
    assert suggest_discount(log(NOISE[:8900], length=89)).why == (
        "7 % of the value of a start state lies behind the ends of the recordings; with 0.98 it would be 17 %"
    )
    uneven = log(NOISE[:2000], length=2, dt=np.tile([0.01, 0.01, 5.0, 5.0], 500))
    assert "too short to look ahead" in suggest_discount(uneven).why


@pytest.mark.parametrize("unit", [60.0, 1 / 24])
def test_a_discount_in_another_unit_of_time(unit):
    dt = np.random.default_rng(1).uniform(0.1, 1, size=5000)
    hours, other = (suggest_discount(log(NOISE[:5000], dt=dt * k)) for k in (1.0, unit))
    assert other.discount**unit == pytest.approx(hours.discount, rel=1e-6)
    assert other.behind == pytest.approx(hours.behind, rel=1e-4)


# --- alpha ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "alpha"), [(1, 0.3), (5, 1.0), (40, 3.0)])
def test_the_longer_rewards_last_the_larger_is_alpha(steps, alpha):
    found = suggest_alpha(log(lasting(steps), length=1000), 0.95)
    assert (found.alpha, found.low, found.high) == (alpha, *{0.3: (0.1, 1.0), 1.0: (0.3, 3.0), 3.0: (1.0, 10.0)}[alpha])
    assert found.grid[1:4] == (found.low, found.alpha, found.high)
    assert list(found.grid) == sorted(found.grid)
    spread = spread_to_go(log(lasting(steps), length=1000), 0.95)
    assert found.raw == pytest.approx(alpha * spread.std / 80)
    assert found.reward_scale == pytest.approx(80 / spread.std)


def test_equal_rewards_and_different_ends():
    lengths = np.random.default_rng(2).integers(5, 60, size=200)
    state = np.arange(lengths.sum() + 1, dtype=np.float32)[:, None]
    ends = np.isin(np.arange(1, lengths.sum() + 1), lengths.cumsum())
    data = Dataset.from_columns(
        observation=state[:-1],
        action=np.zeros((lengths.sum(), 1), np.float32),
        reward=np.ones(lengths.sum(), np.float32),
        next_observation=state[1:],
        terminated=ends,
        truncated=np.zeros_like(ends),
    )
    assert suggest_alpha(data).alpha == 10
    assert "though all rewards are the same" in suggest_alpha(data).why


@pytest.mark.parametrize("name", ["hopper-random-v2", "hopper-expert-v2", "quarterly.hdf5", "a+b"])
def test_the_name_says_nothing(name):
    expected = log(NOISE)
    found = log(NOISE, name=name)
    assert suggest_alpha(found) == suggest_alpha(expected)
    assert suggest_discount(found) == suggest_discount(expected)
    assert describe_dict(found)["suggested_alpha"] == describe_dict(expected)["suggested_alpha"]


@pytest.mark.parametrize("unit", [1024.0, 1000.0, 0.01])
def test_alpha_in_another_unit_of_reward(unit):
    """The same with auto, and the unit times as much for raw rewards."""
    one, other = (suggest_alpha(log(NOISE * k)) for k in (1.0, unit))
    assert other.alpha == one.alpha
    assert other.raw == pytest.approx(unit * one.raw, rel=1e-5)
    assert other.reward_scale == pytest.approx(one.reward_scale / unit, rel=1e-5)


def test_alpha_in_another_unit_of_time():
    dt = np.random.default_rng(1).uniform(0.1, 1, size=len(NOISE))
    one, other = (suggest_alpha(log(NOISE, dt=dt * k)) for k in (1.0, 60.0))
    assert (other.alpha, other.raw) == (one.alpha, pytest.approx(one.raw, rel=1e-4))


@pytest.mark.parametrize(("episodes", "length"), [(6, 200), (19, 100), (30, 20)])
def test_too_little_data_suggest_nothing(episodes, length):
    data = log(NOISE[: episodes * length], length=length)
    assert suggest_alpha(data) is None
    assert describe_dict(data)["suggested_alpha"] is None
    assert f"Suggested alpha: none\n  {episodes * length:,} transitions in {episodes} episodes" in describe(data)


def test_returns_that_do_not_differ_or_have_no_order():
    assert suggest_alpha(log(np.ones(5000))) is None
    data = log(NOISE)
    shuffled = replace(data, next_observation=-data.next_observation)
    assert suggest_alpha(shuffled) is None
    assert "Suggested alpha: none" in describe(shuffled)


# --- words ------------------------------------------------------------------------------------------------------------


def test_both_are_in_the_description():
    data = log(NOISE, length=89 * 2)
    found, text = suggest_alpha(data), describe(data)
    assert f"Suggested discount: {suggest_discount(data).discount:g} per step\n  {suggest_discount(data).why}" in text
    assert (
        f"Suggested alpha of CQL: {found.alpha:g} with --reward-scale auto (try {found.low:g} to {found.high:g})"
        in text
    )
    assert f"which is {found.raw:.3g} for raw rewards\n  {found.why}" in text
    figures = json.loads(json.dumps(describe_dict(data)))
    assert figures["suggested_alpha"]["raw"] == found.raw
    assert figures["suggested_discount"]["behind"] == suggest_discount(data).behind
    assert "per unit of time" in describe(log(NOISE, dt=np.ones(len(NOISE))))

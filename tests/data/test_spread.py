"""How far returns-to-go spread: against known processes, cut or whole, and in any unit."""

from itertools import pairwise

import numpy as np
import pytest

from prudent.data import Dataset, spread
from prudent.data.spread import behind, spread_to_go
from prudent.errors import DataError


def log(rewards, terminated=False, dt=None, state=None) -> Dataset:
    """Episodes with these rewards, one list each; all terminate or all are cut, or one flag each."""
    ends = np.concatenate([np.arange(len(r)) == len(r) - 1 for r in rewards])
    flags = np.repeat(np.broadcast_to(terminated, len(rewards)), [len(r) for r in rewards])
    reward = np.concatenate([np.asarray(r, dtype=np.float64) for r in rewards])
    state = np.arange(len(reward) + 1, dtype=np.float32)[:, None] if state is None else state
    return Dataset.from_columns(
        observation=state[:-1],
        action=np.zeros((len(reward), 1), np.float32),
        reward=reward.astype(np.float32),
        next_observation=state[1:],
        terminated=ends & flags,
        truncated=ends & ~flags,
        extra={} if dt is None else {"dt": np.concatenate([np.asarray(d, np.float32) for d in dt])},
    )


def by_hand(rewards, terminated, dt, discount) -> tuple[float, float]:
    """The definition, with loops."""
    recorded, left = [], []
    for r, ended, step in zip(rewards, terminated, dt, strict=True):
        for start in range(len(r)):
            clock, total = 0.0, 0.0
            for k in range(start, len(r)):
                total += discount**clock * r[k]
                clock += step[k]
            recorded.append(total)
            left.append(0.0 if ended else discount**clock)
    mean = sum(recorded) / (len(left) - sum(left))
    squares = sum((g + w * mean - mean) ** 2 for g, w in zip(recorded, left, strict=True))
    return (squares / sum(1 - w * w for w in left)) ** 0.5, mean


@pytest.mark.parametrize("discount", [0.0, 0.7, 0.97])
def test_against_the_definition(discount):
    rng = np.random.default_rng(0)
    rewards = [rng.normal(size=n).astype(np.float32).astype(float) for n in (5, 1, 8, 3)]
    dt = [rng.uniform(0.5, 2, size=len(r)).astype(np.float32).astype(float) for r in rewards]
    terminated = np.array([True, False, False, True])
    found = spread_to_go(log(rewards, terminated, dt), discount)
    assert (found.std, found.mean) == pytest.approx(by_hand(rewards, terminated, dt, discount))


@pytest.mark.parametrize("length", [1, 5, 30, 1000])
def test_cutting_recordings_changes_nothing_if_rewards_are_independent(length):
    """The standard deviation of the whole sum is 1 / sqrt(1 - 0.95^2) = 3.2; pieces of five steps only sum to 2.0."""
    rewards = np.random.default_rng(1).normal(loc=4.0, size=30_000)
    found = spread_to_go(log(rewards.reshape(-1, length)), 0.95)
    assert found.std == pytest.approx(1 / np.sqrt(1 - 0.95**2), rel=0.08)
    assert found.mean == pytest.approx(4.0 / 0.05, rel=0.02)


def test_a_long_recording_shows_how_long_rewards_last():
    """Rewards that hold for 20 steps spread further than independent ones; cut ones show part of it."""
    levels = np.repeat(np.random.default_rng(2).normal(size=2_000), 20)
    whole, cut = (spread_to_go(log(levels.reshape(-1, n)), 0.95).std for n in (4_000, 40))
    assert whole > 3 * 3.2
    assert 0.5 * whole < cut < whole


def test_what_terminates_lacks_nothing():
    """Episodes of one reward each: returns are the rewards, whatever the discount."""
    rewards = np.random.default_rng(3).normal(size=(500, 1))
    assert spread_to_go(log(rewards, True), 0.99).std == pytest.approx(rewards.std(), rel=1e-5)
    assert behind(log(rewards, True), 0.99) == 0.0


def test_without_a_spread():
    assert spread_to_go(log(np.full((4, 50), 0.1)), 0.99).std == 0.0
    assert spread_to_go(log(np.full((4, 50), 0.1)), 0.99).mean == pytest.approx(10.0)
    assert spread_to_go(log(np.zeros((2, 5)), True), 0.99).std == 0.0
    assert spread_to_go(log([[2.0]]), 0.99).std == 0.0
    # One size of reward, but episodes of different lengths.
    assert spread_to_go(log([[1.0] * 3, [1.0] * 30], True), 0.99).std > 5


def test_one_episode_has_a_spread():
    found = spread_to_go(log([[0.0, 1.0, 0.0, 1.0, 5.0]], True), 0.9)
    assert found.std == pytest.approx(np.std([4.9095, 5.455, 4.95, 5.5, 5.0]))


@pytest.mark.parametrize("unit", [1024.0, 1 / 64])
def test_the_unit_of_the_reward_is_exact(unit):
    rewards = np.random.default_rng(4).normal(size=(20, 30)).astype(np.float32)
    one, other = (spread_to_go(log(rewards * k), 0.9) for k in (1.0, unit))
    assert (other.std, other.mean) == (unit * one.std, unit * one.mean)


def test_the_unit_of_time():
    rng = np.random.default_rng(5)
    rewards, dt = rng.normal(size=(20, 30)), rng.uniform(0.1, 1, size=(20, 30))
    hours = log(rewards, dt=dt)
    minutes = log(rewards, dt=60 * dt)
    one, other = spread_to_go(hours, 0.9), spread_to_go(minutes, 0.9 ** (1 / 60))
    assert other.std == pytest.approx(one.std, rel=1e-6)
    assert other.mean == pytest.approx(one.mean, rel=1e-6)
    assert behind(minutes, 0.9 ** (1 / 60)) == pytest.approx(behind(hours, 0.9), rel=1e-5)


def test_what_lies_behind_the_recordings():
    """0.9 ** 10 of a value lies behind ten steps, nothing behind a termination."""
    assert behind(log(np.ones((3, 10))), 0.9) == pytest.approx(0.9**10)
    assert behind(log([[1.0] * 10, [1.0] * 20], [False, True]), 0.9) == pytest.approx(0.9**10 / 2)
    assert behind(log(np.ones((2, 4)), dt=np.full((2, 4), 2.5)), 0.9) == pytest.approx(0.9**10)


def test_pieces_of_a_long_log_say_the_same(monkeypatch):
    rewards = np.random.default_rng(6).normal(loc=1.0, size=(100, 1_000))
    whole = spread_to_go(log(rewards), 0.9)
    monkeypatch.setattr(spread, "MOST_ROWS", 20_000)
    pieces = list(spread._pieces(100_000))
    assert sum(piece.stop - piece.start for piece in pieces) == 20_000
    assert (pieces[0].start, pieces[-1].stop) == (0, 100_000)
    assert all(one.stop <= other.start for one, other in pairwise(pieces))
    part = spread_to_go(log(rewards), 0.9)
    assert part.std == pytest.approx(whole.std, rel=0.05)
    assert part.mean == pytest.approx(whole.mean, rel=0.05)


def test_rows_without_an_order_are_refused():
    state = np.random.default_rng(7).normal(size=(60, 1)).astype(np.float32)
    shuffled = log(np.ones((3, 20)))
    wrong = Dataset.from_columns(
        observation=state,
        action=shuffled.action,
        reward=shuffled.reward,
        next_observation=-state,
        terminated=shuffled.terminated,
        truncated=shuffled.truncated,
    )
    with pytest.raises(DataError, match="do not lead to the next one"):
        spread_to_go(wrong, 0.9)

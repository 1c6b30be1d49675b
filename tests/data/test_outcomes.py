"""Findings about how episodes end: the reward of dropped rows, of truncated last rows, and very short episodes."""

import numpy as np
import pytest

from helpers.data_logs import logged, walk, write_hdf5
from prudent.data import Dataset, audit, convert, load_dataset, outcomes
from prudent.data.audit import cautions


def ending(lengths, bonus, flag="truncated", dense=0.0):
    """Episodes whose last row earns ``bonus`` besides ``dense`` rewards; successors are stated."""
    log = walk(lengths)
    ends, none = log["ends"], np.zeros(len(log["ends"]), bool)
    return Dataset.from_columns(
        observation=log["observations"],
        action=log["actions"],
        reward=np.where(ends, dense + bonus, dense).astype(np.float32),
        next_observation=log["successor"],
        terminated=ends if flag == "terminated" else none,
        truncated=ends if flag == "truncated" else none,
    )


def kinds(dataset):
    return {finding.kind for finding in audit(dataset)} & {
        "reward on dropped rows",
        "reward on truncated last rows",
        "short truncated episodes",
        "episodes of length one",
    }


def test_reward_on_truncated_last_rows():
    dataset = ending([20] * 30, 1.0)
    assert kinds(dataset) == {"reward on truncated last rows"}
    finding = outcomes.truncated_reward(dataset)
    assert finding is not None
    assert (finding.count, finding.rows[:2]) == (30, (19, 39))
    assert "100 % of all reward" in finding.advice
    assert kinds(ending([20] * 30, 1.0, "terminated")) == set()


@pytest.mark.parametrize(("bonus", "dense", "found"), [(0, 1, False), (1, 1, False), (5, 1, True), (20, -1, True)])
def test_dense_rewards_are_no_finding(bonus, dense, found):
    assert (outcomes.truncated_reward(ending([20] * 30, bonus, dense=dense)) is not None) == found


def test_sound_logs_are_left_alone():
    assert kinds(logged()) == set()
    for name in ("pendulum-mixed", "cartpole-mixed"):
        assert outcomes.warnings(load_dataset(name)) == []


def test_short_episodes_that_are_cut():
    for lengths in ([1] * 50, [2] * 50, [1, 2] * 25):
        cut = ending(lengths, 1.0)
        assert "short truncated episodes" in kinds(cut), lengths
        assert "episodes of length one" not in kinds(ending([1] * 50, 1.0)), "this finding says more"
        assert kinds(ending(lengths, 1.0, "terminated")) <= {"episodes of length one"}
    finding = outcomes.short_truncated_episodes(ending([2] * 50, 1.0))
    assert finding is not None
    assert finding.advice.startswith("all 50 episodes are cut after at most 2 steps")
    assert "short truncated episodes" not in kinds(ending([2] * 50 + [3], 0.0, dense=1.0))


def test_most_sessions_are_cut():
    log = logged(rows=100)
    ends = np.ones(100, bool)
    dataset = logged(rows=100, terminated=ends & (np.arange(100) % 4 == 0), truncated=ends, reward=log.reward)
    finding = outcomes.short_truncated_episodes(dataset)
    assert finding is not None
    assert finding.advice.startswith("75 of 100 episodes")
    assert finding.count == 75


def test_rows_on_disk_get_the_same_findings(tmp_path):
    log = walk([10] * 40)
    flags = {"terminals": np.zeros(400, bool), "timeouts": log["ends"]}
    columns = {"observations": log["observations"], "actions": log["actions"], **flags}
    path = write_hdf5(tmp_path / "log.hdf5", **columns, rewards=log["ends"].astype(np.float32))
    mapped, loaded = convert(path, tmp_path / "folder"), load_dataset(path)
    stated = write_hdf5(
        tmp_path / "stated.hdf5", **columns, rewards=log["ends"] * 1.0, next_observations=log["successor"]
    )
    for one, other in ((mapped, loaded), (convert(stated, tmp_path / "other"), load_dataset(stated))):
        assert len(outcomes.warnings(one)) == 1
        assert outcomes.warnings(one) == outcomes.warnings(other)
        assert any(str(finding) in outcomes.warnings(one)[0] for finding in cautions(one))
    assert "dropped rows hold 100 % of all reward" in outcomes.warnings(mapped)[0]
    assert "--last-rows terminated" in outcomes.warnings(mapped)[0]


def test_the_share_is_not_rounded_up_to_all():
    dataset = ending([20] * 30, 1000.0, dense=0.001)
    assert "99 % of all reward" in str(outcomes.truncated_reward(dataset))

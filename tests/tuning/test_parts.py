"""Three parts that share no episode or group."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import known
from prudent import ope
from prudent.errors import DataError
from prudent.tuning.parts import divide


@pytest.fixture(scope="module")
def log():
    return known.tabular(0).log(50, 0)


def numbered(log):
    """The log with the number of each episode in a column."""
    return replace(log, extra={"episode": log.episode_of_row})


def members(part, column="episode"):
    return set(np.unique(part.extra[column]).tolist())


def test_every_episode_is_in_one_part(log):
    parts = divide(numbered(log), 0, 0, 6)
    parts_ids = [members(part) for part in (parts.train, parts.evaluation, parts.final)]
    assert [len(ids) for ids in parts_ids] == [24, 6, 20]
    assert members(parts.ranking) == parts_ids[0] | parts_ids[1]
    assert set.union(*parts_ids) == set(range(50))
    assert parts.summary() == {"by": "episode", "seed": [0, 0], "train": 24, "evaluation": 6, "final": 20}
    assert parts.train.n_episodes == 24
    assert "train part" in parts.train.name


def test_of_a_large_log_some_of_the_training_part_ranks(log, monkeypatch):
    """The evaluation part ranks in full, however large it is."""
    whole = divide(numbered(log), 0, 0, 6)
    monkeypatch.setattr("prudent.tuning.parts.RANKED", len(log) // 3)
    parts = divide(numbered(log), 0, 0, 6)
    assert members(parts.evaluation) < members(parts.ranking) < members(whole.ranking)
    assert len(parts.ranking) <= len(log) // 3
    assert members(parts.train) == members(whole.train)
    monkeypatch.setattr("prudent.tuning.parts.RANKED", 1)
    assert members(divide(numbered(log), 0, 0, 6).ranking) == members(whole.evaluation)


def test_seeds_and_splits_divide_differently_and_again_alike(log):
    keys = [(0, 0), (0, 1), (1, 0), (0, 0)]
    fingerprints = [divide(log, seed, number, 6).final.fingerprint for seed, number in keys]
    assert len(set(fingerprints[:3])) == 3
    assert fingerprints[3] == fingerprints[0]


def test_groups_stay_together(log):
    patients = log.episode_of_row // 3
    parts = divide(replace(log, extra={"group": patients}), 0, 0, 6)
    parts_ids = [members(part, "group") for part in (parts.train, parts.evaluation, parts.final)]
    assert parts.by == "group"
    assert not parts_ids[0] & parts_ids[1]
    assert not parts_ids[0] & parts_ids[2]
    assert not parts_ids[1] & parts_ids[2]
    assert set.union(*parts_ids) == set(patients.tolist())
    assert members(parts.ranking, "group") == parts_ids[0] | parts_ids[1]
    assert parts.evaluation.n_episodes >= 6
    assert parts.final.n_episodes >= 20


def test_names_of_groups_may_be_text(log):
    sites = np.array([f"ward {letter}" for letter in "abcdefghij"])[log.episode_of_row % 10]
    assert divide(replace(log, extra={"group": sites}), 0, 0, 2).by == "group"


@pytest.mark.parametrize(("episodes", "least"), [(1, 6), (17, 6)])
def test_too_few_episodes(log, episodes, least):
    with pytest.raises(DataError, match=f"{episodes} episode.*, tuning needs 18 or more"):
        divide(log.episodes(range(episodes)), 0, 0, least)


def test_a_small_log_leaves_enough_to_judge(log):
    parts = divide(log.episodes(range(18)), 0, 0, 6)
    assert (parts.train.n_episodes, parts.evaluation.n_episodes, parts.final.n_episodes) == (6, 6, 6)


def test_groups_that_cannot_be_divided(log):
    with pytest.raises(DataError, match="7 groups cannot be divided: 8 or more are needed"):
        divide(replace(log, extra={"group": log.episode_of_row % 7}), 0, 0, 6)


def test_both_judging_parts_have_groups_enough():
    """Ten episodes each of twenty patients: a tenth of the episodes would be two patients."""
    log = known.tabular(0).log(200, 0)
    parts = divide(replace(log, extra={"group": log.episode_of_row // 10}), 0, 0, 6)
    assert [len(members(part, "group")) for part in (parts.train, parts.evaluation, parts.final)] == [7, 6, 7]


@pytest.mark.parametrize(("groups", "numbers"), [(8, (3, 1, 4)), (12, (5, 1, 6)), (17, (7, 2, 8))])
def test_few_groups_are_divided_by_their_number(log, groups, numbers):
    """No group is in two parts; the line says what few of them cost."""
    log = known.tabular(0).log(8 * groups, 0)
    parts = divide(replace(log, extra={"group": log.episode_of_row // 8}), 0, 0, 6)
    parts_ids = [members(part, "group") for part in (parts.train, parts.evaluation, parts.final)]
    assert tuple(len(ids) for ids in parts_ids) == numbers
    assert len(set.union(*parts_ids)) == groups
    assert members(parts.ranking, "group") == parts_ids[0] | parts_ids[1]
    assert f"({numbers[0]}, {numbers[1]} and {numbers[2]}): the verdict rests on {numbers[2]}" in str(parts)
    assert "\n" not in str(parts)


def test_what_few_groups_cost_follows_from_students_t():
    """Six groups leave 5 degrees of freedom: t is 2.571 there, 1.960 with many groups."""
    log = known.tabular(0).log(96, 0)
    assert "(1.3 times " in str(divide(replace(log, extra={"group": log.episode_of_row // 8}), 0, 0, 6))
    assert "times" not in str(divide(replace(log, extra={"group": log.episode_of_row // 4}), 0, 0, 6))
    assert "times" not in str(divide(log, 0, 0, 6))


@pytest.mark.parametrize(("groups", "folds"), [(4, 2), (5, 2), (6, 3), (30, 3)])
def test_few_groups_are_estimated_with_fewer_folds(groups, folds):
    log = known.tabular(0).log(60, 0)
    part = replace(log, extra={"group": log.episode_of_row % groups})
    settings = ope.Settings().for_log(part)
    assert settings == ope.Settings(folds=folds)
    assert 2 * settings.folds <= groups
    ope.Evaluator(part, 0.9, replace(settings, steps=2, behaviour_steps=2, n_bootstrap=2), 0)


def test_groups_of_very_different_sizes_are_divided_by_their_number():
    """Twenty groups, one with nearly all episodes: by episodes nothing would be left to train on."""
    log = known.tabular(0).log(200, 0)
    group = np.maximum(log.episode_of_row - 180, 0)
    for seed in range(5):
        parts = divide(replace(log, extra={"group": group}), seed, 0, 6)
        assert [len(members(part, "group")) for part in (parts.train, parts.evaluation, parts.final)][2] >= 6
        assert parts.train.n_episodes > 0

"""The number of the first discrete action, and how many there are."""

import numpy as np
import pytest

from helpers.data_logs import complaint, flat, logged, walk, write_hdf5, write_npz
from prudent.data import convert, load_dataset
from prudent.data.audit import actions_with_gaps, cautions
from prudent.data.choices import declared_first


@pytest.mark.parametrize(
    ("user", "file", "discrete", "expected"),
    [(None, None, True, None), (1, None, None, 1), (None, -2, True, -2), (0, 3, None, 0), (np.int64(5), None, None, 5)],
)
def test_the_user_goes_before_the_file(user, file, discrete, expected):
    assert declared_first(user, file, discrete, "log") == expected


@pytest.mark.parametrize("first", [True, 1.0, "1", 10**30, -(2**21)])
def test_what_is_no_number_of_an_action(first):
    assert "first_action must be a whole number from" in complaint(declared_first, first, None, True, "log")


def test_choices_out_of_range():
    actions = np.arange(20) % 3 + 5
    dataset = logged(20, action=actions, discrete=True, first_action=5)
    assert (dataset.spec.action_size, dataset.spec.last_action) == (3, 7)
    np.testing.assert_array_equal(dataset.action, actions)
    assert "down to 5, but are numbered from 6" in complaint(logged, 20, action=actions, discrete=True, first_action=6)
    line = complaint(logged, 20, action=actions, discrete=True, first_action=4, n_actions=3)
    assert (
        "actions go up to 7, but only 3 are declared (4 to 6): if the log counts from 5, declare first_action=5" in line
    )
    # Two too many: this log does not count from 5.
    line = complaint(logged, 20, action=actions, discrete=True, first_action=4, n_actions=2)
    assert line.endswith("only 2 are declared (4 to 5)")
    masks = {"mask": np.ones((20, 3), bool), "next_mask": np.ones((20, 3), bool)}
    masks["mask"][4, 1] = False
    line = complaint(logged, 20, action=actions, discrete=True, first_action=5, extra=masks)
    assert "forbids the action taken in 1 row, the first is row 4 with action 6" in line
    assert "first_action is for discrete actions" in complaint(logged, 20, first_action=1)


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan, 0.5, 2.0**21, -(2.0**21), 1e300])
@pytest.mark.parametrize("first", [0, 1, -1])
def test_what_is_no_choice(wrong, first):
    actions = np.full(20, float(first))
    actions[7] = wrong
    line = complaint(logged, 20, action=actions, discrete=True, first_action=first)
    span = f"whole numbers from {first} to {first + (1 << 20) - 1}"
    assert (span if np.isfinite(wrong) else "actions has 1 row with NaN or infinity, the first is row 7") in line


def one_hot(choices, width=3):
    return np.eye(width, dtype=np.float32)[choices]


def test_rows_with_a_single_one_are_asked_about(tmp_path):
    log, choices = walk([5] * 6), np.arange(30) % 3
    columns = flat(log, terminals=log["ends"], timeouts=np.zeros(30, bool)) | {"actions": one_hot(choices)}
    hdf5 = write_hdf5(tmp_path / "log.hdf5", **columns)
    npz = write_npz(tmp_path / "log.npz", **columns, next_observations=log["successor"])
    for read, path, options in (
        (load_dataset, hdf5, {}),
        (load_dataset, npz, {}),
        (convert, hdf5, {"out": tmp_path / "f"}),
    ):
        line = complaint(read, path, **options)
        assert "each row of actions has a single 1 among 3 features: choices?" in line
        assert "actions.argmax(axis=1)" in line
        assert "actions.argmax(axis=1)" in complaint(read, path, discrete=True, **options)
    assert load_dataset(npz, discrete=False).spec.action_size == 3
    assert load_dataset(npz, action_low=0, action_high=1).spec.action_size == 3
    # Motors of which one always runs, but not always at 1, and one that never changes.
    columns["actions"] = one_hot(choices) * np.where(np.arange(30) == 7, 0.5, 1)[:, None]
    assert not load_dataset(write_hdf5(tmp_path / "half.hdf5", **columns)).spec.discrete
    columns["actions"] = one_hot(np.ones(30, int))
    assert not load_dataset(write_hdf5(tmp_path / "same.hdf5", **columns)).spec.discrete


def test_whole_numbers_below_0_are_asked_about(tmp_path):
    log = walk([5] * 6)
    columns = flat(log, terminals=log["ends"], timeouts=np.zeros(30, bool))
    numbers = write_hdf5(tmp_path / "log.hdf5", **columns | {"actions": np.arange(30)[:, None] % 3 - 1})
    line = complaint(load_dataset, numbers)
    assert "whole numbers from -1 to 1: choices, or amounts?" in line
    assert "first_action=-1" in line
    assert load_dataset(numbers, first_action=-1).spec.last_action == 1
    motor = write_hdf5(tmp_path / "motor.hdf5", **columns | {"actions": np.arange(30.0)[:, None] % 3 - 1})
    assert not load_dataset(motor).spec.discrete


@pytest.mark.parametrize(
    ("taken", "first", "width"),
    [([0, 10, 20], 0, 10), ([10, 20, 50], 0, 10), ([-1, 1], -1, 2), ([0, 1, 2], 0, 1), ([0, 7, 9], 0, 1), ([4], 0, 1)],
)
def test_numbers_of_actions_with_gaps(taken, first, width):
    dataset = logged(400, action=np.array(taken)[np.arange(400) % len(taken)], discrete=True, first_action=first)
    finding = actions_with_gaps(dataset)
    assert (finding is not None) == (width > 1)
    if finding is not None:
        assert f"all {width} or a multiple of it apart" in finding.advice
        assert finding.rows == tuple(taken)
        assert finding in cautions(dataset), "trainings say so too"

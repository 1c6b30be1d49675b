"""The number of the first discrete action, and how many there are."""

import numpy as np
import pytest

from helpers.data_logs import complaint, logged
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

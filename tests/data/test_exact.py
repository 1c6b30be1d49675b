"""Whole numbers stay exact, or are refused."""

import numpy as np
import pytest

from helpers.data_logs import complaint
from prudent.data.exact import exact_power, whole


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([0.0, 2.0**53]), "up to 2^53, row 1"),
        (np.array([0.0, np.nan]), "row 1 is nan"),
        (np.array([0, 2**24], dtype=np.float32), "up to 2^24, row 1"),
        (np.array([0, 1 << 63], dtype=np.uint64), "up to 2^62, row 1 is 9223372036854775808"),
        (np.array([-(1 << 62), 0]), "up to 2^62, row 0"),
        (np.array([0.5]), "row 0 is 0.5"),
    ],
)
def test_numbers_that_may_not_be_exact_are_refused(values, words):
    assert words in complaint(whole, values, "step", "log.hdf5")


@pytest.mark.parametrize("values", [[2**53, 2**53 + 1], [-(2**61), 2**61]])
def test_integers_keep_every_digit(values):
    assert whole(np.array(values), "step", "log").tolist() == values


def test_the_limit_depends_on_the_type():
    assert [exact_power(np.dtype(name)) for name in ("f2", "f4", "f8")] == [11, 24, 53]

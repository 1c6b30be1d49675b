"""The checkpoint that the curve of average dataset Q points to."""

import numpy as np
import pytest

from prudent.tuning.curve import Curves, choose

STEPS = [100, 200, 300, 400, 500]


@pytest.mark.parametrize(
    ("q", "reference", "step", "peak", "reading"),
    [
        ([1, 5, 9, 6, 3], 5, 300, 300, "falls after step 300: overfitting"),
        ([1, 5, 9, 8.8, 3], 5, 400, 300, "falls after step 400"),  # within 5 % it has not fallen
        ([1, 3, 5, 7, 9], 5, 500, 500, "still climbs"),
        ([1, 8.9, 9, 8.9, 8.8], 5, 500, 300, "has settled"),
        ([-3, -7, -9, -8, -8], -9, 500, 400, "has settled"),  # down to what the log returned is learning
        ([-3, -2, -7, -8, -7.9], -9, 500, 500, "has settled"),  # on a way that is not straight
        ([-3, -9, -8, -12, -20], -9, 300, 300, "falls after step 300"),
        ([-3, -5, -7, -8, -9], -20, 500, 500, "still falling to the mean return of the log"),
        ([9, 6, 3, 2, 1], 5, 100, 100, "falls after step 100"),
    ],
)
def test_the_peak_before_the_fall(q, reference, step, peak, reading):
    choice = choose(STEPS, np.array(q, dtype=float), reference)
    assert (choice.step, choice.peak_step) == (step, peak)
    assert reading in choice.reading
    assert choice.q == q[STEPS.index(step)]
    assert choice.peak_q == q[STEPS.index(peak)]


def test_one_checkpoint_is_taken():
    assert choose([10], np.array([-1.0]), -5.0).step == 10


def test_a_member_that_diverged_has_none_and_leaves_the_others():
    q = np.array([[1.0, 1.0], [2.0, 50.0], [1.0, np.nan]])
    curves = Curves((10, 20, 30), q, np.zeros(2))
    assert curves.choose(1) is None
    chosen = curves.choose(0)
    assert chosen is not None
    assert chosen.step == 20


def test_a_gap_in_the_middle_is_left_out():
    """A member that was rolled back and recovered."""
    q = np.array([[1.0], [np.nan], [3.0], [1.0]])
    chosen = Curves((10, 20, 30, 40), q, np.zeros(1)).choose(0)
    assert chosen is not None
    assert chosen.step == 30

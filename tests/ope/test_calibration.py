"""Measures of calibration are small for calibrated models and large for others."""

import numpy as np

from benchmarks import known
from prudent.ope import calibration


def test_overconfidence_shows():
    problem = known.tabular(0)
    data = problem.log(500, 0)
    probability = problem.behaviour.probability(data.observation, None)
    sharp = probability**3 / (probability**3).sum(1, keepdims=True)
    error = calibration.expected_calibration_error
    assert error(probability, data.action) < 0.03
    assert error(sharp, data.action) > 0.1, "overconfidence has to show"


def test_the_transform_tells_a_wrong_spread():
    uniform = np.random.default_rng(0).random((2000, 2))
    assert calibration.transform_error(uniform) < 0.04
    assert calibration.transform_error(uniform**2) > 0.2

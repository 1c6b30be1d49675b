"""Findings about single observation features; each row of a table is a log with a known fault."""

import numpy as np
import pytest

from helpers.data_logs import logged
from prudent.data import features, load_dataset

ROWS = 4000
DRAW = np.random.default_rng(3).normal(size=ROWS)


def log(feature):
    observation = np.column_stack([np.random.default_rng(4).normal(size=(ROWS, 2)), feature])
    return logged(ROWS, observation=observation, next_observation=observation)


@pytest.mark.parametrize(
    ("feature", "found"),
    [
        (np.where(np.arange(ROWS) % 40 == 0, -9999, DRAW), True),  # stands for a missing value
        (np.where(np.arange(ROWS) // 15 == 9, 1e9, DRAW), True),  # a fault of 15 rows
        (DRAW, False),
        (np.exp(DRAW), False),
        (np.where(np.arange(ROWS) % 40 == 0, -5, DRAW), False),
        ((np.arange(ROWS) % 333 == 0).astype(float), False),  # a rare flag has no usual range
        (np.where(np.arange(ROWS) < 2000, 37 + DRAW, 98.6 + 1.8 * DRAW), False),
        (np.full(ROWS, 7.0), False),
    ],
    ids=["missing value", "fault", "normal", "skewed", "mild", "flag", "two units", "constant"],
)
def test_features_squeezed_by_extremes(feature, found):
    finding = features.squeezed(log(feature))
    assert (finding is not None) == found
    if finding is not None:
        assert finding.rows == (2,)


def test_a_single_cell_that_squeezes_its_feature_is_said_with_the_outlier():
    cell = DRAW.copy()
    cell[100] = 1e9
    finding = features.observation_outliers(log(cell))
    assert finding is not None
    assert finding.rows == (100,)
    assert "scaling by it makes the other rows look alike in features [2]" in finding.advice
    assert features.squeezed(log(cell)) is None, "it is said once"
    flag = features.observation_outliers(log((np.arange(ROWS) % 2000 == 0).astype(float)))
    assert flag is not None
    assert "look alike" not in flag.advice


def test_sound_logs_are_not_squeezed():
    for name in ("pendulum-mixed", "cartpole-mixed"):
        assert features.squeezed(load_dataset(name)) is None

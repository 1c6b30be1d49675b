"""The logged decisions and the threshold with which single decisions are compared later."""

import numpy as np
import pytest

from helpers.exports import choices_log, learned, shop_log
from prudent import support
from prudent.coverage.reference import reference
from prudent.errors import DataError


@pytest.mark.parametrize(("name", "make"), [("bc", shop_log), ("discrete_bc", choices_log)])
def test_threshold_and_size_are_those_of_the_folds(name, make):
    dataset = make()
    population = learned(name, dataset).population
    found, expected = reference(population, dataset, neighbours=3), support(population, dataset, neighbours=3)
    assert found["threshold"] == pytest.approx(expected.measures["decision"].threshold, rel=1e-6)
    assert found["share"] == expected.overall["outside"]
    assert (found["neighbours"], found["level"]) == (3, 0.95)
    assert len(found["states"]) == len(found["actions"]) == expected.reference_rows
    raw = found["states"] * found["state_one"] + found["state_zero"]
    gaps = np.linalg.norm(raw[:, None] - dataset.observation[None], axis=-1).min(1)
    np.testing.assert_allclose(gaps, 0, atol=1e-4)
    assert found["actions"].dtype == (np.int64 if dataset.spec.discrete else np.float32)
    if dataset.spec.discrete:
        assert set(found["actions"].tolist()) <= {0, 1, 2}, "counted from 0"
    again = reference(population, dataset, neighbours=3)
    np.testing.assert_array_equal(again["states"], found["states"])


def test_too_small_a_log_is_refused():
    dataset = shop_log()
    population = learned("bc", dataset).population
    with pytest.raises(DataError, match="fewer than the 10"):
        reference(population, dataset, reference=5)

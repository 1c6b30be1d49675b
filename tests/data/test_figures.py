import numpy as np
import pytest

from prudent.data.columns import BLOCK
from prudent.data.figures import Figures, covered_range, moments


@pytest.mark.parametrize("rows", [100, BLOCK + 100])
def test_moments_are_the_same_in_blocks_and_at_once(rows):
    values = np.random.default_rng(0).normal(loc=1000, size=(rows, 3)).astype(np.float32)
    mean, std = moments(values)
    np.testing.assert_allclose(mean, values.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(std, values.std(0, dtype=np.float64), rtol=1e-10)


@pytest.mark.parametrize(("rows", "aside"), [(5, 0), (99, 0), (300, 3), (5000, 10), (3 * BLOCK + 7, 10)])
def test_the_range_leaves_the_extreme_rows_out_and_adds_a_quarter(rows, aside):
    values = np.random.default_rng(rows).standard_normal((rows, 2))
    ordered = np.sort(values, axis=0)
    lowest, highest = ordered[aside], ordered[rows - 1 - aside]
    low, high = covered_range(values)
    np.testing.assert_allclose(low, lowest - 0.25 * (highest - lowest))
    np.testing.assert_allclose(high, highest + 0.25 * (highest - lowest))


def test_a_constant_feature_has_a_range_of_length_0_and_a_rare_flag_does_not_count():
    values = np.zeros((4000, 3))
    values[:, 0] = 7.0
    values[17, 1] = 1.0
    values[::100, 2] = 1.0  # 40 rows are enough to learn from
    figures = Figures.of(values)
    assert figures.low.tolist() == [7.0, 0.0, -0.25]
    assert figures.high.tolist() == [7.0, 0.0, 1.25]

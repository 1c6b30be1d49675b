"""Estimates, their intervals and their differences."""

import json
import math

import numpy as np
import pytest

from prudent.ope import interval


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (30, 2.0423), (math.inf, 1.95996)],
)
def test_students_t(degrees, expected):
    assert interval.t_quantile(0.975, degrees) == pytest.approx(expected, rel=5e-3)


def test_the_mean_has_the_textbook_interval():
    values = np.array([1.0, 2.0, 3.0, 6.0])
    estimate = interval.from_influence("x", 3.0, values)
    error = values.std(ddof=1) / 2
    assert estimate.standard_error == pytest.approx(error)
    assert estimate.interval == pytest.approx((3 - 3.1824 * error, 3 + 3.1824 * error), rel=1e-2)
    few = interval.from_influence("x", 3.0, values, effective=3)
    assert few.interval[1] > estimate.interval[1], "fewer effective episodes, wider interval"


def test_intervals_of_means_cover():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        sample = rng.normal(size=8)
        low, high = interval.from_influence("x", float(sample.mean()), sample).interval
        hits += low <= 0 <= high
    assert 0.92 <= hits / 400 <= 0.98, "Student's interval of a normal mean does not cover"


def test_replicates_give_their_distance_from_the_value():
    replicates = np.array([1.0, 2.0, 3.0])
    estimate = interval.from_replicates("x", 2.0, replicates)
    assert estimate.standard_error == pytest.approx(replicates.std(ddof=1))
    assert estimate.method == "refit"
    aside = interval.from_replicates("x", 2.5, replicates)
    assert aside.standard_error == pytest.approx(np.hypot(replicates.std(ddof=1), 0.5)), "a bias has to widen it"


def test_differences_are_paired():
    rng = np.random.default_rng(1)
    common, noise = rng.normal(0, 10, size=30), rng.normal(0, 0.1, size=30)
    common -= common.mean()
    a = interval.from_replicates("a", 5.0, 5 + common)
    b = interval.from_replicates("b", 3.0, 3 + common + noise)
    estimate = interval.difference(a, b)
    assert estimate.value == 2
    assert estimate.standard_error < 0.5, "what both share cancels"
    a, b = interval.from_influence("a", 5.0, common), interval.from_influence("b", 3.0, common + noise)
    assert interval.difference(a, b).standard_error < 0.5
    other = interval.from_replicates("b", 3.0, 3 + common[:20])
    mixed = interval.difference(a, other)
    assert mixed.standard_error == pytest.approx(math.hypot(a.standard_error, other.standard_error))


def test_no_difference_to_what_is_unsupported():
    a, b = interval.from_influence("a", 1.0, np.arange(3.0)), interval.unsupported("b", "no overlap")
    estimate = interval.difference(a, b)
    assert not estimate.supported
    assert estimate.reason == "b: no overlap"
    assert interval.difference(b, a).reason == "b: no overlap"
    assert "unsupported (b: no overlap)" in str(estimate)


def test_what_is_no_number_is_unsupported():
    estimate = interval.with_error("x", math.nan, 1.0, "refit", 3)
    assert estimate.value is None
    assert json.loads(json.dumps(estimate.summary()))["unsupported"]


def test_start_values_without_refit():
    values = np.array([1.0, 2.0, 3.0])
    estimate = interval.from_starts("fqe", np.array([1.9, 2.1]), values)
    assert estimate.value == pytest.approx(2.0)
    assert estimate.standard_error == pytest.approx(math.sqrt(values.var(ddof=1) / 3 + np.var([1.9, 2.1], ddof=1) / 2))
    assert estimate.method == "start"

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


def test_replicates_give_the_error():
    replicates = np.array([1.0, 2.0, 3.0])
    estimate = interval.from_replicates("x", 2.0, replicates)
    assert estimate.standard_error == pytest.approx(replicates.std(ddof=1))
    assert (estimate.method, estimate.degrees, estimate.left_out) == ("refit", 2, 0)
    assert estimate.interval == pytest.approx((2 - 4.3027, 2 + 4.3027), rel=1e-3)


def test_intervals_of_symmetric_replicates_are_symmetric():
    """Replicates without a bias: each side reaches about as far as the standard error says."""
    replicates = np.random.default_rng(0).normal(5, 2, size=400)
    low, high = interval.from_replicates("x", 5.0, replicates).interval
    assert 5 - low == pytest.approx(high - 5, rel=0.1)
    assert 5 - low == pytest.approx(1.966 * 2, rel=0.1)


@pytest.mark.parametrize("side", [1, -1])
def test_replicates_on_one_side_widen_that_side_alone(side):
    """Ten replicates all around 1, or stretched upwards (downwards): the other end stays where it is."""
    around = np.array([-1.0, -0.8, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.8, 1.0])
    plain = interval.from_replicates("x", 0.0, around)
    aside = interval.from_replicates("x", 0.0, around + 1.5 * side)
    assert aside.standard_error == pytest.approx(plain.standard_error)
    near, far = (0, 1) if side > 0 else (1, 0)
    assert aside.interval[near] == pytest.approx(plain.interval[near]), "widened on the side without replicates"
    reach = np.sqrt((((around + 1.5)[around + 1.5 > 0]) ** 2).mean())
    assert abs(aside.interval[far]) == pytest.approx(2.2622 * reach, rel=1e-2), "a bias has to widen it"
    assert abs(aside.interval[far]) > 1.5 * abs(plain.interval[far])


def test_refits_that_lie_above_do_not_pull_the_lower_end_down():
    """Ten paired refits at +199 to +542 around a gain of +201. With one error for both sides, made of their spread and
    their mean distance from the value, the interval began at -167."""
    replicates = np.array([199.0, 215.0, 240.0, 262.0, 290.0, 310.0, 345.0, 380.0, 450.0, 542.0])
    both_sides = np.hypot(replicates.std(ddof=1), replicates.mean() - 201)
    assert 201 - 2.2622 * both_sides == pytest.approx(-167, abs=3), "another example"
    a = interval.from_replicates("a", 901.0, 700 + replicates)
    b = interval.from_replicates("b", 700.0, np.full(10, 700.0))
    estimate = interval.difference(a, b)
    low, high = estimate.interval
    assert low == pytest.approx(201 - 2.2622 * replicates.std(ddof=1), rel=1e-3)
    assert low > -50
    assert low < 201 < high
    assert high > 542
    assert estimate.left_out == 0


# --- refits that ran away ---------------------------------------------------------------------------------------------

CALM = np.array([9.0, 9.2, 9.4, 9.6, 9.8, 10.0, 10.2, 10.4, 10.6, 10.8, 11.0, 11.2])


def with_wild(*wild):
    return np.concatenate([CALM[: 12 - len(wild)], wild])


@pytest.mark.parametrize("wild", [30.0, -3437.0, np.nan, np.inf])
def test_a_refit_that_ran_away_is_left_out_counted_and_told(wild):
    estimate = interval.from_replicates("x", 10.0, with_wild(wild))
    calm = interval.from_replicates("x", 10.0, CALM[:11])
    assert estimate.left_out == 1
    assert estimate.summary()["refits_left_out"] == 1
    assert np.isnan(estimate.replicates[11])
    np.testing.assert_array_equal(estimate.replicates[:11], CALM[:11])
    assert estimate.interval == calm.interval
    assert estimate.degrees == 10


def test_far_is_five_robust_deviations():
    spread = 1.4826 * np.median(np.abs(CALM - np.median(CALM)))
    for distance, left_out in ((4.0, 0), (6.0, 1)):
        estimate = interval.from_replicates("x", 10.0, np.append(CALM, np.median(CALM) + distance * spread))
        assert estimate.left_out == left_out


def test_what_rewards_do_not_allow_is_left_out_however_close_it_lies():
    estimate = interval.from_replicates("x", 10.0, CALM, (-1.0, 11.1))
    assert estimate.left_out == 1
    assert np.isnan(estimate.replicates[-1])
    below = interval.from_replicates("x", 10.0, CALM, (9.1, 100.0))
    assert np.isnan(below.replicates[0])
    assert interval.from_replicates("x", 10.0, CALM, (9.0, 11.2)).left_out == 0


def test_a_quarter_of_refits_may_run_away_and_no_more():
    some = interval.from_replicates("x", 10.0, with_wild(1e6, -1e6, np.nan))
    assert some.supported
    assert some.left_out == 3
    many = interval.from_replicates("x", 10.0, with_wild(1e6, -1e6, np.nan, 3e5))
    assert not many.supported
    assert many.reason == "4 of 12 refits ran away"
    none = interval.from_replicates("x", 10.0, np.full(8, np.nan))
    assert none.reason == "8 of 8 refits ran away"
    assert many.summary()["value"] is None


def test_equal_replicates_have_no_far_ones():
    """Most refits agree to the last digit: a spread of 0 makes no other one wild."""
    estimate = interval.from_replicates("x", 1.0, np.array([1.0, 1.0, 1.0, 1.0, 1.5]))
    assert estimate.left_out == 0


def test_a_refit_that_ran_away_in_either_of_two_estimates_is_left_out_of_their_difference():
    noise = np.linspace(-1, 1, 12)
    a, b = CALM + noise, CALM - 3 + 0.5 * noise
    a[2], b[7] = np.nan, 1e9
    one, other = interval.from_replicates("a", 10.0, a), interval.from_replicates("b", 7.0, b)
    assert (one.left_out, other.left_out) == (1, 1)
    estimate = interval.difference(one, other)
    assert estimate.left_out == 2
    assert np.isnan(estimate.replicates[[2, 7]]).all()
    kept = np.delete(3 + 0.5 * noise, [2, 7])
    np.testing.assert_allclose(np.delete(estimate.replicates, [2, 7]), kept)
    assert estimate.standard_error == pytest.approx(kept.std(ddof=1))
    apart = CALM.copy()
    apart[:2] = np.nan
    both = interval.difference(one, interval.from_replicates("b", 7.0, np.where(np.arange(12) > 9, np.nan, CALM)))
    assert both.left_out == 3
    lost = interval.difference(
        interval.from_replicates("a", 10.0, apart),
        interval.from_replicates("b", 7.0, np.where(np.arange(12) > 9, np.nan, CALM)),
    )
    assert lost.reason == "4 of 12 refits ran away"


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


# --- few units --------------------------------------------------------------------------------------------------------


def test_few_units_have_a_larger_error_and_fewer_degrees_of_freedom():
    """The bootstrap variance of a mean of n units is (n - 1) / n of that of new ones."""
    plain = interval.from_replicates("x", 10.0, CALM)
    few = interval.from_replicates("x", 10.0, CALM, units=5)
    assert few.standard_error == pytest.approx(plain.standard_error * math.sqrt(5 / 4))
    assert (few.degrees, plain.degrees) == (4, 11)
    reach = interval.t_quantile(0.975, 4) * few.standard_error
    assert few.interval == pytest.approx((10 - reach, 10 + reach), rel=0.02)
    many = interval.from_replicates("x", 10.0, CALM, units=10_000)
    assert many.degrees == 11
    assert many.interval == pytest.approx(plain.interval, rel=1e-3)
    shifted = interval.from_replicates("y", 8.0, CALM - 2 + np.tile([0.1, -0.1], 6), units=5)
    gain = interval.difference(few, shifted)
    assert gain.degrees == 4
    assert gain.standard_error == pytest.approx(0.1 * math.sqrt(12 / 11) * math.sqrt(5 / 4), rel=1e-6)

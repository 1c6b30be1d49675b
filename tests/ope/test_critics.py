"""What each episode contributes to a value, and fits that did not see an episode."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import known
from ope.problems import LINEAR, prepared, risky
from prudent import ope
from prudent.ope import episodes, fqe
from prudent.ope.critics import Critics

PROBLEM = known.tabular(4, shift=0.4)
SHORT = replace(LINEAR, behaviour_steps=5)


def critics_of(data, policy, n_bootstrap, settings=SHORT):
    log = ope.Evaluator(data, policy.discount, replace(settings, n_bootstrap=n_bootstrap))
    problem = fqe.decisions(log.episodes, policy, log.features.rows, log.settings, 0)
    return Critics(problem, log.features, log.episodes, log.fold_E, log.counts, log.settings)


def standard_errors(critics, contributions, values_BE):
    """By contributions, and by refits."""
    refits = [np.average(v, weights=c) for v, c in zip(values_BE, critics.counts, strict=True)]
    return np.std(contributions, ddof=1) / len(contributions) ** 0.5, np.std(refits, ddof=1)


@pytest.mark.parametrize("policy", ["behaviour", "target"])
def test_contributions_give_the_error_of_two_hundred_refits(policy):
    critics = critics_of(PROBLEM.log(150, 0), getattr(PROBLEM, policy), 200)
    first = critics.episodes.first
    assert critics.contributions.mean() == pytest.approx(critics.start.mean(), rel=1e-9)
    first_order, refitted = standard_errors(critics, critics.contributions, critics.resamples.value(range(200), first))
    assert first_order == pytest.approx(refitted, rel=0.25)
    assert np.std(critics.start.mean(0)) / 150**0.5 < 0.6 * refitted, "the case tests nothing: start states are enough"


def test_contributions_to_a_bad_end_give_the_error_of_two_hundred_refits():
    data, policy, _ = risky(150)
    critics = critics_of(data, policy, 200)
    first, chances = critics.episodes.first, critics.members.bad_end
    assert critics.bad_end_contributions.mean() == pytest.approx(chances.value([0], first).mean(), rel=1e-9)
    refitted = critics.resamples.bad_end.value(range(200), first)
    first_order, error = standard_errors(critics, critics.bad_end_contributions, refitted)
    assert first_order == pytest.approx(error, rel=0.25)
    estimate = ope.evaluate_policy(policy, data, settings=replace(SHORT, max_outside=1.0)).bad_ends
    assert estimate.method == "influence"
    assert estimate.standard_error == pytest.approx(first_order, rel=1e-6)


def test_members_share_one_log_and_their_contributions_are_averaged():
    learned = replace(SHORT, hidden=(6,), steps=20, members=3)
    critics = critics_of(PROBLEM.log(60, 0), PROBLEM.target, 0, learned)
    assert critics.start.shape == (3, 60)
    assert np.ptp(critics.start.mean(1)) > 1e-3, "members do not differ"
    assert critics.contributions.mean() == pytest.approx(critics.start.mean(), rel=1e-9)


def test_a_member_differs_from_the_mean_by_less_in_replicates():
    """Refits to the whole log itself have no noise but that of members, and as much as their mean."""
    learned = replace(SHORT, hidden=(6,), steps=20, members=4)
    data = PROBLEM.log(60, 0)
    log = ope.Evaluator(data, PROBLEM.discount, replace(learned, n_bootstrap=8))
    log.counts = [np.ones(60, dtype=np.int64)] * 8
    problem = fqe.decisions(log.episodes, PROBLEM.target, log.rows, log.settings, 0)
    critics = Critics(problem, log.features, log.episodes, log.fold_E, log.counts, log.settings)
    of_members = critics.start.mean(1)
    assert np.ptp(of_members) > 1e-3, "members do not differ"
    replicates = critics.replicates(critics.start, critics.resamples)
    assert replicates.mean() == pytest.approx(of_members.mean(), rel=1e-9)
    assert np.std(replicates) == pytest.approx(np.std(of_members, ddof=1) / 4**0.5, rel=1e-6)
    np.testing.assert_allclose(replicates[:4], replicates[4:], rtol=1e-9)


def test_held_out_values_are_of_fits_without_the_fold():
    """Rewriting the rewards of one fold changes no value that the fits give there, and every other one."""
    data = PROBLEM.log(60, 0)
    plain = critics_of(data, PROBLEM.target, 0)
    in_fold = (plain.fold_E == 0)[data.episode_of_row]
    changed = replace(data, reward=data.reward + np.where(in_fold, 3.0, 0.0).astype(np.float32))
    other = critics_of(changed, PROBLEM.target, 0)
    # The level of the rewards is part of the fit: the same one for both.
    other.problem = replace(other.problem, centre=plain.problem.centre, spread=plain.problem.spread)
    before, after = plain.held_out, other.held_out
    for name, inside in (("q", in_fold), ("value", in_fold), ("end", plain.fold_E == 0)):
        a, b = getattr(before, name), getattr(after, name)
        np.testing.assert_allclose(b[inside], a[inside], rtol=1e-9, err_msg=f"{name}: a fold reached its own fit")
        assert np.abs(b[~inside] - a[~inside]).min() > 0.1, f"{name}: the other folds should have noticed"


def test_values_after_the_end_are_those_of_the_next_state():
    data = PROBLEM.log(60, 0)
    held_out = critics_of(data, PROBLEM.target, 0).held_out
    log = episodes.lay_out(data, 0.9)
    fold_E = ope.Evaluator(data, 0.9, SHORT).fold_E
    problem, learned = prepared(log, PROBLEM.target)
    fitted = fqe.fit(problem, learned, [fqe.rows_of(log, fold_E != k) for k in range(2)])
    both = fitted.next_value(range(2), log.last)
    np.testing.assert_allclose(held_out.end, both[fold_E, np.arange(60)], rtol=1e-9)


def test_held_out_values_of_resamples_are_weighed_by_their_counts():
    """A resample that has every episode twice gives the values of the log itself, but for the penalty."""
    data = PROBLEM.log(200, 0)
    critics = critics_of(data, PROBLEM.target, 0)
    critics.counts = [np.full(200, 2), np.where(np.arange(200) < 100, 2, 0)]
    twice, half = critics.held_out_resampled
    apart = np.abs(twice.value - critics.held_out.value).max()
    assert apart < 0.2
    assert np.abs(half.value - critics.held_out.value).max() > 2 * apart, "counts are ignored"

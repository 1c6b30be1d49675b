"""Logs of single decisions: when a log is one, known values, intervals, sentences."""

from dataclasses import replace

import numpy as np
import pytest

import prudent
from helpers.one_step import BEHAVIOUR, TARGET, bandit
from ope.problems import random_log
from prudent import ope
from prudent.data import Dataset
from prudent.errors import ConfigError
from prudent.ope import behaviour, interval, one_step
from prudent.report.value import value_tables

QUICK = {"members": 1, "folds": 2, "steps": 200, "behaviour_steps": 20, "hidden": (), "lr": 0.02}
MODELLESS = ope.Settings(members=1, folds=2, n_bootstrap=0, steps=1, behaviour_steps=1, hidden=())


def target(observation):
    return np.tile(TARGET, (len(observation), 1))


def test_a_log_is_one_step_if_nothing_follows_any_row():
    log = bandit(20).log
    cut = replace(log, terminated=log.truncated, truncated=log.terminated)
    assert one_step.is_one_step(log)
    assert one_step.is_one_step(cut)
    assert one_step.ended(log) is log
    assert one_step.ended(cut).terminated.all()
    assert not one_step.ended(cut).truncated.any()
    assert not one_step.is_one_step(replace(cut, next_observation=cut.observation + 1)), "these lead somewhere"
    assert one_step.is_one_step(replace(log, next_observation=log.observation + 1)), "behind an end is nothing"
    assert not one_step.is_one_step(random_log())


@pytest.mark.parametrize("terminated", [True, False])
def test_the_value_of_a_bandit_is_found_without_a_discount(terminated):
    problem = bandit(4000, terminated=terminated)
    result = prudent.value(
        target, problem.log, compare={"as before": lambda o: np.tile(BEHAVIOUR, (len(o), 1))}, **QUICK
    )
    estimates = result.best.estimates
    for name in ("wdr", "pdwis", "fqe"):
        assert getattr(estimates, name).value == pytest.approx(problem.value, abs=0.03), name
    low, high = estimates.wdr.interval
    assert low < problem.value < high
    assert high - low < 0.08
    assert estimates.wdr.standard_error < estimates.pdwis.standard_error, "the context explains a part"
    assert (estimates.lead, estimates.discount, estimates.tail_weight) == ("wdr", 0.0, 0.0)
    assert estimates.behaviour.value == pytest.approx(problem.log.reward.mean(), rel=1e-6)
    assert list(result.differences["behaviour"]) == ["wdr", "pdwis", "fqe"]
    assert result.differences["as before"]["wdr"].sign == 1
    assert result.reasons[0].startswith("target is worth a reward per decision of 0.")
    assert "no discount applies" in "\n".join(result.reading)
    content = result.to_json()
    assert content["lead"] == "wdr"
    assert content["settings"]["n_bootstrap"] == 0
    tables = value_tables(content)
    assert tables[0].heads == ["WDR", "PDWIS", "FQE"]
    assert tables[0].note.startswith("Reward per decision")
    assert tables[1].rows[0]["cells"][0] == f"{result.differences['behaviour']['wdr'].value:.3g}"


def test_a_discount_has_no_effect_and_refits_are_refused():
    log = bandit(100).log
    plain = prudent.value(target, log, **QUICK).to_json()
    assert prudent.value(target, log, discount=0.5, **QUICK).to_json() == plain
    assert prudent.value(target, log, n_bootstrap=0, **QUICK).to_json() == plain
    with pytest.raises(ConfigError, match="n_bootstrap: every episode is one decision"):
        prudent.value(target, log, n_bootstrap=5, **QUICK)


@pytest.mark.parametrize(("rate", "rows"), [(0.4, 200), (0.02, 1000)])
def test_intervals_hold_the_value_in_90_to_99_percent_of_200_datasets(rate, rows):
    hits = dict.fromkeys(("wdr", "pdwis", "behaviour"), 0)
    for seed in range(200):
        problem = bandit(rows, seed, rate)
        policy = ope.DiscretePolicy(problem.log.spec, lambda o, _: target(o), "target")
        estimates = ope.OneStepEvaluator(problem.log, MODELLESS).evaluate(policy)
        truths = {"wdr": problem.value, "pdwis": problem.value, "behaviour": rate * float(BEHAVIOUR @ [0.5, 1, 1.5])}
        for name, truth in truths.items():
            low, high = getattr(estimates, name).interval
            hits[name] += low <= truth <= high
    assert all(180 <= count <= 198 for count in hits.values()), hits


def test_ends_follow_a_few_large_contributions():
    # Exact Poisson limits of five events are 1.6 and 11.7.
    ends = [5 - 5**0.5 * interval.unskewed(t, 5**-0.5) for t in (1.96, -1.96)]
    assert ends == pytest.approx([1.6, 13.4], abs=0.3)
    rare = np.zeros(1000)
    rare[:5] = 1.0
    estimate = interval.from_skewed("rare", 0.005, rare)
    low, high = estimate.interval
    assert 0 < low < 0.0016
    assert 0.0117 < high < 0.03
    assert estimate.method == "skew"
    even = interval.from_skewed("even", 0.0, np.tile([-1.0, 1.0], 500))
    assert even.interval == pytest.approx(interval.from_influence("even", 0.0, np.tile([-1.0, 1.0], 500)).interval)


def test_rewards_that_are_rare_are_not_learned_by_heart():
    problem = bandit(2000, rate=0.01)
    wide = {**QUICK, "hidden": (64,), "steps": 3000, "lr": 0.01}
    estimates = prudent.value(target, problem.log, **wide).best.estimates
    assert estimates.fqe.value == pytest.approx(0.01, abs=0.01)
    assert estimates.wdr.standard_error < 1.1 * estimates.pdwis.standard_error


def test_one_continuous_action_has_the_direct_method_alone():
    rng = np.random.default_rng(0)
    observation, action = rng.normal(size=(400, 1)).astype(np.float32), rng.uniform(-1, 1, size=(400, 1))
    ends = np.ones(400, bool)
    log = Dataset.from_columns(
        observation=observation,
        action=action,
        reward=action[:, 0] + rng.normal(size=400) * 0.1,
        next_observation=observation,
        terminated=ends,
        truncated=~ends,
        action_low=-1.0,
        action_high=1.0,
    )
    result = prudent.value(lambda o: np.full(len(o), 0.5), log, max_outside=1.0, **{**QUICK, "steps": 1500})
    assert result.best.estimates.lead == "fqe"
    assert result.best.estimates.fqe.value == pytest.approx(0.5, abs=0.1)
    assert any("direct method" in text for text in result.cautions)
    assert not replace(result, seen=False).firm


def test_exploration_is_not_held_for_impossible():
    """A rule that explores: the share of effective decisions by the model is near that by the true probabilities."""
    rng = np.random.default_rng(1)
    observation = rng.normal(size=(600, 3)).astype(np.float32)
    rule = (observation[:, 0] > 0).astype(int)
    action = np.where(rng.random(600) < 0.2, rng.integers(3, size=600), rule)
    true = np.where(np.arange(3) == rule[:, None], 0.8 + 0.2 / 3, 0.2 / 3)
    guess = np.where(np.arange(3) == rule[:, None], 1 - 2e-6, 1e-6)
    mended = behaviour.with_shares(guess, action, np.arange(600) % 2, None)
    np.testing.assert_allclose(mended.sum(1), 1)
    assert np.abs(mended - true).max() < 0.06
    right = behaviour.with_shares(true, action, np.arange(600) % 2, None)
    np.testing.assert_allclose(right, true, atol=0.02)
    mask = np.ones((600, 3), bool)
    mask[:, 2] = action == 2
    assert (behaviour.with_shares(guess * mask, action, np.arange(600) % 2, mask)[~mask] == 0).all()


def test_probabilities_that_the_actions_contradict_carry_no_verdict():
    """A policy that always takes action 2, on a log that claims to have had no choice."""
    problem = bandit(1500)
    wrong = replace(problem.log, extra={"behavior_log_prob": np.zeros(1500)})
    quick = {"members": 1, "folds": 2, "steps": 20, "behaviour_steps": 20, "hidden": (4,)}
    result = prudent.value(lambda observation: np.full(len(observation), 2), wrong, seen=False, **quick)
    best = result.best.estimates
    for estimate in (best.wdr, best.pdwis, best.undiscounted["pdwis"]):
        assert estimate.value is None
        assert estimate.reason.startswith("logged probabilities contradict the actions: behavior_log_prob gives the ")
    assert best.lead == "fqe"
    assert not result.firm
    (caution,) = [text for text in result.cautions if text.startswith("bandit: logged probabilities contradict")]
    assert "a probability of 1.00 on average" in caution
    right = prudent.value(lambda observation: np.full(len(observation), 2), problem.log, seen=False, **quick)
    assert right.best.estimates.lead == "wdr"
    assert right.firm
    assert not any("contradict" in text for text in right.cautions)

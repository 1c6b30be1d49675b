"""A policy whose probabilities the log has: at the rows, at the next states, and where there are none."""

from dataclasses import replace

import numpy as np
import pytest

import prudent
from helpers.one_step import TARGET, bandit
from ope.problems import random_log
from prudent import ope
from prudent.data import Dataset
from prudent.errors import ConfigError, DataError
from prudent.ope import logged

QUICK = {"members": 1, "folds": 2, "steps": 20, "behaviour_steps": 5, "hidden": (), "max_outside": 1.0}


def chance(observation):
    p = 1 / (1 + np.exp(-observation[:, 0].astype(np.float64)))
    return np.stack([p, 1 - p], axis=1)


def with_target(log, **more):
    return replace(log, extra={**log.extra, "target_prob": chance(log.observation).astype(np.float32), **more})


def test_a_table_is_valued_like_the_function_that_made_it():
    log = random_log(1, episodes=40, terminated=1.0)
    by_table = prudent.value("target_prob", with_target(log), discount=0.9, n_bootstrap=0, **QUICK).best.estimates
    by_function = prudent.value(chance, log, discount=0.9, n_bootstrap=0, **QUICK).best.estimates
    for name in ("fqe", "wdr", "pdwis"):
        expected = getattr(by_function, name)
        assert getattr(by_table, name).value == pytest.approx(expected.value, rel=1e-4), name
        assert expected.value is not None


def test_the_last_row_of_a_truncated_episode_is_only_a_state():
    log = random_log(1, episodes=40, terminated=0.3)
    of_log = logged.of(with_target(log))
    last = log.episode_bounds[1:] - 1
    cut = int((~log.terminated[last]).sum())
    assert len(of_log.dataset) == len(log) - cut
    assert of_log.remark.startswith(f"the last row of {cut} truncated episodes serves only as the state")
    inside = ~of_log.dataset.terminated
    np.testing.assert_allclose(
        of_log.policy.next_probability[inside], chance(of_log.dataset.next_observation)[inside], rtol=1e-5
    )
    by_function = prudent.value(chance, of_log.dataset, discount=0.9, n_bootstrap=0, **QUICK).best.estimates
    result = prudent.value("target_prob", with_target(log), discount=0.9, n_bootstrap=0, **QUICK)
    assert result.best.estimates.wdr.value == pytest.approx(by_function.wdr.value, rel=1e-4)
    assert any("serves only as the state" in text for text in result.cautions)
    assert result.fingerprint == with_target(log).fingerprint
    known = with_target(log, next_target_prob=chance(log.next_observation).astype(np.float32))
    assert logged.of(known).remark == ""
    whole = prudent.value("target_prob", known, discount=0.9, n_bootstrap=0, **QUICK).best.estimates
    plain = prudent.value(chance, log, discount=0.9, n_bootstrap=0, **QUICK).best.estimates
    assert whole.fqe.value == pytest.approx(plain.fqe.value, rel=1e-4)


def test_the_probability_of_the_logged_action_has_weights_alone():
    log = random_log(1, episodes=60, terminated=1.0)
    taken = chance(log.observation)[np.arange(len(log)), log.action].astype(np.float32)
    single = replace(log, extra={"target_prob": taken})
    for refits in (0, 2):
        result = prudent.value("target_prob", single, discount=0.9, n_bootstrap=refits, **{**QUICK, "min_effective": 2})
        expected = prudent.value(chance, log, discount=0.9, n_bootstrap=refits, **{**QUICK, "min_effective": 2})
        estimates = result.best.estimates
        assert estimates.pdwis.value == pytest.approx(expected.best.estimates.pdwis.value, rel=1e-5)
        assert estimates.pdwis.interval == pytest.approx(expected.best.estimates.pdwis.interval, rel=1e-4)
        assert estimates.fqe.value is None
        assert estimates.wdr.value is None
        assert "only its probability of the logged action is known" in estimates.fqe.reason
        assert "on average" in result.reasons[0]
        assert result.differences["behaviour"]["pdwis"].supported
        assert str(result)
    cut = replace(single, terminated=np.zeros(len(log), bool), truncated=log.terminated | log.truncated)
    result = prudent.value("target_prob", cut, discount=0.9, n_bootstrap=0, **{**QUICK, "min_effective": 2})
    estimates = result.best.estimates
    assert "60 episodes of 60 were truncated" in estimates.pdwis.reason
    assert estimates.undiscounted["pdwis"].supported


def test_single_decisions_need_no_next_state():
    problem = bandit(1500, terminated=False)
    table = np.tile(TARGET.astype(np.float32), (1500, 1))
    log = replace(problem.log, extra={**problem.log.extra, "target_prob": table})
    estimates = prudent.value("target_prob", log, **QUICK).best.estimates
    assert estimates.wdr.value == pytest.approx(problem.value, abs=0.06)
    assert estimates.support.episodes == 1500
    single = replace(log, extra={**problem.log.extra, "target_prob": table[np.arange(1500), log.action]})
    alone = prudent.value("target_prob", single, **QUICK).best.estimates
    assert alone.pdwis.value == pytest.approx(estimates.pdwis.value, rel=1e-4)
    assert alone.lead == "pdwis"


def test_what_is_no_column_of_probabilities_is_refused():
    log = random_log(1, episodes=40)
    with pytest.raises(ConfigError, match="has no target_prob: name the columns"):
        prudent.value("target_prob", log, discount=0.9, **QUICK)
    with pytest.raises(ConfigError, match="a policy to value is"):
        prudent.value("targets", log, discount=0.9, **QUICK)
    columns = {key: getattr(log, key) for key in ("observation", "action", "reward", "next_observation")}
    columns |= {"terminated": log.terminated, "truncated": log.truncated, "discrete": True}
    good = chance(log.observation)

    def build(target, **extra):
        return Dataset.from_columns(**columns, extra={"target_prob": target, **extra})

    assert build(good).extra["target_prob"].dtype == np.float32
    mask = np.ones((len(log), 2), bool)
    mask[3, 1 - log.action[3]] = False
    for target, extra, complaint in (
        (good * 0.9, {}, "target_prob does not sum to 1 in .* the first is row 0"),
        (good - [1, -1], {}, "target_prob is negative"),
        (good[:, :1].repeat(3, 1), {}, "a column for each of 2 actions"),
        (good * np.nan, {}, "NaN"),
        (good[:, 0] + 2, {}, "target_prob is above 1"),
        (good[:, 0] - 2, {}, "target_prob is negative"),
        (good[:, 0], {"next_target_prob": good}, "next_target_prob without"),
        (good, {"mask": mask, "next_mask": np.ones_like(mask)}, "takes actions that are forbidden in 1 row, .*row 3"),
    ):
        with pytest.raises(DataError, match=complaint):
            build(target, **extra)
    assert ope.LoggedPolicy(log.spec, np.zeros(len(log))).probability is None

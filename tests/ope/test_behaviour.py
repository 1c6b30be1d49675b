"""The behaviour model recovers the policy that made the log and is calibrated; bad probabilities are refused."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import known
from ope.problems import LINEAR, random_log
from prudent import DataError
from prudent.ope import behaviour

FOLDS = replace(LINEAR, lr=0.02)


def folds_of(data, folds=2):
    return np.arange(data.n_episodes) % folds


@pytest.fixture(scope="module")
def tabular():
    problem = known.tabular(1)
    data = problem.log(500, 0)
    plain = replace(data, extra={})
    return problem, data, behaviour.fit(plain, folds_of(plain), FOLDS, 0)


@pytest.fixture(scope="module")
def quadratic():
    problem = known.quadratic(1)
    data = problem.log(150, 0)
    plain = replace(data, extra={})
    settings = replace(FOLDS, hidden=(16,), lr=5e-3, behaviour_steps=600)
    return problem, data, behaviour.fit(plain, folds_of(plain), settings, 0)


def test_discrete_probabilities_are_those_that_made_the_log(tabular):
    _, data, fitted = tabular
    assert fitted.source == "fitted"
    distance = np.abs(np.exp(fitted.log_prob) - np.exp(data.extra["behavior_log_prob"]))
    assert distance.mean() < 0.05
    assert fitted.calibration.error < 0.06
    assert fitted.calibration.coverage is None


def test_continuous_densities_are_those_that_made_the_log(quadratic):
    _, data, fitted = quadratic
    true = data.extra["behavior_log_prob"]
    assert fitted.calibration.log_likelihood == pytest.approx(true.mean(), abs=0.06), "not in the log's units?"
    assert np.abs(fitted.log_prob - true).mean() < 0.25
    assert fitted.calibration.coverage == pytest.approx(0.9, abs=0.03)
    assert fitted.calibration.error < 0.06


def test_actions_outside_the_data(quadratic):
    _, data, fitted = quadratic
    logged = np.asarray(data.action)[:, None]
    assert fitted.outside(logged).mean() == pytest.approx(0.01, abs=0.005), "the behaviour's own actions are inside"
    far = np.full_like(logged, 6.0)
    assert fitted.outside(far).mean() == 1
    assert fitted.outside(np.concatenate([logged, far], axis=1)).mean() == pytest.approx(0.5, abs=0.01)


def test_discrete_actions_outside_the_data():
    """Three actions; the log never takes the last."""
    data = replace(random_log(0, episodes=200), extra={})
    wide = replace(data, spec=replace(data.spec, action_size=3))
    fitted = behaviour.fit(wide, folds_of(wide), FOLDS, 0)
    never, always = np.eye(3, dtype=np.float32)[[2] * len(wide)], np.eye(3, dtype=np.float32)[wide.action]
    assert fitted.outside(never).mean() > 0.99
    assert fitted.outside(always).mean() < 0.05


def test_masked_actions_have_no_probability():
    data = random_log(0, episodes=60, actions=3)
    mask = np.ones((len(data), 3), dtype=bool)
    mask[:, 2] = data.action == 2
    masked = replace(data, extra={"mask": mask, "next_mask": np.ones_like(mask)})
    fitted = behaviour.fit(masked, folds_of(masked), FOLDS, 0)
    every = np.exp(fitted.model.log_prob(np.empty((len(masked), 3))))
    assert (every[~mask] == 0).all()
    np.testing.assert_allclose(every.sum(1), 1, rtol=1e-5)


def test_no_episode_is_judged_by_a_model_that_saw_it():
    """Rewriting the actions of one fold does not change the probabilities that the model gives in that fold."""
    data = random_log(1, episodes=40)
    fold = folds_of(data)
    in_fold = (fold == 0)[data.episode_of_row]
    flipped = replace(data, action=np.where(in_fold, 1 - data.action, data.action))
    first, second = (behaviour.fit(d, fold, FOLDS, 0).model.log_prob(np.empty((len(data), 2))) for d in (data, flipped))
    np.testing.assert_allclose(first[in_fold], second[in_fold], err_msg="the actions of a fold reached its model")
    assert np.abs(first[~in_fold] - second[~in_fold]).max() > 1e-3, "the other folds should have noticed"


# --- logged probabilities ---------------------------------------------------------------------------------------------


def test_logged_probabilities_take_the_models_place(tabular):
    _, data, _ = tabular
    fitted = behaviour.fit(data, folds_of(data), replace(FOLDS, behaviour_steps=1), 0)
    assert fitted.source == "logged"
    np.testing.assert_array_equal(fitted.log_prob, data.extra["behavior_log_prob"])
    assert fitted.calibration.logged_log_likelihood == pytest.approx(fitted.log_prob.mean())
    british = replace(data, extra={"behaviour_log_prob": data.extra["behavior_log_prob"]})
    np.testing.assert_array_equal(behaviour.logged_log_prob(british), fitted.log_prob)


def test_probabilities_in_both_spellings_are_refused():
    column = np.full(len(random_log()), -0.7)
    with pytest.raises(DataError, match="both behavior_log_prob and behaviour_log_prob") as caught:
        behaviour.logged_log_prob(random_log(behavior_log_prob=column, behaviour_log_prob=column - 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, "probability above one.*row 3"),
        (-np.inf, "probability zero.*row 3"),
        (np.nan, "not a number.*row 3"),
    ],
)
def test_what_is_no_probability_is_refused(value, message):
    column = np.full(len(random_log()), -0.7)
    column[3] = value
    with pytest.raises(DataError, match=message) as caught:
        behaviour.logged_log_prob(random_log(behavior_log_prob=column))
    assert "\n" not in str(caught.value)


def test_a_density_may_exceed_one():
    data = known.quadratic(0).log(3, 0)
    dense = replace(data, extra={"behavior_log_prob": np.full(len(data), 3.0)})
    assert behaviour.logged_log_prob(dense) is not None


def test_one_number_per_row():
    data = random_log()
    with pytest.raises(DataError, match="one number per row"):
        behaviour.logged_log_prob(random_log(behavior_log_prob=np.zeros((len(data), 2))))

"""The behaviour model finds the policy that made the log and says how sure it is; what is no probability is refused."""

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
    _, data, found = tabular
    assert found.source == "fitted"
    distance = np.abs(np.exp(found.log_prob) - np.exp(data.extra["behavior_log_prob"]))
    assert distance.mean() < 0.05
    assert found.calibration.error < 0.06
    assert found.calibration.coverage is None


def test_continuous_densities_are_those_that_made_the_log(quadratic):
    _, data, found = quadratic
    true = data.extra["behavior_log_prob"]
    assert found.calibration.log_likelihood == pytest.approx(true.mean(), abs=0.06), "not in the log's units?"
    assert np.abs(found.log_prob - true).mean() < 0.25
    assert found.calibration.coverage == pytest.approx(0.9, abs=0.03)
    assert found.calibration.error < 0.06


def test_actions_outside_the_data(quadratic):
    _, data, found = quadratic
    own = np.asarray(data.action)[:, None]
    assert found.outside(own).mean() == pytest.approx(0.01, abs=0.005), "the behaviour's own actions are inside"
    far = np.full_like(own, 6.0)
    assert found.outside(far).mean() == 1
    assert found.outside(np.concatenate([own, far], axis=1)).mean() == pytest.approx(0.5, abs=0.01)


def test_discrete_actions_outside_the_data():
    """Three actions, of which the log never takes the last."""
    data = replace(random_log(0, episodes=200), extra={})
    wide = replace(data, spec=replace(data.spec, action_size=3))
    found = behaviour.fit(wide, folds_of(wide), FOLDS, 0)
    never, always = np.eye(3, dtype=np.float32)[[2] * len(wide)], np.eye(3, dtype=np.float32)[wide.action]
    assert found.outside(never).mean() > 0.99
    assert found.outside(always).mean() < 0.05


def test_masked_actions_have_no_probability():
    data = random_log(0, episodes=60, actions=3)
    mask = np.ones((len(data), 3), dtype=bool)
    mask[:, 2] = data.action == 2
    masked = replace(data, extra={"mask": mask, "next_mask": np.ones_like(mask)})
    found = behaviour.fit(masked, folds_of(masked), FOLDS, 0)
    every = np.exp(found.model.log_prob(np.empty((len(masked), 3))))
    assert (every[~mask] == 0).all()
    np.testing.assert_allclose(every.sum(1), 1, rtol=1e-5)


def test_no_episode_is_judged_by_a_model_that_saw_it():
    """Rewriting one fold's actions changes nothing of what is said of that fold's own probabilities per action."""
    data = random_log(1, episodes=40)
    fold = folds_of(data)
    own = (fold == 0)[data.episode_of_row]
    flipped = replace(data, action=np.where(own, 1 - data.action, data.action))
    first, second = (behaviour.fit(d, fold, FOLDS, 0).model.log_prob(np.empty((len(data), 2))) for d in (data, flipped))
    np.testing.assert_allclose(first[own], second[own], err_msg="a fold's own actions reached its model")
    assert np.abs(first[~own] - second[~own]).max() > 1e-3, "the other folds should have noticed"


# --- logged probabilities ---------------------------------------------------------------------------------------------


def test_logged_probabilities_take_the_models_place(tabular):
    _, data, _ = tabular
    found = behaviour.fit(data, folds_of(data), replace(FOLDS, behaviour_steps=1), 0)
    assert found.source == "logged"
    np.testing.assert_array_equal(found.log_prob, data.extra["behavior_log_prob"])
    assert found.calibration.logged_log_likelihood == pytest.approx(found.log_prob.mean())
    british = replace(data, extra={"behaviour_log_prob": data.extra["behavior_log_prob"]})
    np.testing.assert_array_equal(behaviour.logged_log_prob(british), found.log_prob)


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

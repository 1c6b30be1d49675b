"""scikit-learn's conventions, by its own check_estimator. scikit-learn is needed for this test alone."""

import pickle  # noqa: TID251 - that agents can be pickled is what is tested here
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils import InputTags, Tags, TargetTags
from sklearn.utils.estimator_checks import check_estimator

import prudent
from helpers.runs import TINY, task_of, write_log
from prudent import algorithms
from prudent.agents import AGENTS
from prudent.data import Dataset, load_dataset

STATE = "the trained population is a public attribute of an agent, as settings are"
TEXT = "the data are refused in one line of prudent's own words, not of scikit-learn's"
REASONS = {
    "check_no_attributes_set_in_init": STATE,
    "check_dont_overwrite_parameters": STATE,
    "check_do_not_raise_errors_in_init_or_set_params": "settings are checked when they are given, not in fit",
    "check_estimators_unfitted": "scikit-learn's NotFittedError cannot be raised without importing it: PrudentError is",
    "check_n_features_in": "the features are agent.population.spec.observation_size; they may have names (encoding)",
    "check_n_features_in_after_fitting": "the same",
    "check_fit2d_predict1d": "one observation (S,) gives one action: an agent acts in the middle of an episode",
    "check_complex_data": TEXT,
    "check_dtype_object": TEXT,
    "check_estimators_empty_data_messages": TEXT,
    "check_estimator_sparse_tag": "logs are dense",
    "check_estimator_sparse_array": "logs are dense",
    "check_estimator_sparse_matrix": "logs are dense",
}
"""Checks that cannot hold, and why. Every other one holds."""

HELD = {
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_get_params_invariance",
    "check_set_params",
    "check_parameters_default_constructible",
    "check_estimators_overwrite_params",
    "check_estimators_fit_returns_self",
    "check_dict_unchanged",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_estimators_pickle",
    "check_pipeline_consistency",
    "check_estimators_nan_inf",
    "check_estimators_dtypes",
    "check_readonly_memmap_input",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
}
"""Some that do, so that the table does not become empty with a version that renames them."""


class Rows(prudent.BC):
    """An agent that takes a table of decisions, X and y, in place of a log: scikit-learn knows no episodes.

    ``fit`` makes a log in which every episode is one decision.
    """

    def fit(self, X, y):
        """Clone the decisions y of the states X."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        rows, decisions = np.asarray(X), np.asarray(y, dtype=np.float32).reshape(len(y), -1)
        low, high = decisions.min(0), decisions.max(0)
        log = Dataset.from_columns(
            observation=rows,
            next_observation=rows,
            action=decisions,
            reward=np.zeros(len(rows)),
            terminated=np.ones(len(rows), bool),
            truncated=np.zeros(len(rows), bool),
            action_low=low,
            action_high=np.where(high > low, high, low + 1),
        )
        return super().fit(log, steps=5, progress=False)

    def __sklearn_tags__(self):
        return Tags(None, target_tags=TargetTags(required=True, multi_output=True), input_tags=InputTags())

    def __sklearn_is_fitted__(self):
        return self.population is not None


@pytest.mark.filterwarnings("ignore")
def test_its_own_checks_hold_as_far_as_they_apply():
    estimator = Rows(hidden=(8,), batch_size=16, device="cpu")
    found = check_estimator(estimator, expected_failed_checks=REASONS, on_skip=None, on_fail=None)
    status = {}
    for result in found:
        status.setdefault(result["status"], {})[result["check_name"]] = result["exception"]
    assert status.get("failed", {}) == {}
    assert set(status["xfail"]) <= REASONS.keys()
    # A reason stands only where it is needed, and the checks that matter were made.
    assert REASONS.keys() - set(status["xfail"]) == set()
    assert status["passed"].keys() >= HELD


@pytest.mark.parametrize("name", algorithms.names())
def test_clones_have_the_settings_and_nothing_else(name, tmp_path):
    data = load_dataset(write_log(tmp_path / "log.npz", **task_of(name)[1]))
    agent = AGENTS[name](**{**TINY[name], "seeds": [0, 1], "device": "cpu"})
    trained = AGENTS[name](**agent.get_params()).fit(data, steps=3)
    again = clone(trained)
    assert again.population is None
    assert again.get_params() == agent.get_params()
    assert repr(again) == repr(agent)
    assert_equal(again.fit(data, steps=3), trained)
    copied = pickle.loads(pickle.dumps(trained))  # noqa: S301
    np.testing.assert_array_equal(copied.predict(data.observation[:9]), trained.predict(data.observation[:9]))
    assert pickle.loads(pickle.dumps(agent)).get_params() == agent.get_params()  # noqa: S301


def assert_equal(one, other):
    left, right = one.population.tensors(), other.population.tensors()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_set_params_without_any_changes_nothing(tmp_path):
    agent = prudent.BC(**TINY["bc"]).fit(load_dataset(write_log(tmp_path / "log.npz")), steps=1)
    population = agent.population
    assert agent.set_params() is agent
    assert agent.population is population
    assert agent.set_params(actor_lr=1e-3).population is None


def test_a_repr_makes_the_agent_again():
    agent = prudent.CQL(alpha=[1.0, 5.0], seeds=[0, 1], hidden=(8, 8))
    assert repr(agent) == "CQL(alpha=[1.0, 5.0], hidden=(8, 8), seeds=[0, 1])"
    again = prudent.CQL(alpha=[1.0, 5.0], hidden=(8, 8), seeds=[0, 1])
    assert again.get_params() == agent.get_params()


def test_the_library_does_not_import_it():
    code = (
        "import sys, pkgutil, importlib, prudent, prudent.agents, prudent.cli.train, prudent.cli.going_on\n"
        "print('sklearn' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"

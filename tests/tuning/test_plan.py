"""Valid requests, and data that do not allow a choice."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import known
from prudent.errors import PrudentError
from prudent.tuning import plan


@pytest.fixture(scope="module")
def log():
    return known.tabular(0).log(30, 0)


def test_imitation_takes_over_what_is_shared(log):
    request = plan.make(log, None, [1, 5], [0, 3], {"hidden": (8,), "discount": 0.9, "steps": 50, "critic_lr": 0.1})
    assert request.algorithm == "discrete_cql"
    assert [m.name for m in request.members] == ["alpha=1,seed=0", "alpha=1,seed=3", "alpha=5,seed=0", "alpha=5,seed=3"]
    assert request.imitation == "discrete_bc"
    assert [(m.seed, m.config.hidden, m.config.discount) for m in request.imitators] == [(0, (8,), 0.9), (3, (8,), 0.9)]
    assert request.settings.training.steps == 50
    assert request.settings.training.checkpoint_every == 5
    assert request.settings.training.keep >= 10, "checkpoints of the curve would be thrown away"


@pytest.mark.parametrize(
    ("algorithm", "options", "complaint"),
    [
        ("discrete_bc", {}, "discrete_bc has no alpha, so there is nothing to choose: take one of discrete_cql"),
        ("discrete_iql", {}, "discrete_iql has no alpha"),
        ("cql", {}, "cql is for continuous actions"),
        (None, {"hiden": 3}, "did you mean hidden"),
        (None, {"critic_lr": [0.1, 0.2]}, "critic_lr takes one value here"),
        (None, {"discount": 1.0}, r"discount must lie within \[0, 1\)"),
        (None, {"steps": 0}, "steps must be a whole number, 1 or more"),
        (None, {"resamples": 0}, "resamples must be 2 or more, got 0"),
        (None, {"resamples": 1}, "resamples must be 2 or more, got 1"),
        (None, {"seed": -1}, "seed must be a whole number"),
    ],
)
def test_what_does_not_fit_is_refused(log, algorithm, options, complaint):
    with pytest.raises(PrudentError, match=complaint):
        plan.make(log, algorithm, [1.0], [0], options)


@pytest.mark.parametrize("alpha", [[], [1.0, 1.0], [-1.0]])
def test_so_are_alphas(log, alpha):
    with pytest.raises(PrudentError, match="alpha"):
        plan.make(log, None, alpha, [0], {})


def test_data_without_an_answer_are_refused(log):
    request = plan.make(log, None, [1.0], [0], {"discount": 0.9})
    plan.check_data(log, request)
    inside = ~log.followed & ~log.terminated
    ends = log.terminated | log.truncated
    # A task that is to last, as cartpole is, says by its ends how well it went.
    plan.check_data(replace(log, reward=np.ones(len(log), np.float32)), request)
    for changed, complaint in (
        ({"reward": np.zeros(len(log), np.float32)}, "every reward is 0, so no policy is better than another"),
        (
            {"reward": np.full(len(log), 2.0), "terminated": np.zeros(len(log), bool), "truncated": ends},
            "every reward is 2, so no policy is better",
        ),
        ({"truncated": log.truncated & ~inside}, "truncation flags are missing"),
        ({"extra": {"behavior_log_prob": np.full(len(log), -np.inf)}}, "probability zero"),
        ({"extra": {"behavior_log_prob": np.full(len(log), 0.5)}}, "probability above one"),
    ):
        with pytest.raises(PrudentError, match=complaint):
            plan.check_data(replace(log, **changed), request)


def test_a_stored_plan_is_compared_in_what_matters(log):
    def request(**options):
        return plan.make(log, None, [1.0], [0], options).to_json(log)

    assert plan.difference(request(), request()) == ""
    assert plan.difference(request(splits=5, env="CartPole-v1", device="cpu"), request()) == ""
    assert plan.difference(request(steps=10), request()) == "its steps is 100000, not 10"
    assert plan.difference(request(hidden=(8,)), request()) == "its hidden is [256, 256], not [8]"
    assert plan.difference({**request(), "alpha": [2.0]}, request()) == "its alpha is [1.0], not [2.0]"
    other = {**request(), "dataset": {"fingerprint": "0"}}
    assert plan.difference(request(), other) == "it used other data (fingerprint differs)"


def test_a_tuning_from_before_a_setting_is_compared_by_what_it_did():
    one = {"algorithm": "discrete_cql", "alpha": [1.0], "seeds": [0], "settings": {}, "dataset": {"fingerprint": "a"}}
    old = {**one, "config": {"n_quantiles": 1}}
    assert plan.difference({**one, "config": {"n_quantiles": 1, "huber_threshold": 1.0}}, old) == ""
    new = {**one, "config": {"n_quantiles": 1, "huber_threshold": None}}
    assert plan.difference(new, old) == "its huber_threshold is 1.0, not None"


def test_a_tuning_of_an_algorithm_that_was_renamed_goes_on():
    one = {"algorithm": "cql", "alpha": [1.0], "seeds": [0], "config": {"backup": "soft"}, "settings": {}}
    one["dataset"] = {"fingerprint": "a"}
    assert plan.difference(one, {**one, "algorithm": "sql"}) == ""
    assert (
        plan.difference({**one, "config": {"backup": "min"}}, {**one, "algorithm": "sql"})
        == "its backup is soft, not min"
    )


def test_more_splits_than_anybody_trains_are_refused_before_they_are_made(log):
    assert plan.make(log, None, [1], [0], {"splits": plan.MOST_SPLITS}).settings.splits == plan.MOST_SPLITS
    with pytest.raises(PrudentError, match="splits must be 1000 or fewer, got 1000000000"):
        plan.make(log, None, [1], [0], {"splits": 10**9})

"""Valid requests, and data that do not allow a choice."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import known
from prudent import algorithms
from prudent.data import Dataset
from prudent.data.meanings import Meanings
from prudent.errors import PrudentError
from prudent.tuning import horizon, plan

BOTH = ("discrete_cql", "discrete_iql")


@pytest.fixture(scope="module")
def log():
    return known.tabular(0).log(30, 0)


def test_imitation_takes_over_what_is_shared(log):
    request = plan.make(log, None, [1, 5], [0, 3], {"hidden": (8,), "discount": 0.9, "steps": 50, "critic_lr": 0.1})
    assert request.algorithm == "discrete_cql"
    run = request.run(request.grids[0])
    names = ["alpha=1,seed=0", "alpha=1,seed=3", "alpha=5,seed=0", "alpha=5,seed=3"]
    assert [run.name(m) for m in run.members] == names
    bc = request.imitators
    assert (bc.algorithm, bc.folder) == ("discrete_bc", "bc")
    assert [(m.seed, m.config.hidden, m.config.discount) for m in bc.members] == [(0, (8,), 0.9), (3, (8,), 0.9)]
    assert [bc.name(m) for m in bc.members] == ["BC,seed=0", "BC,seed=3"]
    assert request.settings.training.steps == 50
    assert request.settings.training.checkpoint_every == 5
    assert request.settings.training.keep >= 10, "checkpoints of the curve would be thrown away"


def test_several_algorithms_have_a_grid_each(log):
    """What all have is shared, what one has is its own; names say whose a run is."""
    options = {"hidden": (8,), "discount": 0.9, "expectile": 0.8, "beta": [1.0, 4.0]}
    request = plan.make(log, ("discrete_cql", "discrete_iql"), [2.0], [0], options)
    cql, iql = (request.run(grid) for grid in request.grids)
    assert [cql.name(m) for m in cql.members] == ["discrete_cql,alpha=2,seed=0"]
    assert [iql.name(m) for m in iql.members] == ["discrete_iql,beta=1,seed=0", "discrete_iql,beta=4,seed=0"]
    assert [m.name for m in iql.members] == ["beta=1,seed=0", "beta=4,seed=0"]
    assert (cql.folder, iql.folder) == ("grid", "grid_discrete_iql")
    assert {m.config.hidden for m in (*cql.members, *iql.members)} == {(8,)}
    assert {m.config.expectile for m in iql.members} == {0.8}
    assert all(grid.given for grid in request.grids)
    assert request.algorithm == "discrete_cql+discrete_iql"


@pytest.mark.parametrize(
    ("algorithm", "options", "complaint"),
    [
        (
            "discrete_bc",
            {},
            "discrete_bc has no setting to choose, such as alpha: take one of discrete_cql, discrete_i",
        ),
        ("cql", {}, "cql is for continuous actions"),
        (("discrete_cql", "iql"), {}, "iql is for continuous actions"),
        (("discrete_cql", "discrete_cql"), {}, "algorithm must be one or more different names"),
        ("discrete_cqll", {}, "did you mean discrete_cql"),
        ("discrete_iql", {}, "discrete_iql has no alpha: give values of beta"),
        (None, {"hiden": 3}, "did you mean hidden"),
        (None, {"expectile": 0.7}, "no setting is called 'expectile'"),
        (None, {"critic_lr": [0.1, 0.2]}, "critic_lr takes one value here"),
        (BOTH, {"beta": ["large"]}, "beta must be one or more numbers"),
        (BOTH, {"beta": [1.0, 1.0]}, "beta must be one or more different values"),
        (None, {"discount": 1.0}, r"discount must lie within \[0, 1\)"),
        (None, {"discount": "high"}, "discount cannot be 'high'"),
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
    def request(*more, alpha=(1.0,), **options):
        names = ("discrete_cql", *more)
        return plan.make(log, names, alpha, [0], {"steps": 100, "discount": 0.9} | options).to_json(log)

    assert plan.difference(request(), request()) == ""
    assert plan.difference(request(splits=5, env="CartPole-v1", device="cpu"), request()) == ""
    assert plan.difference(request(rank_steps=9, final_steps=9, resamples=9), request()) == "", "no run depends on it"
    assert plan.difference(request(steps=10), request()) == "its steps is 100, not 10"
    assert plan.difference(request(hidden=(8,)), request()) == "its hidden is [256, 256], not [8]"
    assert plan.difference(request(alpha=[2.0]), request()) == "its alpha is [1.0], not [2.0]"
    other = {**request(), "dataset": {"fingerprint": "0"}}
    assert plan.difference(request(), other) == "it used other data (fingerprint differs)"
    both = request("discrete_iql")
    assert plan.difference(both, request()) == plan.difference(request(), both) == "", "the runs of CQL are the same"
    swapped = {**both, "grids": both["grids"][::-1]}
    assert plan.difference(both, swapped) == "its algorithm is discrete_iql, not discrete_cql"


def stored(algorithm, config, **more):
    """A plan as it was stored before there were several grids."""
    about = {"seeds": [0], "settings": {}, "dataset": {"fingerprint": "a"}}
    return {"algorithm": algorithm, "alpha": [1.0], "config": config, **about, **more}


def asked(algorithm, config):
    grid = {"algorithm": algorithm, "strength": "alpha", "values": [1.0], "config": config}
    return {"grids": [grid], "seeds": [0], "settings": {}, "dataset": {"fingerprint": "a"}}


def test_a_tuning_from_before_a_setting_is_compared_by_what_it_did():
    old = stored("discrete_cql", {"n_quantiles": 1})
    assert plan.difference(asked("discrete_cql", {"n_quantiles": 1, "huber_threshold": 1.0}), old) == ""
    new = asked("discrete_cql", {"n_quantiles": 1, "huber_threshold": None})
    assert plan.difference(new, old) == "its huber_threshold is 1.0, not None"


def test_a_tuning_of_an_algorithm_that_was_renamed_goes_on():
    assert plan.difference(asked("cql", {"backup": "soft"}), stored("sql", {"backup": "soft"})) == ""
    assert plan.difference(asked("cql", {"backup": "min"}), stored("sql", {"backup": "soft"})) == (
        "its backup is soft, not min"
    )


def test_more_splits_than_anybody_trains_are_refused_before_they_are_made(log):
    assert plan.make(log, None, [1], [0], {"splits": plan.MOST_SPLITS}).settings.splits == plan.MOST_SPLITS
    with pytest.raises(PrudentError, match="splits must be 1000 or fewer, got 1000000000"):
        plan.make(log, None, [1], [0], {"splits": 10**9})


# --- what follows from the log ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "steps", "hidden", "batch_size"),
    [
        (100, 4_000, (64, 64), 64),
        (20_000, 4_000, (64, 64), 64),
        (20_001, 20_000, (128, 128), 128),
        (500_000, 50_000, (256, 256), 256),
        (1_000_000, 100_000, (256, 256), 256),
    ],
)
def test_the_budget_follows_from_the_number_of_rows(log, monkeypatch, rows, steps, hidden, batch_size):
    monkeypatch.setattr(plan.horizon, "choose", lambda _, discount: (discount, ""))
    monkeypatch.setattr(type(log), "__len__", lambda _: rows)
    request = plan.make(log, None, None, [0], {"discount": 0.5})
    config = request.grids[0].config
    assert (request.settings.steps, config.hidden, config.batch_size) == (steps, hidden, batch_size)
    assert request.imitators.members[0].config.hidden == hidden
    assert request.remarks[0].startswith(f"{rows:,} rows: {steps:,} steps with batches of {batch_size} ")


def test_what_is_given_replaces_the_budget(log):
    """With its own steps a tuning has the algorithms' defaults, as if there were no budget."""
    request = plan.make(log, None, None, [0], {"discount": 0.5, "hidden": (8,), "rank_steps": 7})
    assert (request.grids[0].config.hidden, request.grids[0].config.batch_size) == ((8,), 64)
    assert (request.settings.rank_steps, request.settings.final_steps) == (7, 2_000)
    request = plan.make(log, None, None, [0], {"discount": 0.5, "steps": 3_000})
    default = algorithms.get("discrete_cql").Config()
    changed = {f.name for f in fields(default) if getattr(default, f.name) != getattr(request.grids[0].config, f.name)}
    assert changed == {"discount", "reward_scale"}
    assert (request.settings.steps, request.settings.rank_steps, request.settings.final_steps) == (3_000, 4_000, 10_000)


def test_rewards_are_scaled_unless_that_is_given(log):
    def scale(*algorithm, **options):
        return plan.make(log, algorithm, None, [0], {"discount": 0.5} | options).grids[0].config.reward_scale

    assert scale("discrete_cql") == "auto"
    assert scale("discrete_cql", reward_scale=1.0) == 1.0
    assert scale("discrete_iql", return_range=100.0) == 1.0


def recordings(length, ended=False):
    """Twenty episodes of equal length, all cut or all ended."""
    state = np.tile(np.arange(length + 1.0, dtype=np.float32), (20, 1))[..., None]
    ends = np.tile(np.arange(length) == length - 1, 20)
    return Dataset.from_columns(
        observation=state[:, :-1].reshape(-1, 1),
        next_observation=state[:, 1:].reshape(-1, 1),
        action=np.zeros(20 * length, np.int64),
        reward=state[:, :-1].ravel(),
        terminated=ends & ended,
        truncated=ends & (not ended),
        discrete=True,
        n_actions=2,
    )


def test_a_discount_that_looks_past_the_recordings_is_questioned():
    """Episodes of 60 steps: 0.99 ** 60 is 55 %, 0.95 ** 60 is 5 %, 0.97 ** 60 is 16 %."""
    long = recordings(60)
    discount, line = horizon.choose(long, None)
    assert discount == 0.95
    assert line == (
        "55 % of the value lies behind the end of the recordings at discount 0.99, where nothing was observed; at 0.95 "
        "it would be 5 %: that one is taken (--discount 0.99 keeps the first)"
    )
    discount, line = horizon.choose(long, 0.98)
    assert discount == 0.98
    assert line.startswith("30 % of the value ")
    assert line.endswith("(--discount 0.95)")
    assert horizon.choose(long, 0.95) == (0.95, "")
    assert horizon.choose(recordings(60, ended=True), None) == (0.99, ""), "nothing lies behind a termination"
    assert horizon.choose(recordings(300), None) == (0.99, ""), "0.99 ** 300 is 5 %"
    assert horizon.choose(recordings(1), 0.1) == (0.1, ""), "there is no lower one to propose"
    with pytest.raises(PrudentError, match="dt must be a number above 0"):
        horizon.choose(replace(long, extra={"dt": np.zeros(len(long))}), None)
    request = plan.make(long, None, [1.0], [0], {"steps": 10})
    assert request.discount == 0.95
    assert len(request.remarks) == 1


@pytest.mark.parametrize("length", [60, 300])
def test_the_discount_is_the_same_in_hours_and_in_minutes(length):
    hours = replace(recordings(length), extra={"dt": np.full(20 * length, 0.5)})
    minutes = replace(hours, extra={"dt": hours.extra["dt"] * 60})
    one, other = (horizon.choose(log, None) for log in (hours, minutes))
    assert one[0] ** 0.5 == pytest.approx(other[0] ** 30, rel=1e-9)
    assert one[0] ** 0.5 == pytest.approx(0.95 if length == 60 else 0.99)
    assert "per unit of time" in one[1]
    known = hours.relabelled(meanings=Meanings(dt_unit=3600.0, in_seconds=True))
    discount, line = horizon.choose(known, None)
    assert discount == one[0]
    assert " per hour" in line
    assert "unit of time" not in line
    assert length == 60 or line.endswith("0.99 per step, which lasts 0.5 hours on average")


def test_alpha_is_placed_around_what_the_log_suggests(log, monkeypatch):
    suggestion = SimpleNamespace(alpha=0.3, raw=0.006)
    monkeypatch.setattr(plan, "suggest_alpha", lambda _dataset, discount: suggestion if discount == 0.5 else None)

    def values(name, **options):
        (grid,) = plan.make(log, (name,), None, [0], {"discount": 0.5} | options).grids
        return grid.values

    assert values("discrete_cql") == (0.01, 0.03, 0.1, 0.3, 0.9, 3.0)
    assert values("discrete_cql", reward_scale=1.0) == (0.0002, 0.0006, 0.002, 0.006, 0.018, 0.06)
    assert values("discrete_cql", reward_scale=10.0) == (0.002, 0.006, 0.02, 0.06, 0.18, 0.6)
    assert values("discrete_cql", discount=0.6) == (0.033, 0.1, 0.33, 1.0, 3.0, 10.0), "nothing is suggested"
    assert values("discrete_iql") == (0.1, 0.3, 1.0, 3.0, 9.0, 30.0)

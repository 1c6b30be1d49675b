"""IQL, CIQL and sparse Q-learning against the oracle."""

import numpy as np
import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import implicit as oracle
from prudent.algorithms import ciql, iql, sparse_ql
from prudent.algorithms.shared import implicit
from prudent.algorithms.shared.losses import data_log_prob
from prudent.algorithms.shared.networks import copy, state_value
from prudent.algorithms.shared.updates import State, adam_states, descend
from prudent.engine.population import training_step
from prudent.errors import ConfigError
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.types import Hyper, Spec

MODULES = {"iql": iql, "ciql": ciql, "sparse_ql": sparse_ql}
VALUE_LOSS = {"iql": oracle.iql_value_loss, "ciql": oracle.iql_value_loss, "sparse_ql": oracle.sparse_value_loss}
WEIGHTS = {"iql": oracle.iql_weights, "ciql": oracle.ciql_weights, "sparse_ql": oracle.sparse_weights}
SHARED = {
    "defaults": {},
    "units of time": {"with_dt": True, "discount": [0.9, 0.6]},
    "layer normalisation": {"layer_norm": True, "hidden": (4, 5, 6)},
    "one critic, one member": {"n_critics": 1, "members": 1},
    "four critics": {"n_critics": 4, "rows": 5},
}
OWN = {
    "iql": {
        "settings differ": {"expectile": [0.9, 0.3], "beta": [0.5, 10.0], "discount": [0.9, 0.5]},
        "clipped weights": {"max_weight": [1.0, 1.2], "beta": 6.0, "rows": 6},
    },
    "ciql": {
        "settings differ": {"expectile": [0.9, 0.3], "beta": [0.5, 10.0], "alpha": [7.0, 0.2]},
        "other rows for negatives": {"negatives": "dataset", "n_negatives": 4, "rows": 5, "alpha": [3.0, 1.0]},
        "no penalty": {"alpha": 0.0, "n_negatives": 1},
    },
    "sparse_ql": {
        "settings differ": {"alpha": [0.05, 3.0], "discount": [0.9, 0.5]},
        "clipped weights": {"max_weight": [0.05, 0.1], "rows": 6},
    },
}
CASES = [(name, which) for name in MODULES for which in (*SHARED, *OWN[name])]


def case_of(name, which, seed=1) -> Case:
    return Case(name, seed, **(SHARED | OWN[name])[which])


def critic_loss(case, networks=None, **changed):
    """(loss (P,), metrics) of the critics of any of the three."""
    networks = networks or case.networks
    if case.algorithm is ciql:
        return ciql.critic_loss(networks, case.batch, case.noise, case.hyper, **changed)
    return implicit.td_loss(networks, case.batch, case.hyper, **changed)


def oracle_critic_loss(case, problem, **changed):
    net, rows, noise, c = problem
    if case.algorithm is ciql:
        return oracle.ciql_critic_loss(net, rows, noise, c, **changed)
    return oracle.td_loss(net, rows, c, **changed)


@pytest.mark.parametrize(("name", "which"), CASES)
def test_value_loss_and_gradients_equal_the_oracle(name, which):
    case = case_of(name, which)

    def loss(leaves):
        return case.algorithm.value_loss({**case.networks, "value": leaves}, case.batch, case.hyper)

    loss_P, metrics = loss(case.networks["value"])
    found, _ = optim.gradients(loss, case.networks["value"])
    for p in range(case.members):
        net, rows, _, c = case.problem(p)
        assert_values(loss_P[p], VALUE_LOSS[name](net, rows, c), f"V's loss, {which}")
        assert_values(metrics["value"][p], np.mean([oracle.v(net, row.observation) for row in rows]), "mean V")
        own = {k: g[p].numpy() for k, g in found.items()}
        assert_gradients(own, net.value, lambda: VALUE_LOSS[name](net, rows, c), p, f"V's gradient, {which}")  # noqa: B023


@pytest.mark.parametrize("supervised", [False, True], ids=["bellman", "supervised"])
@pytest.mark.parametrize(("name", "which"), CASES)
def test_critic_loss_and_gradients_equal_the_oracle(name, which, supervised):
    case = case_of(name, which)
    given = {"y_PB": case.batch.return_to_go} if supervised else {}

    def loss(leaves):
        return critic_loss(case, {**case.networks, "critic": leaves}, **given)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        problem = case.problem(p)

        def expected(problem=problem):
            return oracle_critic_loss(case, problem, supervised=supervised)

        assert_values(loss_P[p], expected(), f"critics' loss, {which}")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, expected, e, f"critics' gradient, {which}")


@pytest.mark.parametrize(("name", "which"), CASES)
def test_actor_loss_and_gradients_equal_the_oracle(name, which):
    case = case_of(name, which)

    def loss(leaves):
        return case.algorithm.actor_loss({**case.networks, "actor": leaves}, case.batch, case.hyper)

    loss_P, metrics = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows, _, c = case.problem(p)
        weights = WEIGHTS[name](net, rows, c)
        assert_values(loss_P[p], oracle.actor_loss(net, rows, weights), f"policy's loss, {which}")
        squares = sum(w * w for w in weights)
        share = sum(weights) ** 2 / squares / len(rows) if squares else 0.0
        assert_values(metrics["effective_share"][p], share, "share of the rows that count")
        if sum(weights):
            own = {k: g[p].numpy() for k, g in found.items()}
            assert_gradients(own, net.actor, lambda: oracle.actor_loss(net, rows, weights), p, f"policy, {which}")  # noqa: B023


@pytest.mark.parametrize("name", MODULES)
def test_a_supervised_step_is_regression_of_value_and_critics_and_cloning(name):
    case = Case(name, 3)
    parts = {key: copy(params) for key, params in case.networks.items()}
    returns = case.batch.return_to_go
    by_hand = {
        "value": lambda n: ((state_value(n, case.batch.observation) - returns).square().mean(-1), {}),
        "critic": lambda n: critic_loss(case, n, y_PB=returns),
        "actor": lambda n: (-data_log_prob(n, case.batch).mean(-1), {}),
    }
    state = State(parts, adam_states(parts, tuple(by_hand)))
    for key, loss in by_hand.items():
        descend(state, key, loss, getattr(case.hyper, f"{key}_lr"), case.hyper)
    case.algorithm.update_supervised(case.state, case.batch, case.noise, case.hyper)
    for key, params in case.networks.items():
        for k, value in params.items():
            assert torch.allclose(value, parts[key][k], rtol=0, atol=1e-12), f"{name}: {key} {k} goes elsewhere"


def test_ciql_without_penalty_learns_the_values_of_iql_bit_for_bit():
    shared = {"hidden": (6, 5), "expectile": 0.8}
    plain, none = Case("iql", 5, **shared), Case("ciql", 5, alpha=0.0, **shared)
    for _ in range(5):
        for case in (plain, none):
            training_step(case.algorithm, case.state, case.batch, case.noise, case.hyper)
    for name in ("critic", "target_critic", "value"):
        for key, value in plain.networks[name].items():
            assert torch.equal(none.networks[name][key], value), f"{name} {key} differs with alpha 0"


def test_negatives_are_uniform_over_the_box():
    hyper = Hyper([ciql.Config(n_negatives=50, batch_size=20)] * 2)
    u = ciql.draw(Spec(3, 2), hyper, MemberRng([0, 1], "noise")).uniform
    assert u.shape == (2, 50, 20, 2)
    assert u.min() < -0.99, "negatives never come near -1"
    assert u.max() > 0.99, "negatives never come near 1"
    assert u.unique().numel() > 0.99 * u.numel(), "negatives repeat each other"


def test_negatives_from_the_data_are_actions_of_all_other_rows_and_never_the_own():
    case = Case("ciql", 6, negatives="dataset", n_negatives=200, rows=4)
    row, action = case.noise.row, ciql.negative_actions(case.batch, case.noise)
    assert row.shape == (2, 200, 4)
    for p in range(2):
        for b in range(4):
            assert set(row[p, :, b].tolist()) == set(range(4)) - {b}, f"row {b} draws from {row[p, :, b].unique()}"
            for n in range(5):
                assert torch.equal(action[p, n, b], case.batch.action[p, row[p, n, b]]), "not the action of that row"
    assert not torch.equal(row[0], row[1]), "both members draw alike"


def test_sparse_weights_can_all_be_zero():
    case = Case("sparse_ql", 7)
    case.networks["value"]["b2"] += 1000
    loss, metrics = sparse_ql.actor_loss(case.networks, case.batch, case.hyper)
    assert (loss == 0).all()
    assert (metrics["effective_share"] == 0).all(), "no row counts, yet a share is reported"


def test_iql_weights_survive_huge_advantages():
    case = Case("iql", 7)
    case.networks["value"]["b2"] -= 1e6
    found, metrics = optim.gradients(
        lambda leaves: iql.actor_loss({**case.networks, "actor": leaves}, case.batch, case.hyper),
        case.networks["actor"],
    )
    assert all(g.isfinite().all() for g in found.values()), "an overflowing weight spoils the gradient"
    assert_values(metrics["effective_share"], [1.0, 1.0], "all rows are clipped alike")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("iql", {"expectile": 1.0}, "expectile must lie between 0 and 1"),
        ("ciql", {"expectile": 0.0}, "expectile must lie between 0 and 1"),
        ("iql", {"beta": -1.0}, "beta must lie within"),
        ("iql", {"max_weight": 0.0}, "max_weight must be above 0"),
        ("iql", {"value_lr": 0.0}, "value_lr must be above 0"),
        ("ciql", {"alpha": -1.0}, "alpha must lie within"),
        ("ciql", {"n_negatives": 0}, "n_negatives must be above 0"),
        ("ciql", {"negatives": "all"}, "negatives must be one of uniform, dataset"),
        ("ciql", {"negatives": "dataset", "batch_size": 1}, "batch_size must be 2 or more"),
        ("sparse_ql", {"alpha": 0.0}, "alpha must be above 0"),
        ("sparse_ql", {"discount": 1.0}, "discount must lie within"),
    ],
)
def test_settings_out_of_range_are_refused(name, options, message):
    with pytest.raises(ConfigError, match=message):
        MODULES[name].Config(**options)

"""Discrete CQL against an oracle that walks through the allowed actions."""

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import discrete as oracle
from prudent.algorithms import discrete_cql
from prudent.engine.population import training_step
from prudent.errors import ConfigError
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "masks": {"masked": True, "rows": 6},
    "settings differ": {"discount": [0.9, 0.5], "alpha": [0.0, 3.0], "masked": True},
    "units of time": {"with_dt": True, "discount": 0.9, "masked": True},
    "ensemble": {"n_critics": 3, "rows": 5, "masked": True},
    "quantiles": {"n_quantiles": 7, "masked": True, "rows": 5},
    "huber": {"huber_threshold": [1.0, 0.3], "masked": True, "rows": 6},
    "huber, quantiles": {"huber_threshold": [1.0, 0.3], "n_quantiles": 5, "masked": True, "rows": 5},
    "ensemble of quantiles": {"n_quantiles": 3, "n_critics": 2, "alpha": [0.5, 2.0], "with_dt": True, "masked": True},
    "layer normalisation, one member": {"layer_norm": True, "hidden": (4, 5, 6), "members": 1},
}
ACTIONS = 4


def case_of(name, seed=1) -> Case:
    return Case("discrete_cql", seed, action_size=ACTIONS, **OPTIONS[name])


@pytest.mark.parametrize("supervised", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_loss_and_gradients_equal_the_oracle(name, supervised):
    case = case_of(name)
    y = case.batch.return_to_go.unsqueeze(-1) if supervised else None

    def loss(leaves):
        return discrete_cql.critic_loss({**case.networks, "critic": leaves}, case.batch, case.hyper, y)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        net, rows, _, config = case.problem(p)

        def expected(net=net, rows=rows, config=config):
            return oracle.cql_loss(net, rows, config, ACTIONS, supervised)

        assert_values(loss_P[p], expected(), f"critics' loss, {name}")
        for e, critic in enumerate(net.critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, expected, e, f"critics' gradient, {name}")


@pytest.mark.parametrize("name", OPTIONS)
def test_target_action_and_metrics_equal_the_oracle(name):
    case = case_of(name, 2)
    y_PBK = discrete_cql.target(case.networks, case.batch, case.hyper)
    action_PB, log_prob_PB = discrete_cql.act(case.networks, case.batch.observation, None, case.batch.mask)
    q_PB = discrete_cql.q_value(case.networks, case.batch.observation, case.batch.action)
    _, metrics = discrete_cql.critic_loss(case.networks, case.batch, case.hyper)
    assert (log_prob_PB == 0).all(), "the only action of a greedy policy has probability 1"
    for p in range(case.members):
        net, rows, _, config = case.problem(p)
        wanted = [oracle.bellman_target(net, row, config, ACTIONS) for row in rows]
        assert_values(y_PBK[p], wanted, f"target, {name}")
        greedy = [oracle.greedy(net.critic, row.observation, row.mask, ACTIONS) for row in rows]
        assert action_PB[p].tolist() == greedy, f"action, {name}"
        values = [oracle.data_value(net.critic, row, ACTIONS) for row in rows]
        assert_values(q_PB[p], values, f"q_value, {name}")
        gaps = [oracle.gap(critic, row, ACTIONS) for critic in net.critic for row in rows]
        assert_values(metrics["cql_gap"][p], oracle.mean(gaps), f"cql_gap, {name}")
        assert_values(metrics["target"][p], oracle.mean(oracle.mean(y) for y in wanted), f"target metric, {name}")
        data = [oracle.q(critic, row.observation, ACTIONS)[row.action] for critic in net.critic for row in rows]
        assert_values(metrics["q_data"][p], oracle.mean(data), f"q_data, {name}")
        td = [
            oracle.td(oracle.quantiles(critic, row.observation, ACTIONS)[row.action], y, config.huber_threshold)
            for critic in net.critic
            for row, y in zip(rows, wanted, strict=True)
        ]
        assert_values(metrics["td_error"][p], oracle.mean(td), f"td_error, {name}")


def test_no_gradient_reaches_the_targets():
    case = case_of("masks")
    leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
    discrete_cql.critic_loss(leaves, case.batch, case.hyper)[0].sum().backward()
    for name, params in leaves.items():
        for key, leaf in params.items():
            assert (leaf.grad is not None) == (name == "critic"), f"gradient of the critics' loss at {name} {key}"
            assert leaf.grad is None or leaf.grad.isfinite().all(), f"gradient of {name} {key} is not finite"


def test_a_terminal_state_may_allow_nothing():
    """No action follows a termination, so its mask may be empty: nothing of it may enter a target or a gradient."""
    case = case_of("masks", 3)
    case.batch.next_mask[case.batch.terminated] = False
    y = discrete_cql.target(case.networks, case.batch, case.hyper).squeeze(-1)
    assert torch.equal(y[case.batch.terminated], case.batch.reward[case.batch.terminated])
    metrics = training_step(discrete_cql, case.state, case.batch, None, case.hyper)
    assert all(v.isfinite().all() for v in metrics.values())
    assert all(v.isfinite().all() for v in case.networks["critic"].values()), "a step with an empty mask left NaN"


@pytest.mark.parametrize("wrong", [{"alpha": -1.0}, {"n_quantiles": 0}, {"critic_lr": 0.0}, {"hidden": ()}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        discrete_cql.Config(**wrong)

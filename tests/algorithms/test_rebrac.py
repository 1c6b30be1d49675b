"""ReBRAC against the oracle."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import deterministic as oracle
from prudent import nn
from prudent.algorithms import rebrac, td3_bc
from prudent.errors import ConfigError
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "settings differ": {
        "actor_penalty": [0.1, 3.0],
        "critic_penalty": [0.0, 2.0],
        "discount": [0.9, 0.5],
        "policy_noise": [0.1, 3.0],
        "noise_clip": [0.3, 0.6],
    },
    "units of time": {"with_dt": True, "discount": 0.9},
    "no layer normalisation, strong penalties": {"layer_norm": False, "actor_penalty": 5.0, "critic_penalty": 5.0},
    "one critic, one member, one feature": {"n_critics": 1, "members": 1, "action_size": 1},
    "five critics": {"n_critics": 5, "rows": 5},
}


def oracle_critic_loss(net, rows, noise, c) -> float:
    return oracle.critic_loss(net, rows, noise, c, penalty=c.critic_penalty)


def published_critic(net, state, action) -> float:
    """The authors' ``src/networks.py``: linear, ReLU, LayerNorm for each hidden layer, then linear; Flax's epsilon."""
    x = np.concatenate([state, action])
    depth = sum(name[0] == "w" for name in net) - 1
    for i in range(depth):
        x = np.maximum(x @ net[f"w{i}"] + net[f"b{i}"], 0.0)
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-6) * net[f"scale_after{i}"] + net[f"shift_after{i}"]
    return float((x @ net[f"w{depth}"] + net[f"b{depth}"])[0])


def test_the_critics_are_the_published_ones():
    case = Case("rebrac", 4, hidden=(6, 5, 4))
    q_PB = rebrac.q_value(case.networks, case.batch.observation, case.batch.action)
    for p in range(case.members):
        net, rows, _, _ = case.problem(p)
        expected = [min(published_critic(critic, row.observation, row.action) for critic in net.critic) for row in rows]
        assert_values(q_PB[p], expected, "q_value")


def test_the_order_of_a_layer_counts(notices):
    """Normalised before the ReLU, with the other epsilon, or not at all: each is another critic."""

    def with_names(rename):
        def critic(params, *inputs):
            return right({rename(name): value for name, value in params.items()}, *inputs)

        return critic

    def check():
        test_the_critics_are_the_published_ones()

    right = nn.critic
    notices(check, nn, "critic", with_names(lambda name: name.replace("_after", "")))
    notices(check, nn, "critic", with_names(lambda name: f"no_{name}" if "_after" in name else name))


@pytest.mark.parametrize("name", OPTIONS)
def test_critic_loss_and_gradients_equal_the_oracle(name):
    case = Case("rebrac", 1, **OPTIONS[name])

    def loss(leaves):
        return rebrac.critic_loss({**case.networks, "critic": leaves}, case.batch, case.noise, case.hyper)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        problem = case.problem(p)
        assert_values(loss_P[p], oracle_critic_loss(*problem), f"critic loss, {name}")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, lambda: oracle_critic_loss(*problem), e, f"critic gradient, {name}")  # noqa: B023


@pytest.mark.parametrize("name", OPTIONS)
def test_actor_loss_and_gradients_equal_the_oracle(name):
    case = Case("rebrac", 2, **OPTIONS[name])

    def loss(leaves):
        return rebrac.actor_loss({**case.networks, "actor": leaves}, case.batch, case.hyper)

    loss_P, _ = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows, _, config = case.problem(p)
        divisor = oracle.size(net, rows, min)
        assert_values(loss_P[p], oracle.rebrac_actor_loss(net, rows, config, divisor), f"actor loss, {name}")
        assert_gradients(
            {k: g[p].numpy() for k, g in found.items()},
            net.actor,
            lambda: oracle.rebrac_actor_loss(net, rows, config, divisor),  # noqa: B023
            p,
            f"actor gradient, {name}",
            per_tensor=4,
        )


def test_supervised_losses_equal_the_oracle():
    case = Case("rebrac", 3)
    metrics = rebrac.update_supervised(case.state, case.batch, case.noise, case.hyper)
    before = Case("rebrac", 3)
    problems = [before.problem(p) for p in range(2)]
    assert_values(metrics["critic_loss"], [oracle.critic_loss(*own, supervised=True) for own in problems], "critics")
    assert_values(metrics["actor_loss"], [oracle.clone_loss(*own[:2]) for own in problems], "cloning")


def test_no_gradient_reaches_the_targets_nor_the_actor_from_the_critics_loss():
    case = Case("rebrac", 4)
    leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
    rebrac.critic_loss(leaves, case.batch, case.noise, case.hyper)[0].sum().backward()
    for name, params in leaves.items():
        for key, leaf in params.items():
            assert (leaf.grad is not None) == (name == "critic"), f"gradient of the critics' loss at {name} {key}"


def test_rows_without_a_next_action_pay_no_penalty_and_the_others_their_own():
    case = Case("rebrac", 5, rows=20, critic_penalty=[0.5, 2.0])
    free = replace(case.batch, next_action_known=torch.zeros_like(case.batch.next_action_known))
    y = rebrac.target(case.networks, case.batch, case.noise, case.hyper)
    unpenalised = rebrac.target(case.networks, free, case.noise, case.hyper)
    assert_values(unpenalised.flatten(), td3_bc.target(case.networks, free, case.noise, case.hyper).flatten(), "TD3")
    pays = case.batch.next_action_known & ~case.batch.terminated
    assert torch.equal(y != unpenalised, pays), "not just the rows that go on and know their next action pay"
    assert 0 < int(pays.sum()) < int((~case.batch.terminated).sum()), "this batch cannot tell"


def test_an_unknown_next_action_may_be_anything():
    case = Case("rebrac", 5, rows=20)
    y = rebrac.target(case.networks, case.batch, case.noise, case.hyper)
    known_PB1 = case.batch.next_action_known.unsqueeze(-1)
    holes = replace(case.batch, next_action=torch.where(known_PB1, case.batch.next_action, math.nan))
    assert torch.equal(rebrac.target(case.networks, holes, case.noise, case.hyper), y), "unknown actions are read"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actor_penalty": -1.0}, "actor_penalty must lie within"),
        ({"critic_penalty": -0.1}, "critic_penalty must lie within"),
        ({"policy_noise": -0.1}, "policy_noise must lie within"),
        ({"critic_penalty": float("nan")}, "critic_penalty must lie within"),
        ({"target_period": 0}, "target_period must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        rebrac.Config(**options)

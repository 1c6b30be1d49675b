"""TD3+BC against the oracle."""

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import deterministic as oracle
from prudent.algorithms import td3_bc
from prudent.errors import ConfigError
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "settings differ": {
        "alpha": [0.5, 10.0],
        "discount": [0.9, 0.5],
        "policy_noise": [0.1, 3.0],
        "noise_clip": [0.3, 0.6],
    },
    "units of time": {"with_dt": True, "discount": 0.9},
    "layer normalisation": {"layer_norm": True, "hidden": (4, 5, 6)},
    "one critic, one member, one feature": {"n_critics": 1, "members": 1, "action_size": 1},
    "five critics": {"n_critics": 5, "rows": 5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_critic_loss_and_gradients_equal_the_oracle(name):
    case = Case("td3_bc", 1, **OPTIONS[name])

    def loss(leaves):
        return td3_bc.critic_loss({**case.networks, "critic": leaves}, case.batch, case.noise, case.hyper)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        problem = case.problem(p)
        assert_values(loss_P[p], oracle.critic_loss(*problem), f"critic loss, {name}")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, lambda: oracle.critic_loss(*problem), e, f"critic gradient, {name}")  # noqa: B023


@pytest.mark.parametrize("name", OPTIONS)
def test_actor_loss_and_gradients_equal_the_oracle(name):
    case = Case("td3_bc", 2, **OPTIONS[name])

    def loss(leaves):
        return td3_bc.actor_loss({**case.networks, "actor": leaves}, case.batch, case.hyper)

    loss_P, _ = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows, _, config = case.problem(p)
        divisor = oracle.size(net, rows, oracle.first)
        assert_values(loss_P[p], oracle.td3_bc_actor_loss(net, rows, config, divisor), f"actor loss, {name}")
        assert_gradients(
            {k: g[p].numpy() for k, g in found.items()},
            net.actor,
            lambda: oracle.td3_bc_actor_loss(net, rows, config, divisor),  # noqa: B023
            p,
            f"actor gradient, {name}",
            per_tensor=4,
        )


def test_supervised_losses_equal_the_oracle():
    case = Case("td3_bc", 3)
    metrics = td3_bc.update_supervised(case.state, case.batch, case.noise, case.hyper)
    before = Case("td3_bc", 3)
    problems = [before.problem(p) for p in range(2)]
    assert_values(metrics["critic_loss"], [oracle.critic_loss(*own, supervised=True) for own in problems], "critics")
    assert_values(metrics["actor_loss"], [oracle.clone_loss(*own[:2]) for own in problems], "cloning")


def test_no_gradient_reaches_the_targets_nor_the_actor_from_the_critics_loss():
    case = Case("td3_bc", 4)
    leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
    td3_bc.critic_loss(leaves, case.batch, case.noise, case.hyper)[0].sum().backward()
    for name, params in leaves.items():
        for key, leaf in params.items():
            assert (leaf.grad is not None) == (name == "critic"), f"gradient of the critics' loss at {name} {key}"


def test_targets_start_as_actor_and_critics_in_storage_of_their_own():
    networks = Case("td3_bc", 5, noisy=False).networks
    for name in ("actor", "critic"):
        for key, value in networks[name].items():
            assert torch.equal(networks[f"target_{name}"][key], value), f"target {name} {key} starts elsewhere"
            assert networks[f"target_{name}"][key].data_ptr() != value.data_ptr(), f"target {name} {key} is no copy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha must lie within"),
        ({"policy_noise": -0.1}, "policy_noise must lie within"),
        ({"noise_clip": -0.1}, "noise_clip must lie within"),
        ({"noise_clip": float("inf")}, "noise_clip must be a finite number"),
        ({"actor_period": 0}, "actor_period must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        td3_bc.Config(**options)

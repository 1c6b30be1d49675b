"""Discrete IQL against an oracle that walks through the allowed actions."""

import pytest

from helpers.cases import Case, assert_gradients, assert_values
from oracles import discrete as oracle
from prudent.algorithms import discrete_iql
from prudent.errors import ConfigError
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "masks": {"masked": True, "rows": 6},
    "settings differ": {"expectile": [0.5, 0.9], "beta": [0.0, 5.0], "discount": [0.9, 0.5], "masked": True},
    "clipped weights": {"max_weight": [1.0, 1.2], "rows": 8, "masked": True},
    "units of time": {"with_dt": True, "discount": 0.9},
    "three critics, one member": {"n_critics": 3, "members": 1, "layer_norm": True, "hidden": (4, 5, 6)},
}
ACTIONS = 4

LOSSES = {
    "value": (discrete_iql.value_loss, oracle.iql_value_loss),
    "critic": (discrete_iql.critic_loss, oracle.iql_critic_loss),
    "actor": (
        lambda networks, batch, hyper: discrete_iql.actor_loss(
            networks, batch, discrete_iql.cloning_weight(networks, batch, hyper)
        ),
        oracle.iql_actor_loss,
    ),
}


@pytest.mark.parametrize("network", LOSSES)
@pytest.mark.parametrize("name", OPTIONS)
def test_losses_and_gradients_equal_the_oracle(name, network):
    case = Case("discrete_iql", 4, action_size=ACTIONS, **OPTIONS[name])
    own_loss, oracle_loss = LOSSES[network]

    def loss(leaves):
        return own_loss({**case.networks, network: leaves}, case.batch, case.hyper)

    loss_P, _ = loss(case.networks[network])
    found, _ = optim.gradients(loss, case.networks[network])
    for p in range(case.members):
        net, rows, _, config = case.problem(p)

        def expected(net=net, rows=rows, config=config):
            return oracle_loss(net, rows, config, ACTIONS)

        assert_values(loss_P[p], expected(), f"loss of {network}, {name}")
        if network == "critic":
            for e, critic in enumerate(net.critic):
                own = {k: g[p, e].numpy() for k, g in found.items()}
                assert_gradients(own, critic, expected, e, f"gradient of {network}, {name}")
        else:
            own = {k: g[p].numpy() for k, g in found.items()}
            assert_gradients(own, getattr(net, network), expected, p, f"gradient of {network}, {name}")


@pytest.mark.parametrize("network", LOSSES)
def test_each_loss_moves_its_own_network_alone(network):
    case = Case("discrete_iql", 5, masked=True)
    leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
    LOSSES[network][0](leaves, case.batch, case.hyper)[0].sum().backward()
    for name, params in leaves.items():
        for key, leaf in params.items():
            assert (leaf.grad is not None) == (name == network), f"gradient of the {network}'s loss at {name} {key}"
            assert leaf.grad is None or leaf.grad.isfinite().all(), f"gradient of {name} {key} is not finite"


@pytest.mark.parametrize(
    "wrong", [{"expectile": 0.0}, {"expectile": 1.0}, {"beta": -1.0}, {"max_weight": 0.0}, {"value_lr": 0.0}], ids=str
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        discrete_iql.Config(**wrong)

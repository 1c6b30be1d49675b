"""SAC against the oracle."""

import pytest

from helpers.cases import Case, assert_gradients, assert_values
from oracles import losses as oracle
from prudent.algorithms import sac
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "settings differ": {"discount": [0.9, 0.5], "temperature": [0.2, 3.0]},
    "units of time": {"with_dt": True, "discount": 0.9},
    "layer normalisation": {"layer_norm": True, "hidden": (4, 5, 6)},
    "one critic, one member": {"n_critics": 1, "members": 1},
    "five critics": {"n_critics": 5, "rows": 5},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_critic_loss_and_gradients_equal_the_oracle(name):
    case = Case("sac", 1, **OPTIONS[name])

    def loss(leaves):
        return sac.critic_loss({**case.networks, "critic": leaves}, case.batch, case.noise, case.hyper)

    loss_P, _ = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    for p in range(case.members):
        problem = case.problem(p)
        assert_values(loss_P[p], oracle.sac_critic_loss(*problem), f"critic loss, {name}")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, lambda: oracle.sac_critic_loss(*problem), e, f"critic gradient, {name}")  # noqa: B023


def test_no_gradient_reaches_actor_targets_or_temperature():
    case = Case("sac", 2)
    leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
    sac.critic_loss(leaves, case.batch, case.noise, case.hyper)[0].sum().backward()
    for name, params in leaves.items():
        for key, leaf in params.items():
            assert (leaf.grad is not None) == (name == "critic"), f"gradient of the critics' loss at {name} {key}"

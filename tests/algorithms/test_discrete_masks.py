"""A forbidden action is as good as absent: no number that the critics give it changes anything."""

import math
from dataclasses import replace

import pytest
import torch

from helpers.cases import Case
from prudent import nn
from prudent.algorithms import discrete_bc, discrete_cql, discrete_iql
from prudent.nn import optim

ACTIONS = 3
FORBIDDEN = 1
NETWORKS = ("actor", "critic", "target_critic")


def case_of(name, **options) -> Case:
    """Action 1 is forbidden everywhere, at s and at s'."""
    case = Case(name, 51, rows=6, action_size=ACTIONS, masked=True, **options)
    case.batch.action[case.batch.action == FORBIDDEN] = 2
    for mask in (case.batch.mask, case.batch.next_mask):
        mask.fill_(True)[..., FORBIDDEN] = False
    return case


def outputs_of(networks, name, value):
    """The networks with every output of the forbidden action in network ``name`` raised by ``value``."""
    params = {k: v.clone() for k, v in networks[name].items()}
    last = max(k for k in params if k.startswith("b"))
    params[last].unflatten(-1, (ACTIONS, -1))[..., FORBIDDEN, :] += value
    return {**networks, name: params}


def everything(case, networks) -> dict[str, torch.Tensor]:
    """All losses, targets, actions and probabilities."""
    batch, hyper, noise = case.batch, case.hyper, torch.linspace(0, 0.99, 36).reshape(2, 6, 3).double()
    module = case.algorithm
    found = {"greedy": module.act(networks, batch.observation, None, batch.mask)[0]}
    found |= dict(zip(("drawn", "log_prob"), module.act(networks, batch.observation, noise, batch.mask), strict=True))
    if module is discrete_bc:
        found["actor_loss"] = module.actor_loss(networks, batch)[0]
        return found
    found["target"] = module.target(networks, batch, hyper)
    loss, metrics = module.critic_loss(networks, batch, hyper)
    found |= {"critic_loss": loss, **metrics}
    if module is discrete_iql:
        weight = module.cloning_weight(networks, batch, hyper)
        found |= {"value_loss": module.value_loss(networks, batch, hyper)[0], "weight": weight}
        found["actor_loss"] = module.actor_loss(networks, batch, weight)[0]
    return found


CASES = {
    "discrete_cql": ("discrete_cql", {}),
    "discrete_cql, ensemble": ("discrete_cql", {"n_critics": 3}),
    "discrete_cql, quantiles": ("discrete_cql", {"n_quantiles": 5, "n_critics": 2}),
    "discrete_bc": ("discrete_bc", {}),
    "discrete_iql": ("discrete_iql", {}),
}


@pytest.mark.parametrize("value", [1e6, -1e6, math.inf])
@pytest.mark.parametrize("name", CASES)
def test_values_of_forbidden_actions_change_nothing(name, value):
    case = case_of(CASES[name][0], **CASES[name][1])
    before = everything(case, case.networks)
    for network in NETWORKS:
        if network not in case.networks:
            continue
        after = everything(case, outputs_of(case.networks, network, value))
        for key, number in before.items():
            assert torch.equal(after[key], number), f"{key} heeds what {network} says of a forbidden action"


@pytest.mark.parametrize("name", CASES)
def test_gradients_with_masks_are_finite_and_zero_at_forbidden_actions(name):
    case = case_of(CASES[name][0], **CASES[name][1])
    learns = "critic" if "critic" in case.networks else "actor"
    for own in [learns, "actor"] if "actor" in case.networks else [learns]:
        networks = outputs_of(case.networks, own, 1e6)

        def loss(leaves, networks=networks, own=own):
            changed = {**networks, own: leaves}
            if own == "critic":
                return case.algorithm.critic_loss(changed, case.batch, case.hyper)
            weight = () if case.algorithm is discrete_bc else (1.0,)
            return case.algorithm.actor_loss(changed, case.batch, *weight)

        found, _ = optim.gradients(loss, networks[own])
        assert all(g.isfinite().all() for g in found.values()), f"{own}: masks leave NaN in the gradient"
        last = max(k for k in found if k.startswith("b"))
        of_actions = found[last].unflatten(-1, (ACTIONS, -1))
        assert (of_actions[..., FORBIDDEN, :] == 0).all(), f"{own}: a forbidden action has a gradient"
        assert (of_actions[..., 0, :] != 0).any(), f"{own}: no gradient at all, so this test says nothing"


def test_a_forbidden_action_has_probability_exactly_zero():
    for name in ("discrete_bc", "discrete_iql"):
        case = case_of(name)
        logits = nn.mlp(outputs_of(case.networks, "actor", 1e6)["actor"], case.batch.observation)
        probability = nn.log_prob_categorical(logits, case.batch.mask).exp()
        assert (probability[..., FORBIDDEN] == 0).all()
        assert torch.allclose(probability.sum(-1), torch.ones_like(probability[..., 0]))


def test_what_a_mask_allows_is_all_there_is():
    """Two of three actions allowed: everything equals a problem with those two alone."""
    case = case_of("discrete_cql", n_critics=2)
    small = {name: {k: v.clone() for k, v in params.items()} for name, params in case.networks.items()}
    for params in small.values():
        last = max(int(k[1:]) for k in params if k.startswith("w"))
        for key in (f"w{last}", f"b{last}"):
            params[key] = params[key][..., [0, 2]]
    batch = case.batch.map(lambda t: t.clone())
    action = (batch.action == 2).long()
    batch = replace(batch, action=action, mask=None, next_mask=None)
    loss, metrics = discrete_cql.critic_loss(small, batch, case.hyper)
    expected, _ = discrete_cql.critic_loss(case.networks, case.batch, case.hyper)
    assert torch.allclose(loss, expected, rtol=1e-12), "the mask is not the same as two actions alone"
    assert torch.equal(discrete_cql.act(small, batch.observation)[0] * 2, everything(case, case.networks)["greedy"])
    assert metrics["cql_gap"].isfinite().all()

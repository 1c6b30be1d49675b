"""The cloning term in the actor's loss of CQL and its kin: against the oracle, and mistakes that raise no error."""

from dataclasses import replace

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import losses as oracle
from prudent import nn
from prudent.algorithms import cal_ql, cpql, cql, cql_redq
from prudent.algorithms.shared import losses
from prudent.algorithms.shared.losses import soft_actor_loss
from prudent.errors import ConfigError
from prudent.nn import optim
from prudent.types import Hyper

WEIGHTS = [0.4, 1.5]


def compare(case):
    """Loss and gradients of the actor equal the oracle's, with the weight of each member."""

    def loss(leaves):
        networks = {**case.networks, "actor": leaves}
        return soft_actor_loss(networks, case.batch, case.noise.actor, False, bc_weight_P=case.hyper.bc_weight)

    loss_P, metrics = loss(case.networks["actor"])
    gradients, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows, noise, c = case.problem(p)
        divisor = oracle.actor_divisor(net, rows, noise)

        def expected(net=net, rows=rows, noise=noise, weight=c.bc_weight, divisor=divisor):
            return oracle.actor_loss(net, rows, noise) + weight * divisor * oracle.cloning_error(net, rows)

        assert_values(loss_P[p], expected(), "actor loss")
        assert_values(metrics["bc_error"][p], oracle.cloning_error(net, rows), "error")
        own = {k: g[p].numpy() for k, g in gradients.items()}
        assert_gradients(own, net.actor, expected, seed=p, what="actor gradient", per_tensor=4)


@pytest.mark.parametrize("options", [{}, {"n_critics": 1}, {"action_size": 1}, {"rows": 7, "action_size": 5}], ids=str)
def test_loss_and_gradients_equal_the_oracle(options):
    compare(Case("cql", 6, temperature=0.7, bc_weight=WEIGHTS, **options))


def mistaken_term(change):
    """The term with one thing changed: ``change(mode, data_action, q_PB)`` gives the loss (P,)."""

    def term(mode, data_action, q_PB):
        _, metrics = losses_term(mode, data_action, q_PB)
        return change(mode, data_action, q_PB), metrics

    return term


losses_term = losses.cloning_term


def squared(mode, data_action):
    return (mode - data_action).square()


MISTAKES = {
    "the size of Q is not held fixed": lambda m, a, q: q.abs().mean(-1) * squared(m, a).mean((-2, -1)),
    "the size of the mean Q": lambda m, a, q: q.detach().mean(-1).abs() * squared(m, a).mean((-2, -1)),
    "no size of Q": lambda m, a, _q: squared(m, a).mean((-2, -1)),
    "a sum over action features": lambda m, a, q: q.detach().abs().mean(-1) * squared(m, a).sum(-1).mean(-1),
    "row by row": lambda m, a, q: (q.detach().abs() * squared(m, a).mean(-1)).mean(-1),
    "the size of all members": lambda m, a, q: q.detach().abs().mean() * squared(m, a).mean((-2, -1)),
    "before the tanh": lambda m, a, q: q.detach().abs().mean(-1) * squared(m.atanh(), a).mean((-2, -1)),
    "pushed away from the data": lambda m, a, q: -q.detach().abs().mean(-1) * squared(m, a).mean((-2, -1)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_term_is_noticed(notices, name):
    def check():
        compare(Case("cql", 6, temperature=0.7, bc_weight=WEIGHTS))

    notices(check, losses, "cloning_term", mistaken_term(MISTAKES[name]))


def test_the_sampled_action_in_the_modes_place_is_noticed(notices):
    case = Case("cql", 6, temperature=0.7, bc_weight=WEIGHTS)

    def sampled(_mode, data_action, q_PB):
        mean, log_std = nn.tanh_gaussian(case.networks["actor"], case.batch.observation)
        action, _ = nn.sample_tanh_gaussian(mean, log_std, case.noise.actor)
        return losses_term(action, data_action, q_PB)

    notices(lambda: compare(case), losses, "cloning_term", sampled)


@pytest.mark.parametrize("module", [cql, cpql, cal_ql, cql_redq], ids=lambda m: m.TITLE)
def test_the_actors_step_takes_the_term_and_weight_zero_changes_nothing(module):
    name = module.__name__.rsplit(".", 1)[-1]

    def step(**options):
        case = Case(name, 9, **options)
        metrics = module.update_actor(case.state, case.batch, case.noise, case.hyper)
        return case, metrics

    without, plain = step()
    zero, _ = step(bc_weight=0.0)
    mixed, metrics = step(bc_weight=[0.0, 0.4])
    assert "bc_error" not in plain
    for key, value in without.networks["actor"].items():
        assert torch.equal(zero.networks["actor"][key], value), f"weight 0 moves {key} otherwise"
        assert torch.equal(mixed.networks["actor"][key][0], value[0]), "a member with weight 0 is changed by another's"
        assert not torch.equal(mixed.networks["actor"][key][1], value[1]), "the weight changes nothing"
    action, _ = nn.sample_tanh_gaussian(
        *nn.tanh_gaussian(Case(name, 9).networks["actor"], without.batch.observation), without.noise.actor
    )
    q_PEB = nn.critic(without.networks["critic"], without.batch.observation, action)
    q_PB = q_PEB.mean(1) if module is cql_redq else q_PEB.amin(1)
    added = 0.4 * q_PB.abs().mean(-1) * metrics["bc_error"]
    torch.testing.assert_close((metrics["actor_loss"] - plain["actor_loss"])[1], added[1])


def test_the_warm_up_clones_without_the_term():
    case, plain = (Case("cql", 9, bc_warmup_steps=5, **options) for options in ({"bc_weight": 0.4}, {}))
    for one in (case, plain):
        cql.update_actor(one.state, one.batch, one.noise, one.hyper)
    for key, value in plain.networks["actor"].items():
        assert torch.equal(case.networks["actor"][key], value)


def test_one_weight_means_the_same_for_rewards_of_every_size():
    """Critics a thousand times as large, and no entropy: only the size of the gradient changes."""
    case = Case("cql", 6, bc_weight=0.4, temperature=1e-30, learn_temperature=False)

    def gradient():
        def loss(leaves):
            networks = {**case.networks, "actor": leaves}
            return soft_actor_loss(networks, case.batch, case.noise.actor, False, bc_weight_P=case.hyper.bc_weight)

        return optim.gradients(loss, case.networks["actor"])[0]

    before = gradient()
    for key in ("w2", "b2"):
        case.networks["critic"][key] *= 1000
    for key, value in gradient().items():
        torch.testing.assert_close(value, 1000 * before[key])


def test_a_weight_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="bc_weight must lie within"):
        cql.Config(bc_weight=-0.1)
    with pytest.raises(ConfigError, match="bc_weight must be a finite number"):
        cql.Config(bc_weight=float("inf"))
    with pytest.raises(ConfigError, match=r"bc_weight must be the same for every member.*None for some"):
        Hyper([cql.Config(), replace(cql.Config(), bc_weight=0.4)])

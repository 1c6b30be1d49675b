"""Mistakes of implicit Q-learning, one test each: the check passes, and fails once the mistake is made on purpose."""

import pytest

from helpers.cases import Case, assert_values
from oracles import implicit as oracle
from prudent import nn
from prudent.algorithms import ciql, iql, sparse_ql
from prudent.algorithms.shared import implicit, multi_step
from prudent.algorithms.shared import losses as shared_losses
from prudent.algorithms.shared.losses import data_log_prob, expectile_loss, td_loss
from prudent.algorithms.shared.networks import copy
from prudent.algorithms.shared.updates import State

MODULES = {"iql": iql, "ciql": ciql, "sparse_ql": sparse_ql}
VALUE_LOSS = {"iql": oracle.iql_value_loss, "ciql": oracle.iql_value_loss, "sparse_ql": oracle.sparse_value_loss}
WEIGHTS = {"iql": oracle.iql_weights, "ciql": oracle.ciql_weights, "sparse_ql": oracle.sparse_weights}
EACH = pytest.mark.parametrize("name", MODULES)


def losses(name, networks, case) -> dict:
    """Loss (P,) of each network that learns."""
    module, batch, hyper = MODULES[name], case.batch, case.hyper
    critics = (
        ciql.critic_loss(networks, batch, case.noise, hyper)
        if name == "ciql"
        else implicit.td_loss(networks, batch, hyper)
    )
    return {
        "value": module.value_loss(networks, batch, hyper)[0],
        "critic": critics[0],
        "actor": module.actor_loss(networks, batch, hyper)[0],
    }


def agrees(name, **options):
    """A check: all three losses are the oracle's."""

    def check():
        case = Case(name, 13, **options)
        found = losses(name, case.networks, case)
        for p in range(case.members):
            net, rows, noise, c = case.problem(p)
            critic = oracle.ciql_critic_loss(net, rows, noise, c) if name == "ciql" else oracle.td_loss(net, rows, c)
            assert_values(found["value"][p], VALUE_LOSS[name](net, rows, c), "V")
            assert_values(found["critic"][p], critic, "critics")
            assert_values(found["actor"][p], oracle.actor_loss(net, rows, WEIGHTS[name](net, rows, c)), "policy")

    return check


def each_loss_sends_its_gradient_to_its_own_network(name):
    def check():
        case = Case(name, 13)
        for own in ("value", "critic", "actor"):
            leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
            losses(name, leaves, case)[own].sum().backward()
            reached = {n for n, params in leaves.items() if any(v.grad is not None for v in params.values())}
            assert reached == {own}, f"the loss of {own} sends a gradient to {sorted(reached)}"

    return check


@EACH
@pytest.mark.parametrize("function", ["target", "logged_q"])
def test_targets_of_v_and_of_the_critics_get_no_gradient(notices, name, function):
    attached = getattr(implicit, function).__wrapped__
    notices(each_loss_sends_its_gradient_to_its_own_network(name), implicit, function, attached)


@EACH
def test_the_weights_are_detached(notices, name):
    def attached(networks, batch, weight_PB):
        return -(weight_PB * data_log_prob(networks, batch)).sum(-1), {}

    check = each_loss_sends_its_gradient_to_its_own_network(name)
    check()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(implicit, "advantage", implicit.advantage.__wrapped__)
        check()  # detached once more where the weights are used
        notices(check, implicit, "weighted_cloning", attached)


@EACH
def test_values_come_from_the_target_critics(notices, name):
    def online(networks, batch):
        return nn.critic(networks["critic"], batch.observation, batch.action).amin(1).detach()

    notices(agrees(name), implicit, "logged_q", online)


@EACH
def test_the_smallest_critic_counts(notices, name):
    def mean(networks, batch):
        return nn.critic(networks["target_critic"], batch.observation, batch.action).mean(1).detach()

    notices(agrees(name), implicit, "logged_q", mean)


@EACH
def test_no_bootstrap_through_a_termination(notices, name):
    def through(batch, value, hyper):
        return batch.reward + hyper.discount.unsqueeze(-1) * value(batch.next)

    notices(agrees(name), multi_step, "bootstrap", through)


@pytest.mark.parametrize("name", ["iql", "ciql"])
def test_the_expectile_is_not_inverted(notices, name):
    original = expectile_loss
    notices(agrees(name), shared_losses, "expectile_loss", lambda q, v, level: original(q, v, 1 - level))


@pytest.mark.parametrize("name", ["iql", "sparse_ql"])
def test_weights_are_clipped(notices, name):
    def unclipped(networks, batch, hyper):
        advantage = implicit.advantage(networks, batch)
        weight = (hyper.beta.unsqueeze(-1) * advantage).exp() if name == "iql" else advantage.clamp(min=0)
        return implicit.weighted_cloning(networks, batch, weight / weight.shape[-1])

    notices(agrees(name, max_weight=0.05), MODULES[name], "actor_loss", unclipped)


def test_the_softmax_runs_over_the_batch(notices):
    def over_members(networks, batch, hyper):
        weight = (hyper.beta.unsqueeze(-1) * implicit.advantage(networks, batch).clamp(min=0)).softmax(0)
        return implicit.weighted_cloning(networks, batch, weight)

    notices(agrees("ciql"), ciql, "actor_loss", over_members)


@pytest.mark.parametrize("mistake", ["no clamp", "clamp per state", "against the largest"])
def test_the_penalty_is_clamped_after_its_means(notices, mistake):
    def mistaken(networks, batch, noise, q_PEB):
        q_PENB = nn.critic(networks["critic"], batch.observation, ciql.negative_actions(batch, noise))
        if mistake == "no clamp":
            return q_PENB.mean((-2, -1)) - q_PEB.mean(-1)
        if mistake == "clamp per state":
            return (q_PENB.mean(-2) - q_PEB).clamp(min=0).mean(-1)
        return (q_PENB.amax(-2).mean(-1) - q_PEB.mean(-1)).clamp(min=0)

    notices(agrees("ciql"), ciql, "penalty", mistaken)


def test_negatives_feel_the_gradient(notices):
    def check():
        case = Case("ciql", 13)
        leaves = {k: v.clone().requires_grad_() for k, v in case.networks["critic"].items()}
        far_below = nn.critic(case.networks["critic"], case.batch.observation, case.batch.action) - 100.0
        loss = ciql.penalty({**case.networks, "critic": leaves}, case.batch, case.noise, far_below).sum()
        assert loss.requires_grad, "negatives are never pushed down"

    original = ciql.penalty
    notices(check, ciql, "penalty", lambda *arguments: original(*arguments).detach())


@EACH
def test_the_critics_see_the_updated_v(notices, name):
    def check():
        case, parts = Case(name, 13, value_lr=0.1), Case(name, 13, value_lr=0.1)
        metrics = case.algorithm.update_critic(case.state, case.batch, case.noise, case.hyper)
        stepped = {**parts.networks, "value": case.networks["value"]}
        assert_values(metrics["critic_loss"], losses(name, stepped, parts)["critic"].tolist(), "critics' loss")

    original, module = MODULES[name].update_critic, MODULES[name]

    def critics_first(state, batch, noise, hyper):
        case = State({**state.networks, "value": copy(state.networks["value"])}, state.optimizers)
        before = copy(state.networks["value"])
        metrics = original(state, batch, noise, hyper)
        case.networks = {**case.networks, "value": before}
        y = implicit.target(case.networks, batch, hyper)
        q = nn.critic(state.networks["critic"], batch.observation, batch.action)
        return metrics | {"critic_loss": td_loss(q, y)[0]}

    notices(check, module, "update_critic", critics_first)

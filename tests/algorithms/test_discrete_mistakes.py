"""Mistakes with discrete actions that other implementations made in silence, one test each.

As in ``test_mistakes.py``: the check passes on the library as it is, and fails once the mistake is made on purpose.
"""

from dataclasses import replace

import pytest
import torch

from helpers.cases import Case, assert_values
from oracles import discrete as oracle
from prudent import nn
from prudent.algorithms import discrete_bc, discrete_cql, discrete_iql
from prudent.algorithms.shared import losses, multi_step
from prudent.algorithms.shared.losses import expectile_loss
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import state_value

ACTIONS = 4


def cql_agrees(**options):
    """A check: the loss of discrete CQL is the oracle's."""

    def check():
        case = Case("discrete_cql", 61, **{"action_size": ACTIONS, "rows": 9, "n_critics": 2, **options})
        loss_P, _ = discrete_cql.critic_loss(case.networks, case.batch, case.hyper)
        for p in range(case.members):
            net, rows, _, config = case.problem(p)
            assert_values(loss_P[p], oracle.cql_loss(net, rows, config, ACTIONS), "critics' loss")

    return check


# --- the penalty ------------------------------------------------------------------------------------------------------


def lse(q, mask, dim=-1):
    return nn.allowed(q, None if mask is None else mask.unsqueeze(1)).logsumexp(dim)


def q_of(q, action):
    return nn.value_of(q, action.unsqueeze(1).expand(q.shape[:-1]))


def test_the_penalty_lifts_q_of_the_data_action_not_the_mean(notices):
    notices(cql_agrees(), discrete_cql, "conservative_gap", lambda q, _a, mask: lse(q, mask) - q.mean(-1))


def test_the_penalty_lifts_the_data_action_not_the_greedy_one(notices):
    notices(cql_agrees(), discrete_cql, "conservative_gap", lambda q, _a, mask: lse(q, mask) - q.amax(-1))


def test_the_log_sum_exp_runs_over_actions_not_critics(notices):
    def over_critics(q, action, _mask):
        return (q_of(q, action).logsumexp(1, keepdim=True) - q_of(q, action)).expand(q.shape[:-1])

    notices(cql_agrees(), discrete_cql, "conservative_gap", over_critics)


def test_the_penalty_is_a_log_sum_exp_not_a_log_mean_exp(notices):
    def mean_exp(q, action, mask):
        return lse(q, mask) - torch.tensor(float(q.shape[-1])).log() - q_of(q, action)

    notices(cql_agrees(), discrete_cql, "conservative_gap", mean_exp)


def test_the_mask_holds_in_the_log_sum_exp(notices):
    original = discrete_cql.conservative_gap
    notices(cql_agrees(masked=True), discrete_cql, "conservative_gap", lambda q, a, _mask: original(q, a, None))


def test_masked_values_are_absent_not_zero(notices):
    def zeroed(scores, mask):
        return scores if mask is None else scores * mask

    notices(cql_agrees(masked=True, alpha=0.0), nn, "allowed", zeroed)
    notices(cql_agrees(masked=True), nn, "allowed", zeroed)


# --- the target -------------------------------------------------------------------------------------------------------


def quantiles_then(choose):
    """The target with ``choose(online (P,B,A), target (P,B,A), next_mask) -> value (P,B)``; one quantile."""

    @torch.no_grad()
    def target(networks, batch, hyper):
        online, slow = (
            discrete_cql.quantiles(networks[name], batch.next_observation).mean(-1).amin(1)
            for name in ("critic", "target_critic")
        )
        return bootstrap(batch, lambda _: choose(online, slow, batch.next_mask), hyper).unsqueeze(-1)

    return target


def test_the_target_is_of_double_dqn(notices):
    single = quantiles_then(lambda _online, slow, mask: nn.allowed(slow, mask).amax(-1))
    online_only = quantiles_then(lambda online, _slow, mask: nn.allowed(online, mask).amax(-1))
    swapped = quantiles_then(lambda online, slow, mask: nn.value_of(online, nn.allowed(slow, mask).argmax(-1)))
    for mistaken in (single, online_only, swapped):
        for masked in (False, True):
            notices(cql_agrees(masked=masked), discrete_cql, "target", mistaken)


def test_the_mask_holds_in_the_targets_choice(notices):
    unmasked = quantiles_then(lambda online, slow, _mask: nn.value_of(slow, online.argmax(-1)))
    notices(cql_agrees(masked=True), discrete_cql, "target", unmasked)


def test_the_target_asks_for_the_mask_of_the_next_state(notices):
    original = discrete_cql.target

    def present_mask(networks, batch, hyper):
        return original(networks, replace(batch, next_mask=batch.mask), hyper)

    notices(cql_agrees(masked=True), discrete_cql, "target", present_mask)


def test_the_target_takes_the_smallest_critic(notices):
    original = discrete_cql.quantiles

    def averaged(critic, observation):
        z = original(critic, observation)
        return z.mean(1, keepdim=True).expand_as(z)

    def check():
        case = Case("discrete_cql", 62, action_size=ACTIONS, rows=9, n_critics=3)
        y = discrete_cql.target(case.networks, case.batch, case.hyper)
        for p in range(case.members):
            net, rows, _, config = case.problem(p)
            assert_values(y[p], [oracle.bellman_target(net, row, config, ACTIONS) for row in rows], "target")

    notices(check, discrete_cql, "quantiles", averaged)


@pytest.mark.parametrize("module", [discrete_cql, discrete_iql], ids=["cql", "iql"])
def test_nothing_is_bootstrapped_through_a_termination(notices, module):
    def through(batch, value, hyper):
        return batch.reward + hyper.discount.unsqueeze(-1) * value(batch.next)

    def ignoring_dt(batch, value, hyper):
        return batch.reward + hyper.discount.unsqueeze(-1) * torch.where(batch.terminated, 0.0, value(batch.next))

    check = cql_agrees() if module is discrete_cql else iql_agrees("critic")
    notices(check, multi_step, "bootstrap", through)
    timed = cql_agrees(with_dt=True) if module is discrete_cql else iql_agrees("critic", with_dt=True)
    notices(timed, multi_step, "bootstrap", ignoring_dt)


def test_target_gets_no_gradient(notices):
    def check():
        case = Case("discrete_cql", 63, masked=True, action_size=ACTIONS)
        leaves = {n: {k: v.clone().requires_grad_() for k, v in p.items()} for n, p in case.networks.items()}
        discrete_cql.critic_loss(leaves, case.batch, case.hyper)[0].sum().backward()
        assert all(leaf.grad is None for leaf in leaves["target_critic"].values()), "a gradient reaches the targets"

    notices(check, discrete_cql, "target", discrete_cql.target.__wrapped__)


# --- the temporal-difference loss -------------------------------------------------------------------------------------


def test_the_error_is_squared_and_halved(notices):
    def loss(error):
        return lambda z, y, threshold: error(y.unsqueeze(1) - z).mean(-1)  # noqa: ARG005

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discrete_cql, "td_loss", loss(lambda d: d.square() / 2))
        cql_agrees()()  # the form that the mistakes vary is right itself
    notices(cql_agrees(), discrete_cql, "td_loss", loss(lambda d: d.square()))
    notices(cql_agrees(), discrete_cql, "td_loss", loss(lambda d: d.abs()))
    notices(cql_agrees(), discrete_cql, "td_loss", loss(lambda d: discrete_cql.huber(d, torch.ones(len(d)))))


@pytest.mark.parametrize("n_quantiles", [1, 5])
def test_huber_is_linear_beyond_its_threshold(notices, n_quantiles):
    check = cql_agrees(n_quantiles=n_quantiles, huber_threshold=0.5)
    notices(check, discrete_cql, "huber", lambda d, t: d.square() / 2)  # noqa: ARG005
    notices(check, discrete_cql, "huber", lambda d, t: d.abs() * t[0])
    right = discrete_cql.huber
    notices(check, discrete_cql, "huber", lambda d, t: right(d, torch.ones_like(t)))


def quantile_loss(weigh, reduce=lambda x: x.mean(-1).sum(-1), offset=0.5):
    """A quantile loss with parts to get wrong."""

    def loss(z, y, threshold):  # noqa: ARG001
        count = z.shape[-1]
        tau = ((torch.arange(count, dtype=z.dtype) + offset) / count).unsqueeze(-1)
        difference = y[:, None, :, None, :] - z.unsqueeze(-1)
        return reduce(weigh(difference, tau) * difference.abs())

    return loss


def right(difference, tau):
    return torch.where(difference < 0, 1 - tau, tau)


def test_the_parts_of_the_quantile_loss(notices):
    check = cql_agrees(n_quantiles=5)
    mistakes = {
        "sides swapped": quantile_loss(lambda d, tau: torch.where(d < 0, tau, 1 - tau)),
        "no sides": quantile_loss(lambda d, tau: torch.full_like(d, 0.5)),  # noqa: ARG005
        "mean over quantiles": quantile_loss(right, lambda x: x.mean((-2, -1))),
        "sums over both": quantile_loss(right, lambda x: x.sum((-2, -1))),
        "edges for midpoints": quantile_loss(right, offset=0.0),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discrete_cql, "td_loss", quantile_loss(right))
        check()  # the form that the mistakes vary is right itself
    for mistaken in mistakes.values():
        notices(check, discrete_cql, "td_loss", mistaken)


def test_targets_of_one_action_are_not_matched_quantile_by_quantile(notices):
    def paired(z, y, threshold):  # noqa: ARG001
        tau = (torch.arange(z.shape[-1], dtype=z.dtype) + 0.5) / z.shape[-1]
        difference = y.unsqueeze(1) - z
        return (torch.where(difference < 0, 1 - tau, tau) * difference.abs()).sum(-1)

    notices(cql_agrees(n_quantiles=5), discrete_cql, "td_loss", paired)


# --- policies ---------------------------------------------------------------------------------------------------------


def iql_agrees(network, **options):
    """A check: one of discrete IQL's losses is the oracle's."""
    expected = {
        "value": oracle.iql_value_loss,
        "critic": oracle.iql_critic_loss,
        "actor": oracle.iql_actor_loss,
    }[network]

    def check():
        case = Case("discrete_iql", 64, **{"action_size": ACTIONS, "rows": 9, "masked": True, **options})
        if network == "actor":
            weight = discrete_iql.cloning_weight(case.networks, case.batch, case.hyper)
            loss_P, _ = discrete_iql.actor_loss(case.networks, case.batch, weight)
        else:
            loss = {"value": discrete_iql.value_loss, "critic": discrete_iql.critic_loss}[network]
            loss_P, _ = loss(case.networks, case.batch, case.hyper)
        for p in range(case.members):
            net, rows, _, config = case.problem(p)
            assert_values(loss_P[p], expected(net, rows, config, ACTIONS), f"loss of {network}")

    return check


def bc_agrees():
    case = Case("discrete_bc", 65, action_size=ACTIONS, rows=9, masked=True)
    loss_P, _ = discrete_bc.actor_loss(case.networks, case.batch)
    for p in range(case.members):
        assert_values(loss_P[p], oracle.bc_loss(case.net(p), case.rows(p)), "cloning loss")


def test_the_mask_holds_in_the_policies_likelihood(notices):
    def unmasked(logits, _mask):
        return logits.log_softmax(-1)

    def after_the_softmax(logits, mask):
        return nn.allowed(logits.log_softmax(-1), mask)

    for mistaken in (unmasked, after_the_softmax):
        notices(bc_agrees, nn, "log_prob_categorical", mistaken)
        notices(iql_agrees("actor"), nn, "log_prob_categorical", mistaken)


def test_the_mask_holds_in_acting(notices):
    def check():
        case = Case("discrete_cql", 66, action_size=ACTIONS, rows=40, masked=True)
        action, _ = discrete_cql.act(case.networks, case.batch.observation, None, case.batch.mask)
        assert nn.value_of(case.batch.mask, action).all(), "a forbidden action was taken"

    notices(check, nn, "allowed", lambda scores, _mask: scores)


def test_the_advantage_is_that_of_the_logged_action_under_the_targets(notices):
    def of_critics(networks, batch):
        return discrete_iql.q_value(networks, batch.observation, batch.action)

    def largest(networks, batch):
        q = nn.mlp(networks["target_critic"], batch.observation.unsqueeze(1)).amin(1)
        return nn.allowed(q, batch.mask).amax(-1)

    def mean_of_critics(networks, batch):
        return discrete_iql.q_each(networks["target_critic"], batch.observation, batch.action).mean(1)

    for mistaken in (of_critics, largest, mean_of_critics):
        for network in ("value", "actor"):
            notices(iql_agrees(network), discrete_iql, "logged_q", torch.no_grad()(mistaken))


def test_the_expectile_weighs_the_right_side(notices):
    original = expectile_loss
    notices(iql_agrees("value"), losses, "expectile_loss", lambda q, v, e: original(q, v, 1 - e))


def test_the_cloning_weight_is_clipped(notices):
    def unclipped(networks, batch, hyper):
        advantage = discrete_iql.logged_q(networks, batch) - state_value(networks, batch.observation)
        return (hyper.beta.unsqueeze(-1) * advantage).exp()

    notices(iql_agrees("actor", max_weight=1.1), discrete_iql, "cloning_weight", torch.no_grad()(unclipped))

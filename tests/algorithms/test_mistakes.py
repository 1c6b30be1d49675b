"""Mistakes that other implementations made in silence, one test each.

Every test checks the library as it is, then makes the mistake on purpose and requires the same check to fail: a check
that cannot see its mistake is no evidence.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from helpers.cases import Case, assert_values, hyper64
from oracles import losses as oracle
from prudent import nn
from prudent.algorithms import cql, sac
from prudent.algorithms.shared import lagrange, losses, multi_step
from prudent.algorithms.shared import networks as shared_networks
from prudent.algorithms.shared.losses import soft_actor_loss, temperature, temperature_loss
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import init_critic
from prudent.algorithms.shared.updates import State, descend, update_soft_actor
from prudent.data import Dataset
from prudent.engine import population
from prudent.engine.batches import TrainingData
from prudent.engine.scaling import Scaling
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.types import Hyper, Spec


def critic_loss(case, **changed):
    """(loss (P,), metrics), with parts of the case replaced."""
    parts = {"networks": case.networks, "batch": case.batch, "noise": case.noise, "hyper": case.hyper, **changed}
    return cql.critic_loss(**parts)


def oracle_agrees(**options):
    """A check: the critic's loss is the oracle's."""

    def check():
        case = Case("cql", 21, **options)
        expected = [oracle.cql_critic_loss(*case.problem(p)) for p in range(case.members)]
        assert_values(critic_loss(case)[0], expected, "critic loss")

    return check


def penalty_gradient(case):
    """Gradient of the critics' loss with respect to the Q-values of the proposals, (P, E, N, B)."""
    seen = []
    propose = cql.propose

    def watched(networks, batch, noise, hyper):
        q_PENB, log_density_PNB = propose(networks, batch, noise, hyper)
        if q_PENB.requires_grad:
            q_PENB.retain_grad()
        seen.append(q_PENB)
        return q_PENB, log_density_PNB

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cql, "propose", watched)
        leaves = {k: v.clone().requires_grad_() for k, v in case.networks["critic"].items()}
        critic_loss(case, networks={**case.networks, "critic": leaves})[0].sum().backward()
    return seen[0].grad, leaves


# --- proposals --------------------------------------------------------------------------------------------------------


def uniform_proposals_cover_the_box():
    hyper = Hyper([cql.Config(n_actions=50, batch_size=20)] * 2)
    u = cql.draw(Spec(3, 2), hyper, MemberRng([0, 1], "noise")).uniform
    assert u.shape == (2, 50, 20, 2)
    assert u.min() < -0.99, "uniform proposals never come near -1"
    assert u.max() > 0.99, "uniform proposals never come near 1"
    assert u.mean().abs() < 0.03, "uniform proposals are not centred on 0"
    assert abs(float(u.var()) - 1 / 3) < 0.02, "uniform proposals have not the variance of a uniform on [-1, 1]"
    # All different: along N, B and A, and between members.
    assert u.unique().numel() > 0.99 * u.numel(), "uniform proposals repeat each other"


def mutated_draw(change):
    draw = cql.draw

    def mistaken(spec, hyper, rng):
        noise = draw(spec, hyper, rng)
        return replace(noise, uniform=change(noise.uniform))

    return mistaken


def test_uniform_proposals_are_not_from_zero_to_one(notices):
    notices(uniform_proposals_cover_the_box, cql, "draw", mutated_draw(lambda u: (u + 1) / 2))


def test_uniform_proposals_are_not_all_equal(notices):
    for change in (
        lambda u: u[:, :1, :1, :].expand_as(u),
        lambda u: u[:, :1].expand_as(u),
        lambda u: u[..., :1].expand_as(u),
        lambda u: u[:1].expand_as(u),
    ):
        notices(uniform_proposals_cover_the_box, cql, "draw", mutated_draw(change))


def draws_differ_between_steps_and_purposes():
    hyper = Hyper([cql.Config(batch_size=5, backup="max")])
    rng = MemberRng([0], "noise")
    first, second = cql.draw(Spec(3, 2), hyper, rng), cql.draw(Spec(3, 2), hyper, rng)
    drawn = [getattr(n, name) for n in (first, second) for name in ("next_action", "policy", "next_policy")]
    for i, a in enumerate(drawn):
        for b in drawn[:i]:
            assert not torch.equal(a, b), "two draws are the same noise"


def test_noise_is_fresh(notices):
    draw = cql.draw

    def reused(spec, hyper, rng):
        noise = draw(spec, hyper, rng)
        return replace(noise, next_policy=noise.policy)

    notices(draws_differ_between_steps_and_purposes, cql, "draw", reused)


def next_policy_proposals_are_valued_at_the_state():
    case = Case("cql", 22, proposals=("next_policy",))
    q_PENB, _ = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    net, rows, noise, _ = case.problem(1)
    a, _ = oracle.sample(net.actor, rows[2].next_observation, noise.next_policy[1][2])
    assert_values(q_PENB[1, 0, 1, 2], oracle.q(net.critic[0], rows[2].observation, a), "Q(s, a ~ pi(s'))")
    assert abs(oracle.q(net.critic[0], rows[2].next_observation, a) - float(q_PENB[1, 0, 1, 2])) > 1e-3


def test_next_policy_proposals_are_valued_at_s_and_not_at_the_next_state(notices):
    propose = cql.propose

    def at_next_state(networks, batch, noise, hyper):
        _, log_density = propose(networks, batch, noise, hyper)
        q, _ = propose(networks, replace(batch, observation=batch.next_observation), noise, hyper)
        return q, log_density

    notices(next_policy_proposals_are_valued_at_the_state, cql, "propose", at_next_state)
    notices(oracle_agrees(), cql, "propose", at_next_state)


def test_next_policy_proposals_carry_the_density_of_the_next_state(notices):
    def density_at_s(networks, batch, noise, hyper):
        q, _ = propose(networks, batch, noise, hyper)
        mean, log_std = nn.tanh_gaussian(networks["actor"], batch.next_observation)
        action, _ = nn.sample_tanh_gaussian(mean.unsqueeze(1), log_std.unsqueeze(1), noise.next_policy)
        mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
        return q, nn.log_prob_tanh_gaussian(mean.unsqueeze(1), log_std.unsqueeze(1), action)

    propose = cql.propose
    notices(oracle_agrees(proposals=("next_policy",)), cql, "propose", density_at_s)


def test_each_proposal_carries_its_own_density(notices):
    propose = cql.propose

    def shuffled(networks, batch, noise, hyper):
        q, log_density = propose(networks, batch, noise, hyper)
        return q, log_density.roll(1, dims=1)

    notices(oracle_agrees(), cql, "propose", shuffled)


def test_the_uniform_density_counts_every_action_feature(notices):
    propose = cql.propose

    def one_feature(networks, batch, noise, hyper):
        q, log_density = propose(networks, batch, noise, hyper)
        return q, torch.cat([torch.full_like(log_density[:, :2], -math.log(2)), log_density[:, 2:]], dim=1)

    notices(oracle_agrees(), cql, "propose", one_feature)


# --- the gap ----------------------------------------------------------------------------------------------------------


def critics_keep_to_themselves():
    case = Case("cql", 23)
    q_PEB = nn.critic(case.networks["critic"], case.batch.observation, case.batch.action)
    q_PENB, log_density_PNB = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    before = cql.conservative_gap(q_PEB, q_PENB, log_density_PNB, case.hyper)[0]
    other = q_PENB.clone()
    other[:, 0] += 3.0
    after = cql.conservative_gap(q_PEB, other, log_density_PNB, case.hyper)[0]
    assert torch.equal(before[:, 1], after[:, 1]), "the gap of one critic depends on another critic"
    assert (after[:, 0] - before[:, 0] - 3.0).abs().max() < 1e-10, "the gap does not follow its own critic"


def test_log_sum_exp_runs_over_proposals_and_not_across_critics(notices):
    def across_critics(q_PEB, q_PENB, log_density_PNB, hyper):  # noqa: ARG001
        gap = torch.logsumexp(q_PENB - log_density_PNB.unsqueeze(1), dim=1).mean(1, keepdim=True) - q_PEB
        return gap, gap

    notices(critics_keep_to_themselves, cql, "conservative_gap", across_critics)
    notices(oracle_agrees(), cql, "conservative_gap", across_critics)


def every_proposal_counts():
    case = Case("cql", 24, n_actions=4)
    gradient, _ = penalty_gradient(case)
    assert gradient.shape == (2, 2, 12, 3), "not 3N proposals"
    assert (gradient > 0).all(), "some proposal is not pushed down"
    # d alpha mean_B LSE / d Q is alpha / B times a softmax: over all 3N proposals it adds up to alpha / B.
    assert_values(gradient.sum(2).flatten(), [5 / 3] * 12, "total push on the proposals of one state")
    within = gradient.unflatten(2, (3, 4)).std(3)
    assert within.min() > 1e-5, "proposals of one kind are all pushed alike: a mean was taken before the log-sum-exp"


def test_log_sum_exp_runs_over_all_proposals_and_not_over_three_terms(notices):
    original = cql.conservative_gap

    def three_terms(q_PEB, q_PENB, log_density_PNB, hyper):
        n = hyper.n_actions
        of_each = q_PENB.unflatten(2, (-1, n)).mean(3)
        return original(q_PEB, of_each, log_density_PNB.unflatten(1, (-1, n)).mean(2), hyper)

    notices(every_proposal_counts, cql, "conservative_gap", three_terms)
    notices(oracle_agrees(), cql, "conservative_gap", three_terms)


def random_actions_are_pushed_down():
    """The gap does not change when all values rise together, so it must not move the critics' output bias: what lifts
    the data's actions pushes the proposals down by as much."""
    slopes = []
    for alpha in (0.0, 50.0):
        case = Case("cql", 25, proposals=("uniform",), alpha=alpha)
        slopes.append(penalty_gradient(case)[1]["b2"].grad)
    assert (slopes[1] - slopes[0]).abs().max() < 1e-10, "the penalty lifts the data without pushing random actions down"


def test_random_actions_feel_the_gradient(notices):
    propose = cql.propose

    def stopped(networks, batch, noise, hyper):
        q, log_density = propose(networks, batch, noise, hyper)
        return torch.cat([q[:, :, : hyper.n_actions].detach(), q[:, :, hyper.n_actions :]], dim=2), log_density

    notices(random_actions_are_pushed_down, cql, "propose", stopped)


def test_importance_sampling_is_done(notices):
    original = cql.conservative_gap

    def unweighted(q_PEB, q_PENB, log_density_PNB, hyper):
        return original(q_PEB, q_PENB, torch.zeros_like(log_density_PNB), hyper)

    notices(oracle_agrees(), cql, "conservative_gap", unweighted)


def test_the_estimate_is_the_integral_of_exp_q(notices):
    """Importance sampling makes ``LSE - log N`` an estimate of ``log integral exp Q(s, a) da``: here by quadrature."""

    def check():
        case = Case("cql", 26, action_size=1, n_actions=40_000, rows=1, members=1, n_critics=1)
        _, metrics = critic_loss(case)
        net, rows, _, _ = case.problem(0)
        grid = (np.arange(400) + 0.5) / 200 - 1
        integral = sum(math.exp(oracle.q(net.critic[0], rows[0].observation, np.array([a]))) for a in grid) / 200
        expected = math.log(integral) - oracle.q(net.critic[0], rows[0].observation, rows[0].action)
        assert abs(float(metrics["cql_gap_normalized"]) - expected) < 0.02, "the gap does not estimate log int exp Q"

    original = cql.conservative_gap

    def no_densities(q_PEB, q_PENB, log_density_PNB, hyper):
        return original(q_PEB, q_PENB, torch.zeros_like(log_density_PNB), hyper)

    notices(check, cql, "conservative_gap", no_densities)


def the_data_action_is_what_is_lifted():
    case = Case("cql", 27, alpha=1.0)
    q_PEB = nn.critic(case.networks["critic"], case.batch.observation, case.batch.action).requires_grad_()
    q_PENB, log_density_PNB = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    gap_PEB, _ = cql.conservative_gap(q_PEB, q_PENB, log_density_PNB, case.hyper)
    gap_PEB.sum().backward()
    assert q_PEB.grad is not None, "the gap does not contain the data action"
    assert torch.equal(q_PEB.grad, -torch.ones_like(q_PEB)), "the data action is not lifted with weight one"


def test_the_penalty_is_against_the_data_action_and_not_against_the_mean(notices):
    original = cql.conservative_gap

    def against_mean(q_PEB, q_PENB, log_density_PNB, hyper):
        mean = q_PENB.mean(2) + 0.0 * q_PEB
        gap, normalised = original(q_PEB, q_PENB, log_density_PNB, hyper)
        return gap + q_PEB - mean, normalised + q_PEB - mean

    notices(the_data_action_is_what_is_lifted, cql, "conservative_gap", against_mean)
    notices(oracle_agrees(), cql, "conservative_gap", against_mean)


def test_temperature_divides_q_and_not_the_log_density(notices):
    original = cql.conservative_gap

    def divides_both(q_PEB, q_PENB, log_density_PNB, hyper):
        return original(q_PEB, q_PENB, log_density_PNB / hyper.cql_temperature.reshape(-1, 1, 1), hyper)

    notices(oracle_agrees(cql_temperature=[0.5, 2.0]), cql, "conservative_gap", divides_both)


def test_temperature_multiplies_the_log_sum_exp(notices):
    original = cql.conservative_gap

    def not_multiplied(q_PEB, q_PENB, log_density_PNB, hyper):
        gap, normalised = original(q_PEB, q_PENB, log_density_PNB, hyper)
        t = hyper.cql_temperature.reshape(-1, 1, 1)
        return (gap + q_PEB) / t - q_PEB, normalised

    notices(oracle_agrees(cql_temperature=[0.5, 2.0]), cql, "conservative_gap", not_multiplied)


def normalised_gap_does_not_depend_on_n():
    case = Case("cql", 28, cql_temperature=[1.0, 0.5])
    q_PEB = nn.critic(case.networks["critic"], case.batch.observation, case.batch.action)
    q, log_density = cql.propose(case.networks, case.batch, case.noise, case.hyper)
    raw, normal = cql.conservative_gap(q_PEB, q, log_density, case.hyper)
    raw2, normal2 = cql.conservative_gap(q_PEB, q.repeat(1, 1, 2, 1), log_density.repeat(1, 2, 1), case.hyper)
    assert_values(normal2.flatten(), normal.flatten().tolist(), "normalised gap of every proposal taken twice")
    growth = math.log(2) * case.hyper.cql_temperature.reshape(-1, 1, 1)
    assert_values(
        (raw2 - raw).flatten(), growth.expand_as(raw).flatten().tolist(), "T log 2 in the reference's convention"
    )


def test_log_3n_is_subtracted_in_one_convention_and_not_in_the_other(notices):
    original = cql.conservative_gap

    def never(*arguments):
        gap, _ = original(*arguments)
        return gap, gap

    def always(*arguments):
        _, normalised = original(*arguments)
        return normalised, normalised

    def log_n_only(q_PEB, q_PENB, log_density_PNB, hyper):
        gap, _ = original(q_PEB, q_PENB, log_density_PNB, hyper)
        return gap, gap - hyper.cql_temperature.reshape(-1, 1, 1) * math.log(hyper.n_actions)

    for mistaken in (never, always, log_n_only):
        notices(normalised_gap_does_not_depend_on_n, cql, "conservative_gap", mistaken)
        notices(oracle_agrees(lagrange=mistaken is not always), cql, "conservative_gap", mistaken)


# --- Lagrange ---------------------------------------------------------------------------------------------------------


def lagrange_acts():
    """The multiplier follows the gap in both directions, and the critics feel it."""
    case = Case("cql", 29, lagrange=True, target_gap=[-50.0, 50.0])
    before = lagrange.multiplier(case.networks).clone()
    cql.update_critic(case.state, case.batch, case.noise, case.hyper)
    after = lagrange.multiplier(case.networks)
    assert after[0] > before[0], "the gap exceeds its target and the multiplier does not grow"
    assert after[1] < before[1], "the gap lies under its target and the multiplier does not shrink"
    small, large = Case("cql", 29, lagrange=True), Case("cql", 29, lagrange=True)
    large.networks["lagrange"]["log"] += math.log(10.0)
    ratio = penalty_gradient(large)[0] / penalty_gradient(small)[0]
    assert (ratio - 10).abs().max() < 1e-6, "the critics do not feel the multiplier"


def test_lagrange_is_not_accepted_and_ignored(notices):
    notices(lagrange_acts, lagrange, "lagrange_loss", lambda networks, *_: (0.0 * networks["lagrange"]["log"], {}))
    notices(lagrange_acts, lagrange, "penalty_weight", lambda _n, hyper, _s: hyper.alpha)


def test_without_lagrange_the_multiplier_rests():
    case = Case("cql", 29, lagrange=False)
    before = case.networks["lagrange"]["log"].clone()
    metrics = population.training_step(cql, case.state, case.batch, case.noise, case.hyper)
    assert torch.equal(case.networks["lagrange"]["log"], before), "fixed alpha, yet the multiplier moved"
    assert torch.equal(metrics["alpha"], case.hyper.alpha), "fixed alpha, yet the weight is not alpha"


def both_losses_mean_the_same_threshold():
    """What the multiplier maximises is what the critics minimise, alpha annealed or not: ``sum_e m w (gap_e - t)``."""
    annealing = {"alpha_final": [1.0, 8.0], "alpha_anneal_steps": 10}
    for options in ({}, annealing):
        case = Case("cql", 30, lagrange=True, target_gap=[0.8, 3.0], alpha=[5.0, 2.0], **options)
        case.state.step = 5
        metrics = cql.update_critic(case.state, case.batch, case.noise, case.hyper)
        penalty = metrics["critic_loss"] - metrics["td_error"] * case.configs[0].n_critics
        expected = -case.configs[0].n_critics * metrics["lagrange_loss"]
        assert_values(penalty, expected.tolist(), "penalty in the critics' loss against the multiplier's loss")


def test_the_threshold_is_applied_alike_in_both_places(notices):
    def threshold_outside(networks, gap_P, hyper, step):
        loss = -lagrange.multiplier(networks) * (lagrange.annealed_alpha(hyper, step) * gap_P - hyper.target_gap)
        return loss, {"lagrange_loss": loss}

    def alpha_where_it_started(networks, gap_P, hyper, step):  # noqa: ARG001
        loss = -lagrange.multiplier(networks) * hyper.alpha * (gap_P - hyper.target_gap)
        return loss, {"lagrange_loss": loss}

    notices(both_losses_mean_the_same_threshold, lagrange, "lagrange_loss", threshold_outside)
    notices(both_losses_mean_the_same_threshold, lagrange, "lagrange_loss", alpha_where_it_started)


def test_the_multiplier_takes_no_part_in_the_critics_gradient(notices):
    def check():
        case = Case("cql", 31, lagrange=True)
        leaf = case.networks["lagrange"]["log"].clone().requires_grad_()
        leaves = {k: v.clone().requires_grad_() for k, v in case.networks["critic"].items()}
        loss, _ = critic_loss(case, networks={**case.networks, "lagrange": {"log": leaf}, "critic": leaves})
        loss.sum().backward()
        assert leaf.grad is None, "the critics' loss moves the multiplier"

    notices(check, lagrange, "penalty_weight", lambda networks, hyper, _: hyper.alpha * lagrange.multiplier(networks))


# --- the target -------------------------------------------------------------------------------------------------------


def the_backup_takes_a_sample():
    for backup in cql.BACKUPS:
        case = Case("cql", 32, backup=backup)
        y = cql.target(case.networks, case.batch, case.noise, case.hyper)
        other = replace(case.noise, next_action=case.noise.next_action + 0.5)
        changed = cql.target(case.networks, case.batch, other, case.hyper) != y
        assert changed[~case.batch.terminated].all(), f"{backup}: the target does not depend on the action's noise"


def test_the_backup_takes_a_sample_and_not_the_mean_action(notices):
    original = cql.target

    def of_the_mean(networks, batch, noise, hyper):
        return original(networks, batch, replace(noise, next_action=torch.zeros_like(noise.next_action)), hyper)

    notices(the_backup_takes_a_sample, cql, "target", of_the_mean)
    notices(oracle_agrees(), cql, "target", of_the_mean)


def values_come_from_target_critics_and_their_minimum():
    case = Case("cql", 33)
    y = cql.target(case.networks, case.batch, case.noise, case.hyper)
    moved = {k: v + 1.0 for k, v in case.networks["critic"].items()}
    assert torch.equal(cql.target({**case.networks, "critic": moved}, case.batch, case.noise, case.hyper), y), (
        "the target depends on the online critics"
    )
    oracle_agrees()()


def test_the_target_comes_from_the_target_critics(notices):
    original = cql.target

    def online(networks, batch, noise, hyper):
        return original({**networks, "target_critic": networks["critic"]}, batch, noise, hyper)

    notices(values_come_from_target_critics_and_their_minimum, cql, "target", online)


@pytest.mark.parametrize("module", [cql, sac], ids=["cql", "sac"])
def test_no_bootstrap_through_a_termination(notices, module):
    def check():
        case = Case(module.__name__.split(".")[-1], 34)
        y = module.target(case.networks, case.batch, case.noise, case.hyper)
        ended = case.batch.terminated
        assert torch.equal(y[ended], case.batch.reward[ended]), "a terminated row's target is more than its reward"
        assert (y[~ended] != case.batch.reward[~ended]).all(), "a row that goes on is worth its reward only"

    def through(batch, value, hyper):
        return batch.reward + hyper.discount.unsqueeze(-1) * value(batch.next)

    notices(check, multi_step, "bootstrap", through)
    notices(check, multi_step, "bootstrap", lambda batch, value, _: batch.reward + 0.0 * value(batch.next))


def test_a_terminated_row_forgets_even_an_infinite_value():
    """Diverged values at terminal states must not enter as ``0 * inf``."""
    case = Case("cql", 34)
    value = torch.full_like(case.batch.reward, math.inf)
    y = bootstrap(case.batch, lambda _: value, case.hyper)
    assert y[case.batch.terminated].isfinite().all()


def logged(terminated, truncated, reward=(1.0, 2.0, 3.0, 4.0)):
    rows = len(reward)
    observation = np.arange(rows, dtype=np.float32)[:, None]
    return Dataset.from_columns(
        observation=observation,
        action=np.zeros((rows, 1), np.float32),
        reward=np.array(reward, np.float32),
        next_observation=observation + 0.5,
        terminated=np.array(terminated),
        truncated=np.array(truncated),
    )


def test_bootstrap_through_a_truncation(notices):
    """What the training loop hands to the algorithms as ``terminated`` is the termination flag and no other."""

    def check():
        data = logged([False, False, False, True], [False, True, False, False])
        hyper = Hyper([cql.Config(batch_size=64, normalize_observations=False)])
        batch = TrainingData(data, Scaling.fit(data, False), hyper, torch.device("cpu"), ()).sample(
            MemberRng([0], "sample"), 64
        )
        row = batch.observation.squeeze()
        assert set(row.tolist()) == {0.0, 1.0, 2.0, 3.0}, "not every row is drawn, the last of an episode among them"
        assert torch.equal(batch.terminated.squeeze(), row == 3), "a truncation counts as a termination"
        y = bootstrap(batch, lambda _: torch.full_like(batch.reward, 100.0), hyper)
        assert_values(y.squeeze().double(), [r + 1 + (99 if r < 3 else 0) for r in row.tolist()], "targets", 1e-6)
        assert torch.equal(batch.next_observation.squeeze(), row + 0.5), "next observations are not the row's own"

    original = TrainingData.sample

    def any_end(self, rng, batch_size):
        batch = original(self, rng, batch_size)
        return replace(batch, terminated=batch.terminated | (batch.observation[..., 0] == 1))

    notices(check, TrainingData, "sample", any_end)


def only_critics_get_the_critics_gradient():
    for backup in cql.BACKUPS:
        case = Case("cql", 35, backup=backup, lagrange=True)
        leaves = {
            name: {k: v.clone().requires_grad_() for k, v in params.items()} for name, params in case.networks.items()
        }
        critic_loss(case, networks=leaves)[0].sum().backward()
        for name, params in leaves.items():
            for key, leaf in params.items():
                if name == "critic":
                    assert leaf.grad is not None, f"no gradient reaches critic {key}"
                else:
                    assert leaf.grad is None, f"{backup}: the critics' loss sends a gradient to {name} {key}"


def test_targets_get_no_gradient(notices):
    notices(only_critics_get_the_critics_gradient, cql, "target", cql.target.__wrapped__)


def test_proposals_send_no_gradient_to_the_actor(notices):
    def attached(networks, batch, noise, hyper):  # noqa: ARG001
        mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
        action, log_density = nn.sample_tanh_gaussian(mean.unsqueeze(1), log_std.unsqueeze(1), noise.policy)
        q = nn.critic(networks["critic"], batch.observation, action)
        return q.repeat(1, 1, 3, 1), log_density.repeat(1, 3, 1)

    notices(only_critics_get_the_critics_gradient, cql, "propose", attached)


# --- the actor --------------------------------------------------------------------------------------------------------


def changed_networks(state, step):
    """Names of the networks (and optimisers) that ``step()`` changes."""
    before = {n: {k: v.clone() for k, v in p.items()} for n, p in state.networks.items()}
    moments = {n: {k: v.clone() for k, v in o["mean"].items()} for n, o in state.optimizers.items()}
    step()
    names = {n for n, p in state.networks.items() if any(not torch.equal(v, before[n][k]) for k, v in p.items())}
    optimisers = {
        n for n, o in state.optimizers.items() if any(not torch.equal(v, moments[n][k]) for k, v in o["mean"].items())
    }
    return names, optimisers


@pytest.mark.parametrize("module", [cql, sac], ids=["cql", "sac"])
def test_the_actors_gradient_does_not_reach_the_critics(notices, module):
    def check():
        case = Case(module.__name__.split(".")[-1], 36)
        step = partial(module.update_actor, case.state, case.batch, case.noise, case.hyper)
        assert changed_networks(case.state, step) == ({"actor", "temperature"}, {"actor", "temperature"}), (
            "an actor step changes other networks, or not its own"
        )

    original = update_soft_actor

    def leaking(state, batch, noise, hyper, clone=False):
        descend(
            state,
            "critic",
            lambda networks: soft_actor_loss(networks, batch, noise, clone),
            hyper.actor_lr,
            hyper,
        )
        return original(state, batch, noise, hyper, clone)

    notices(check, module, "update_soft_actor", leaking)


def warm_up_follows_the_data():
    case = Case("cql", 37, bc_warmup_steps=1000, actor_lr=3e-3, learn_temperature=False, temperature=1e-3, hidden=(16,))

    def data_log_prob():
        mean, log_std = nn.tanh_gaussian(case.networks["actor"], case.batch.observation)
        return nn.log_prob_tanh_gaussian(mean, log_std, case.batch.action).mean()

    before = data_log_prob()
    for _ in range(200):
        noise = replace(case.noise, actor=MemberRng([0, 1], f"{_}").normal(3, 2).double())
        cql.update_actor(case.state, case.batch, noise, case.hyper)
    assert data_log_prob() > before + 2, "the warm-up does not make the data's actions likelier"


def test_the_bc_warm_up_uses_the_data_action(notices):
    def own_action(state, batch, noise, hyper, clone=False):
        mean, log_std = nn.tanh_gaussian(state.networks["actor"], batch.observation)
        action, _ = nn.sample_tanh_gaussian(mean, log_std, noise)
        return update_soft_actor(state, replace(batch, action=action.detach()), noise, hyper, clone)

    notices(warm_up_follows_the_data, cql, "update_soft_actor", own_action)


def warm_up_ends_when_it_says():
    case = Case("cql", 38, bc_warmup_steps=3)
    moved = replace(case.batch, action=-case.batch.action)
    for step in range(5):
        case.state.step = step
        losses = [
            cql.update_actor(_copied(case.state), batch, case.noise, case.hyper)["actor_loss"]
            for batch in (case.batch, moved)
        ]
        follows_data = not torch.equal(*losses)
        assert follows_data == (step < 3), f"step {step} of a 3-step warm-up: cloning is {follows_data}"


def _copied(state):
    def clone(tree):
        return {k: clone(v) if isinstance(v, dict) else v.clone() for k, v in tree.items()}

    return State(clone(state.networks), clone(state.optimizers), state.step)


def test_the_bc_warm_up_ends_when_it_says(notices):
    original = update_soft_actor

    def forced(clones, *arguments, clone):  # noqa: ARG001
        return original(*arguments, clone=clones)

    notices(warm_up_ends_when_it_says, cql, "update_soft_actor", partial(forced, False))
    notices(warm_up_ends_when_it_says, cql, "update_soft_actor", partial(forced, True))


def temperature_seeks_its_entropy():
    case = Case("cql", 39, target_entropy=[-50.0, 50.0])
    before = temperature(case.networks).clone()
    cql.update_actor(case.state, case.batch, case.noise, case.hyper)
    after = temperature(case.networks)
    assert after[0] < before[0], "the entropy exceeds its target and the temperature does not fall"
    assert after[1] > before[1], "the entropy lies under its target and the temperature does not rise"


def test_the_temperature_moves_the_right_way(notices):
    original = temperature_loss

    def reversed_sign(networks, entropy, target):
        loss, metrics = original(networks, entropy, target)
        return -loss, metrics

    notices(temperature_seeks_its_entropy, losses, "temperature_loss", reversed_sign)


def test_a_fixed_temperature_is_fixed():
    case = Case("cql", 39, learn_temperature=False, temperature=0.3)
    before = case.networks["temperature"]["log"].clone()
    metrics = population.training_step(cql, case.state, case.batch, case.noise, case.hyper)
    assert torch.equal(case.networks["temperature"]["log"], before), "learn_temperature is off, yet it moved"
    assert "temperature_loss" not in metrics


# --- order, targets, identities ---------------------------------------------------------------------------------------


def the_actor_sees_the_updated_critics():
    case = Case("cql", 40, critic_lr=0.1)
    parts = _copied(case.state)
    population.training_step(cql, case.state, case.batch, case.noise, case.hyper)
    cql.update_critic(parts, case.batch, case.noise, case.hyper)
    cql.update_actor(parts, case.batch, case.noise, case.hyper)
    cql.update_target(parts, case.hyper)
    for name, params in parts.networks.items():
        for key, value in params.items():
            assert torch.equal(case.networks[name][key], value), f"a step is not critic, actor, target: {name} {key}"


def test_the_order_is_critic_actor_target(notices):
    def actor_first(algorithm, state, batch, noise, hyper):
        algorithm.update_actor(state, batch, noise, hyper)
        algorithm.update_critic(state, batch, noise, hyper)
        algorithm.update_target(state, hyper)

    def target_first(algorithm, state, batch, noise, hyper):
        algorithm.update_target(state, hyper)
        algorithm.update_critic(state, batch, noise, hyper)
        algorithm.update_actor(state, batch, noise, hyper)

    for mistaken in (actor_first, target_first):
        notices(the_actor_sees_the_updated_critics, population, "training_step", mistaken)


def periods_are_kept():
    case = Case("cql", 41, actor_period=2, target_period=3)
    for step in range(7):
        assert case.state.step == step
        names, _ = changed_networks(
            case.state, partial(population.training_step, cql, case.state, case.batch, case.noise, case.hyper)
        )
        assert "critic" in names, f"step {step}: the critics rest"
        assert ("actor" in names) == (step % 2 == 0), f"step {step}: actor_period 2 is not kept"
        assert ("target_critic" in names) == (step % 3 == 0), f"step {step}: target_period 3 is not kept"


def test_actor_and_target_periods_are_kept(notices):
    original = population.training_step

    def ignored(algorithm, state, batch, noise, hyper):
        hyper = hyper64([replace(c, actor_period=1, target_period=1) for c in hyper.members])
        return original(algorithm, state, batch, noise, hyper)

    notices(periods_are_kept, population, "training_step", ignored)


@pytest.mark.parametrize("module", [cql, sac], ids=["cql", "sac"])
def test_targets_equal_the_critics_before_the_first_step_in_storage_of_their_own(notices, module):
    def check():
        case = Case(module.__name__.split(".")[-1], 42, noisy=False)
        for key, value in case.networks["critic"].items():
            assert torch.equal(case.networks["target_critic"][key], value), f"target {key} does not start as the critic"
        hyper = Hyper(case.configs)
        fresh = module.init(case.spec, hyper, MemberRng([0, 1], "init")).networks
        for key, value in fresh["critic"].items():
            assert fresh["target_critic"][key].data_ptr() != value.data_ptr(), f"target {key} is the critic itself"

    notices(check, shared_networks, "copy", lambda params: params)
    notices(check, shared_networks, "copy", lambda params: {k: 0.9 * v for k, v in params.items()})


def critics_start_apart_and_at_zero():
    hyper = Hyper([cql.Config(hidden=(8, 8))] * 2)
    critic = cql.init(Spec(3, 2), hyper, MemberRng([0, 1], "init")).networks["critic"]
    for key in ("w0", "w1", "w2"):
        assert not torch.equal(critic[key][:, 0], critic[key][:, 1]), "both critics start alike: a minimum of one"
        assert not torch.equal(critic[key][0], critic[key][1]), "both members start alike"
    assert (critic["b2"] == 0).all(), "values do not start around zero"


def test_critics_of_an_ensemble_start_apart(notices):
    original = init_critic

    def alike(spec, hyper, rng):
        return {k: v[:, :1].expand_as(v).clone() for k, v in original(spec, hyper, rng).items()}

    notices(critics_start_apart_and_at_zero, shared_networks, "init_critic", alike)


@pytest.mark.parametrize("backup", cql.BACKUPS)
def test_alpha_zero_leaves_the_td_loss(backup):
    case = Case("cql", 43, alpha=0.0, backup=backup)

    def td(leaves):
        q = nn.critic(leaves, case.batch.observation, case.batch.action)
        y = cql.target(case.networks, case.batch, case.noise, case.hyper)
        return (q - y.unsqueeze(1)).square().mean(-1).sum(-1), {}

    def full(leaves):
        return critic_loss(case, networks={**case.networks, "critic": leaves})

    assert torch.equal(td(case.networks["critic"])[0], full(case.networks["critic"])[0])
    expected, _ = optim.gradients(td, case.networks["critic"])
    found, _ = optim.gradients(full, case.networks["critic"])
    for key, value in expected.items():
        assert_values(found[key], value.tolist(), f"gradient of {key} with alpha 0", 1e-14)


@pytest.mark.parametrize("options", [{}, {"layer_norm": True, "n_critics": 1, "max_grad_norm": 0.5}], ids=str)
def test_sac_is_cql_with_alpha_zero_and_the_entropy_backup_bit_for_bit(options):
    shared = {"batch_size": 8, "hidden": (9, 7), "actor_period": 2, **options}
    seeds = [3, 4]
    pair = (
        (cql, Hyper([cql.Config(alpha=0.0, backup="entropy", **shared)] * 2)),
        (sac, Hyper([sac.Config(**shared)] * 2)),
    )
    states = [m.init(Spec(3, 2), hyper, MemberRng(seeds, "init")) for m, hyper in pair]
    rng, cql_rng = MemberRng(seeds, "data"), MemberRng(seeds, "noise")
    for step in range(20):
        batch = Case("sac", step, rows=8).batch.map(lambda t: t.float() if t.is_floating_point() else t)
        drawn = cql.draw(Spec(3, 2), pair[0][1], cql_rng)
        drawn = replace(drawn, next_action=rng.normal(8, 2), actor=rng.normal(8, 2))
        found = population.training_step(cql, states[0], batch, drawn, pair[0][1])
        expected = population.training_step(
            sac, states[1], batch, sac.Noise(drawn.next_action, drawn.actor), pair[1][1]
        )
        for name in expected:
            assert torch.equal(found[name], expected[name]), f"step {step}: metric {name} differs"
    for name, params in states[1].networks.items():
        for key, value in params.items():
            assert torch.equal(states[0].networks[name][key], value), f"{name} {key} differs after 20 steps"


def test_annealing_moves_from_alpha_to_alpha_final(notices):
    def check():
        case = Case("cql", 44, alpha=[5.0, 0.0], alpha_final=[1.0, 4.0], alpha_anneal_steps=100)
        for step, expected in ((0, [5.0, 0.0]), (25, [4.0, 1.0]), (100, [1.0, 4.0]), (1000, [1.0, 4.0])):
            assert_values(
                lagrange.penalty_weight(case.networks, case.hyper, step), expected, f"alpha at step {step}", 1e-6
            )
        case.state.step = 50
        metrics = population.training_step(cql, case.state, case.batch, case.noise, case.hyper)
        assert_values(metrics["alpha"], [3.0, 2.0], "alpha used by an update at step 50", 1e-6)

    notices(check, lagrange, "penalty_weight", lambda _n, hyper, _s: hyper.alpha)
    without_step = cql.conservative_step(lambda *arguments: cql.critic_loss(*arguments[:4]))
    notices(check, cql, "update_critic", without_step)

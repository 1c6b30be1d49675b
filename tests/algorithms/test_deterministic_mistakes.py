"""Mistakes of TD3+BC and ReBRAC that raise no error: made on purpose, and noticed."""

from dataclasses import replace

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values, hyper64
from oracles import deterministic as oracle
from prudent import nn
from prudent.algorithms import rebrac, td3_bc
from prudent.algorithms.shared import multi_step
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import q_min
from prudent.engine import population
from prudent.nn import optim

MODULES = {"td3_bc": td3_bc, "rebrac": rebrac}
# Noise beyond its clip, actions beyond their limits, penalties that count.
LARGE = {"policy_noise": 2.0, "noise_clip": 0.9, "rows": 6}
OPTIONS = {"td3_bc": LARGE, "rebrac": {**LARGE, "critic_penalty": 2.0, "actor_penalty": 3.0}}


def critics_agree(name):
    """A check: the critics' loss is the oracle's."""

    def check():
        case = Case(name, 21, **OPTIONS[name])
        loss_P, _ = MODULES[name].critic_loss(case.networks, case.batch, case.noise, case.hyper)
        penalty = OPTIONS[name].get("critic_penalty", 0.0)
        expected = [oracle.critic_loss(*case.problem(p), penalty=penalty) for p in range(2)]
        assert_values(loss_P, expected, "critic loss")

    return check


def actors_agree(name):
    """A check: the actor's loss and its gradient are the oracle's, where Q has both signs."""

    def check():
        case = Case(name, 22, **OPTIONS[name])
        q_PEB = nn.critic(
            case.networks["critic"], case.batch.observation, td3_bc.act(case.networks, case.batch.observation)[0]
        )
        climbed_PB = q_PEB[:, 0] if name == "td3_bc" else q_PEB.amin(1)
        case.networks["critic"]["b2"] -= climbed_PB.median(-1).values.reshape(-1, 1, 1)

        def loss(leaves):
            return MODULES[name].actor_loss({**case.networks, "actor": leaves}, case.batch, case.hyper)

        loss_P, _ = loss(case.networks["actor"])
        found, _ = optim.gradients(loss, case.networks["actor"])
        expected, of_ensemble = {
            "td3_bc": (oracle.td3_bc_actor_loss, oracle.first),
            "rebrac": (oracle.rebrac_actor_loss, min),
        }[name]
        net, rows, _, config = case.problem(0)
        divisor = oracle.size(net, rows, of_ensemble)
        assert_values(loss_P[0], expected(net, rows, config, divisor), "actor loss")
        own = {k: g[0].numpy() for k, g in found.items()}
        assert_gradients(own, net.actor, lambda: expected(net, rows, config, divisor), 0, "actor gradient")

    return check


both = pytest.mark.parametrize("name", MODULES)


@both
def test_the_noise_on_the_target_action_is_clipped(notices, name):
    original = td3_bc.smoothed_action

    def unclipped(networks, observation, noise, hyper):
        wide = hyper64([replace(c, noise_clip=1e9) for c in hyper.members])
        return original(networks, observation, noise, wide)

    notices(critics_agree(name), td3_bc, "smoothed_action", unclipped)


@both
def test_the_target_action_is_clipped(notices, name):
    def outside(networks, observation, noise, hyper):
        limit_P11 = hyper.noise_clip.reshape(-1, 1, 1)
        shift = (hyper.policy_noise.reshape(-1, 1, 1) * noise.next_action).clamp(-limit_P11, limit_P11)
        return td3_bc.policy(networks["target_actor"], observation) + shift

    notices(critics_agree(name), td3_bc, "smoothed_action", outside)


@both
def test_the_target_has_its_noise(notices, name):
    def calm(networks, observation, noise, hyper):  # noqa: ARG001
        return td3_bc.policy(networks["target_actor"], observation)

    notices(critics_agree(name), td3_bc, "smoothed_action", calm)


@both
def test_the_target_action_is_that_of_the_target_actor(notices, name):
    original = td3_bc.smoothed_action

    def online(networks, observation, noise, hyper):
        return original({**networks, "target_actor": networks["actor"]}, observation, noise, hyper)

    notices(critics_agree(name), td3_bc, "smoothed_action", online)


@both
def test_the_target_is_valued_by_the_target_critics(notices, name):
    original = MODULES[name].target

    def online(networks, batch, noise, hyper):
        return original({**networks, "target_critic": networks["critic"]}, batch, noise, hyper)

    notices(critics_agree(name), MODULES[name], "target", online)


@both
def test_deterministic_targets_stop_at_terminations(notices, name):
    original = bootstrap

    def through(batch, value, hyper):
        return original(replace(batch, terminated=torch.zeros_like(batch.terminated)), value, hyper)

    notices(critics_agree(name), multi_step, "bootstrap", through)


@both
def test_the_divisor_of_q_gets_no_gradient(notices, name):
    notices(actors_agree(name), td3_bc, "relative", lambda q_PB: q_PB.mean(-1) / q_PB.abs().mean(-1))


@both
def test_q_is_divided_by_its_size_and_not_by_its_mean(notices, name):
    notices(actors_agree(name), td3_bc, "relative", lambda q_PB: q_PB.mean(-1) / q_PB.detach().mean(-1).abs())


def test_td3_bc_averages_the_squared_error_over_features(notices):
    def summed(action, data_action):
        return (action - data_action).square().sum(-1).mean(-1)

    notices(actors_agree("td3_bc"), td3_bc, "mean_squared_error", summed)


def test_rebrac_sums_the_squared_distance_over_features(notices):
    def averaged(action, data_action):
        return (action - data_action).square().mean(-1)

    notices(critics_agree("rebrac"), rebrac, "squared_distance", averaged)
    notices(actors_agree("rebrac"), rebrac, "squared_distance", averaged)


def test_the_critics_penalty_keeps_to_rows_whose_next_action_is_known(notices):
    def unmasked(action, data_action, known_PB):  # noqa: ARG001
        return rebrac.squared_distance(action, data_action)

    notices(critics_agree("rebrac"), rebrac, "known_distance", unmasked)


def test_the_critics_penalty_is_against_the_next_action_of_the_data(notices):
    original = rebrac.target

    def against_this_action(networks, batch, noise, hyper):
        return original(networks, replace(batch, next_action=batch.action), noise, hyper)

    notices(critics_agree("rebrac"), rebrac, "target", against_this_action)


def test_the_critics_penalty_is_discounted_and_ends_with_the_episode(notices):
    def outside_the_bootstrap(networks, batch, noise, hyper):
        y_PB = td3_bc.target(networks, batch, noise, hyper)
        action = td3_bc.smoothed_action(networks, batch.next_observation, noise, hyper)
        distance_PB = rebrac.known_distance(action, batch.next_action, batch.next_action_known)
        return y_PB - hyper.critic_penalty.unsqueeze(-1) * distance_PB

    notices(critics_agree("rebrac"), rebrac, "target", outside_the_bootstrap)


def test_td3_bc_climbs_the_first_critic(notices):
    def smallest(networks, batch, hyper):
        action = td3_bc.policy(networks["actor"], batch.observation)
        q_PB = q_min(networks, batch.observation, action)
        return td3_bc.mean_squared_error(action, batch.action) - hyper.alpha * td3_bc.relative(q_PB), {}

    notices(actors_agree("td3_bc"), td3_bc, "actor_loss", smallest)


@both
def test_actor_and_targets_are_delayed(notices, name):
    def check():
        case = Case(name, 23)
        for step in range(5):
            before = {n: {k: v.clone() for k, v in p.items()} for n, p in case.networks.items()}
            population.training_step(MODULES[name], case.state, case.batch, case.noise, case.hyper)
            moved = {n for n, p in case.networks.items() if any(not torch.equal(v, before[n][k]) for k, v in p.items())}
            delayed = {"actor", "target_actor", "target_critic"} if step % 2 == 0 else set()
            assert moved == {"critic"} | delayed, f"step {step} moves {sorted(moved)}"

    original = population.training_step

    def every_step(algorithm, state, batch, noise, hyper):
        hyper = hyper64([replace(c, actor_period=1, target_period=1) for c in hyper.members])
        return original(algorithm, state, batch, noise, hyper)

    notices(check, population, "training_step", every_step)

"""Targets over several steps, of every algorithm, against loops along the log."""

import math

import pytest

from helpers.cases import assert_values
from helpers.trajectories import TrajectoryCase
from oracles import deterministic, discrete, losses
from oracles import multi_step as oracle
from oracles.networks import q, sample
from prudent.algorithms import cql, discrete_cql, rebrac, sac, td3_bc
from prudent.algorithms.shared import implicit as shared_implicit

SOFT = {"n_critics": 3, "temperature": [0.3, 2.0]}


def cql_value(net, row, b, noise, c):
    return losses.next_value(net, row, b, noise, c)


def sac_value(net, row, b, noise, _c):
    action, log_prob = sample(net.actor, row.next_observation, noise.next_action[b])
    worst = min(q(critic, row.next_observation, action) for critic in net.target_critic)
    return worst - math.exp(net.log_tau) * log_prob


def td3_bc_value(net, row, b, noise, c):
    action = deterministic.next_action(net, row, noise.next_action[b], c)
    return min(q(critic, row.next_observation, action) for critic in net.target_critic)


def rebrac_value(net, row, b, noise, c):
    action = deterministic.next_action(net, row, noise.next_action[b], c)
    value = min(q(critic, row.next_observation, action) for critic in net.target_critic)
    known = row.next_action_known
    return value - (c.critic_penalty * deterministic.distance(action, row.next_action) if known else 0.0)


def implicit_value(net, row, _b, _noise, _c):
    return discrete.value(net, row.next_observation)


def discrete_value(net, row, _b, _noise, c):
    count = net.critic[0]["b2"].shape[-1] // c.n_quantiles
    best = discrete.greedy(net.critic, row.next_observation, row.next_mask, count)
    each = [discrete.quantiles(critic, row.next_observation, count)[best] for critic in net.target_critic]
    return min(each, key=losses.mean)


CASES = {
    "cql": (cql_value, {"backup": "min"}),
    "cql entropy": (cql_value, {"backup": "entropy", **SOFT}),
    "cql max": (cql_value, {"backup": "max"}),
    "cql soft": (cql_value, {"backup": "soft", "cql_temperature": [0.5, 2.0]}),
    "cal_ql": (cql_value, {}),
    "cql_redq": (cql_value, {"n_critics": 4}),
    "sac": (sac_value, SOFT),
    "td3_bc": (td3_bc_value, {"policy_noise": 1.5, "noise_clip": 0.9}),
    "rebrac": (rebrac_value, {"critic_penalty": 2.0, "hidden": (6, 5)}),
    "iql": (implicit_value, {}),
    "ciql": (implicit_value, {}),
    "sparse_ql": (implicit_value, {}),
    "discrete_iql": (implicit_value, {}),
    "discrete_iql masked": (implicit_value, {"masked": True}),
    "discrete_cql": (discrete_value, {"n_critics": 2}),
    "discrete_cql masked": (discrete_value, {"masked": True}),
}
WINDOWS = {
    "n 5": {"n_steps": 5},
    "n 5, traces": {"n_steps": 5, "trace": [0.3, 0.8]},
    "n 3, a trace of 1": {"n_steps": 3, "trace": [1.0, 0.5]},
    "n 4, a trace of 0": {"n_steps": 4, "trace": [0.0, 0.9]},
    "n 2": {"n_steps": 2, "trace": [0.6, 1.0]},
    "n 11, longer than most episodes": {"n_steps": 11, "trace": [1.0, 0.95]},
    "irregular time": {"n_steps": 5, "trace": [0.3, 1.0], "with_dt": True, "discount": [0.9, 0.5]},
    "irregular time, n-step returns": {"n_steps": 3, "with_dt": True, "discount": [0.9, 0.5]},
    "other rewards": {"n_steps": 3, "trace": 0.4, "reward_scale": [2.0, 0.5], "reward_shift": [-1.0, 0.25]},
}


def case_of(name: str, **options) -> TrajectoryCase:
    algorithm = name.split()[0]
    return TrajectoryCase(algorithm, **CASES[name][1], **options)


def found_target(case: TrajectoryCase):
    """The algorithm's target, (P, B)."""
    networks, batch, hyper = case.networks, case.batch, case.hyper
    module = case.algorithm
    if module.__name__.endswith("cql_redq"):
        chosen = module.subset(networks["target_critic"], case.noise.target_subset)
        return cql.target({**networks, "target_critic": chosen}, batch, case.noise, hyper)
    if module in (cql, sac, td3_bc, rebrac):
        return module.target(networks, batch, case.noise, hyper)
    if module.__name__.endswith("cal_ql"):
        return cql.target(networks, batch, case.noise, hyper)
    if module is discrete_cql:
        return module.target(networks, batch, hyper).squeeze(-1)
    return shared_implicit.target(networks, batch, hyper)


def expected_target(case: TrajectoryCase, name: str, p: int) -> list[float]:
    net, noise, config = case.net(p), case.noises(p), case.configs[p]
    if case.algorithm.__name__.endswith("cql_redq"):
        net.target_critic = [net.target_critic[e] for e in noise.target_subset]
    log, value = case.log(config), CASES[name][0]

    def of_row(b: int):
        found = lambda row: value(net, row, b, noise, config)  # noqa: E731
        return (lambda row: found(row)[0]) if name.startswith("discrete_cql") else found

    return [oracle.target(log, int(i), config, of_row(b)) for b, i in enumerate(case.drawn[p])]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("name", CASES)
def test_targets_equal_a_loop_along_the_log(name, window):
    case = case_of(name, **WINDOWS[window])
    found = found_target(case)
    for p in range(case.members):
        assert_values(found[p], expected_target(case, name, p), f"target of {name}, {window}")

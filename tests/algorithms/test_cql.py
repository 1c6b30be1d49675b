"""CQL against the oracle: values and gradients, under every option."""

import math

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import losses as oracle
from prudent.algorithms import cql
from prudent.algorithms.shared import lagrange
from prudent.algorithms.shared.losses import soft_actor_loss, temperature_loss
from prudent.nn import optim

OPTIONS = {
    "defaults": {},
    "alpha differs between members": {"alpha": [5.0, 0.3]},
    "alpha zero": {"alpha": 0.0},
    "annealed, under way": {"alpha": [5.0, 0.0], "alpha_final": [1.0, 4.0], "alpha_anneal_steps": 100, "step": 25},
    "annealed, over": {"alpha": 5.0, "alpha_final": 1.0, "alpha_anneal_steps": 100, "step": 500},
    "lagrange": {"lagrange": True, "target_gap": [0.8, -3.0]},
    "lagrange, annealed": {
        "lagrange": True,
        "alpha": 5.0,
        "alpha_final": 1.0,
        "alpha_anneal_steps": 10,
        "step": 5,
    },
    "lagrange without importance sampling": {"lagrange": True, "importance_sampling": False},
    "no importance sampling": {"importance_sampling": False},
    "cql temperature": {"cql_temperature": [0.5, 3.0]},
    "cql temperature without importance sampling": {"cql_temperature": [0.5, 3.0], "importance_sampling": False},
    "one action per proposal": {"n_actions": 1},
    "five actions per proposal": {"n_actions": 5},
    "uniform proposals only": {"proposals": ("uniform",)},
    "policy proposals only": {"proposals": ("policy",)},
    "next-policy proposals only": {"proposals": ("next_policy",)},
    "two kinds of proposals": {"proposals": ("next_policy", "uniform")},
    "gap clipped from below": {"gap_clip": (3.0, math.inf)},
    "gap clipped on both sides": {"gap_clip": (2.7, 3.2), "lagrange": True},
    "entropy backup": {"backup": "entropy", "temperature": [0.3, 2.0]},
    "entropy backup, fixed temperature": {"backup": "entropy", "learn_temperature": False},
    "max backup": {"backup": "max", "n_actions": 4},
    "soft backup": {"backup": "soft", "n_actions": 4, "cql_temperature": [1.0, 0.4]},
    "soft backup of one action": {"backup": "soft", "n_actions": 1},
    "discount per unit of time": {"with_dt": True, "discount": [0.9, 0.5]},
    "discount per unit of time, soft": {"with_dt": True, "discount": 0.9, "backup": "soft"},
    "discount zero": {"discount": 0.0},
    "layer normalisation": {"layer_norm": True},
    "one critic": {"n_critics": 1},
    "four critics": {"n_critics": 4},
    "one member": {"members": 1},
    "one member, one critic": {"members": 1, "n_critics": 1},
    "three members": {"members": 3, "alpha": [1.0, 2.0, 3.0]},
    "one hidden layer": {"hidden": (7,)},
    "three hidden layers": {"hidden": (5, 4, 6), "layer_norm": True},
    "one observation feature, one action feature": {"state_size": 1, "action_size": 1},
    "seven rows, five action features": {"rows": 7, "action_size": 5},
    "one row": {"rows": 1},
}


def make(name: str, seed: int = 0) -> tuple[Case, int]:
    options = dict(OPTIONS[name])
    step = options.pop("step", 0)
    return Case("cql", seed, **options), step


@pytest.mark.parametrize("name", OPTIONS)
def test_critic_loss_equals_the_oracle(name):
    for seed in range(3):
        case, step = make(name, seed)
        loss_P, metrics = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper, step)
        expected = [oracle.cql_critic_loss(*case.problem(p), step) for p in range(case.members)]
        assert_values(loss_P, expected, f"critic loss, {name}")
        assert loss_P.shape == (case.members,)
        assert all(m.shape == (case.members,) for m in metrics.values()), "metrics must have shape (P,)"


@pytest.mark.parametrize("name", OPTIONS)
def test_critic_gradients_equal_finite_differences(name):
    case, step = make(name, seed=7)
    found, _ = optim.gradients(
        lambda leaves: cql.critic_loss({**case.networks, "critic": leaves}, case.batch, case.noise, case.hyper, step),
        case.networks["critic"],
    )
    for p in range(case.members):
        net, rows, noise, config = case.problem(p)
        for e, critic in enumerate(net.critic):
            assert_gradients(
                {k: g[p, e].numpy() for k, g in found.items()},
                critic,
                lambda: oracle.cql_critic_loss(net, rows, noise, config, step),  # noqa: B023
                seed=10 * p + e,
                what=f"critic gradient, {name}, member {p}, critic {e}",
                per_tensor=1 if name != "defaults" else 6,
            )


def test_gap_clip_cases_do_clip():
    for name in ("gap clipped from below", "gap clipped on both sides"):
        case, _ = make(name)
        c = case.configs[0]
        unclipped = Case("cql", 0, **{**OPTIONS[name], "gap_clip": None})
        net, rows, noise, free = unclipped.problem(0)
        found = [oracle.gaps(net, net.critic[0], row, b, noise, free)[0] for b, row in enumerate(rows)]
        assert any(g < c.gap_clip[0] for g in found), f"{name}: no gap is clipped, so the case tests nothing: {found}"


@pytest.mark.parametrize("backup", cql.BACKUPS)
def test_target_equals_the_oracle(backup):
    case = Case("cql", 3, backup=backup, with_dt=True, discount=[0.9, 0.99], n_actions=3)
    y_PB = cql.target(case.networks, case.batch, case.noise, case.hyper)
    for p in range(case.members):
        net, rows, noise, c = case.problem(p)
        assert_values(y_PB[p], [oracle.bellman_target(net, r, b, noise, c) for b, r in enumerate(rows)], backup)


@pytest.mark.parametrize("name", [n for n in OPTIONS if n.startswith(("defaults", "cql", "no imp", "five", "gap"))])
def test_both_conventions_of_the_gap_equal_the_oracle(name):
    case, step = make(name, seed=4)
    _, metrics = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper, step)
    for k, metric in enumerate(("cql_gap", "cql_gap_normalized")):
        expected = []
        for p in range(case.members):
            net, rows, noise, c = case.problem(p)
            expected.append(oracle.mean(oracle.mean_gaps(net, critic, rows, noise, c)[k] for critic in net.critic))
        assert_values(metrics[metric], expected, metric)


@pytest.mark.parametrize("options", [{}, {"importance_sampling": False}, {"backup": "entropy"}], ids=str)
def test_q_metrics_are_the_means_they_say(options):
    case = Case("cql", 5, n_actions=3, **options)
    _, metrics = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper)
    for p in range(case.members):
        net, rows, noise, c = case.problem(p)
        for source, metric in cql.Q_METRICS.items():
            only = cql.Config(**{**vars(c), "proposals": (source,)})
            values = [
                oracle.q(critic, row.observation, a)
                for critic in net.critic
                for b, row in enumerate(rows)
                for a, _ in oracle.proposals(net, row, b, noise, only)
            ]
            assert_values(metrics[metric][p], oracle.mean(values), metric)
        data = oracle.mean(oracle.q(critic, r.observation, r.action) for critic in net.critic for r in rows)
        assert_values(metrics["q_data"][p], data, "q_data")


def test_no_metric_is_reported_for_a_proposal_that_is_not_drawn():
    case = Case("cql", proposals=("next_policy",))
    _, metrics = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper)
    assert metrics.keys() & set(cql.Q_METRICS.values()) == {"q_next_policy"}
    assert case.noise.uniform is None
    assert case.noise.policy is None


@pytest.mark.parametrize("clone", [False, True], ids=["critic", "bc warm-up"])
@pytest.mark.parametrize(
    "options", [{}, {"n_critics": 1}, {"layer_norm": True}, {"hidden": (4,)}, {"members": 1}], ids=str
)
def test_actor_loss_and_gradients_equal_the_oracle(clone, options):
    case = Case("cql", 6, temperature=0.7, **options)
    # A data action at the bound, where an unclipped log-probability would be infinite.
    case.batch.action[:, 0, 0] = 1.0

    def loss(leaves):
        return soft_actor_loss({**case.networks, "actor": leaves}, case.batch, case.noise.actor, clone)

    loss_P, metrics = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows, noise, _ = case.problem(p)
        assert_values(loss_P[p], oracle.actor_loss(net, rows, noise, clone), "actor loss")
        entropy = -oracle.mean(oracle.sample(net.actor, r.observation, noise.actor[b])[1] for b, r in enumerate(rows))
        assert_values(metrics["entropy"][p], entropy, "entropy")
        own = {k: g[p].numpy() for k, g in found.items()}
        assert_gradients(
            own,
            net.actor,
            lambda: oracle.actor_loss(net, rows, noise, clone),  # noqa: B023
            seed=p,
            what="actor gradient",
            per_tensor=4,
        )


@pytest.mark.parametrize("target_entropy", [None, [-1.0, 0.5]], ids=["default", "given"])
def test_temperature_loss_and_gradient_equal_the_oracle(target_entropy):
    case = Case("cql", 8, target_entropy=target_entropy)
    goal = [-2.0, -2.0] if target_entropy is None else target_entropy
    _, metrics = soft_actor_loss(case.networks, case.batch, case.noise.actor, False)
    wanted = -2.0 if target_entropy is None else case.hyper.target_entropy

    def loss(leaves):
        return temperature_loss({**case.networks, "temperature": leaves}, metrics["entropy"].detach(), wanted)

    found, reported = optim.gradients(loss, case.networks["temperature"])
    for p in range(2):
        net, rows, noise, _ = case.problem(p)
        value = oracle.temperature_loss(net, rows, noise, goal[p], net.log_tau)
        slope = oracle.temperature_loss(net, rows, noise, goal[p], 1.0)  # the loss is linear in log tau
        assert_values(reported["temperature_loss"][p], value, "temperature loss")
        assert_values(reported["temperature"][p], math.exp(net.log_tau), "temperature")
        assert_values(found["log"][p], slope, "gradient of the temperature loss")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"importance_sampling": False},
        {"n_critics": 3},
        {"gap_clip": (2.7, 3.2)},
        {"alpha_final": [1.0, 4.0], "alpha_anneal_steps": 40},
    ],
    ids=str,
)
def test_lagrange_loss_and_gradient_equal_the_oracle(options):
    case = Case("cql", 9, lagrange=True, target_gap=[0.8, -2.0], alpha=[5.0, 2.0], **options)
    _, metrics = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper)
    gap_P = metrics["cql_gap_normalized"].detach()

    def loss(leaves):
        return lagrange.lagrange_loss({**case.networks, "lagrange": leaves}, gap_P, case.hyper, 10)

    found, reported = optim.gradients(loss, case.networks["lagrange"])
    expected = [oracle.lagrange_loss(*case.problem(p), 10) for p in range(2)]
    assert_values(reported["lagrange_loss"], expected, "lagrange loss")
    assert_values(found["log"], expected, "gradient of the lagrange loss: an exponential is its own derivative")


def test_lagrange_multiplier_stays_within_zero_and_a_million():
    case = Case("cql", lagrange=True)
    case.networks["lagrange"]["log"] = torch.tensor([100.0, -100.0], dtype=torch.float64)
    found = lagrange.multiplier(case.networks)
    assert found[0] == 1e6
    assert 0 <= found[1] < 1e-40

"""First values: constant and supervised, against the oracle and against what they are for."""

from dataclasses import replace

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import losses as oracle
from prudent import nn
from prudent.algorithms import cql, sac
from prudent.algorithms.shared.updates import State, initialise_values
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Spec

LOSSES = {
    "cql": lambda net, rows, noise, c: oracle.cql_critic_loss(net, rows, noise, c, supervised=True),
    "sac": lambda net, rows, *_: oracle.regression_loss(net, rows),
}


@pytest.mark.parametrize(
    ("name", "options"),
    [("cql", {}), ("cql", {"lagrange": True, "layer_norm": True}), ("sac", {}), ("sac", {"n_critics": 1})],
)
def test_supervised_critic_loss_and_gradients_equal_the_oracle(name, options):
    case = Case(name, 10, **options)
    more = (0,) if name == "cql" else ()

    def loss(leaves):
        networks = {**case.networks, "critic": leaves}
        return case.algorithm.critic_loss(networks, case.batch, case.noise, case.hyper, *more, case.batch.return_to_go)

    loss_P, metrics = loss(case.networks["critic"])
    found, _ = optim.gradients(loss, case.networks["critic"])
    taken = case.algorithm.update_supervised(_copied(case.state), case.batch, case.noise, case.hyper)
    assert torch.equal(taken["critic_loss"], metrics["critic_loss"]), "a supervised step minimises another loss"
    for p in range(2):
        problem = case.problem(p)
        assert_values(loss_P[p], LOSSES[name](*problem), "supervised loss")
        for e, critic in enumerate(problem[0].critic):
            own = {k: g[p, e].numpy() for k, g in found.items()}
            assert_gradients(own, critic, lambda: LOSSES[name](*problem), e, "supervised gradient")  # noqa: B023


@pytest.mark.parametrize("module", [cql, sac], ids=["cql", "sac"])
def test_the_supervised_actor_clones(module):
    case = Case(module.__name__.split(".")[-1], 11)
    metrics = module.update_supervised(_copied(case.state), case.batch, case.noise, case.hyper)
    expected = []
    for p in range(2):
        net, rows, noise, _ = case.problem(p)
        expected.append(oracle.actor_loss(net, rows, noise, clone=True))
    assert_values(metrics["actor_loss"], expected, "actor loss of a supervised step")


def start(value_init, returns_P, supervised=None, **options):
    hyper = Hyper([cql.Config(value_init=value_init, hidden=(16,), batch_size=32, **options)] * 2)
    state = cql.init(Spec(1, 1), hyper, MemberRng([0, 1], "init"))
    before = _copied(state)
    metrics = initialise_values(
        state, torch.tensor(returns_P), supervised(state, hyper) if supervised else iter(()), hyper
    )
    return before, state, metrics


def test_zero_changes_nothing():
    before, state, metrics = start("zero", [3.0, -5.0])
    assert metrics == {}
    for name, params in before.networks.items():
        for key, value in params.items():
            assert torch.equal(state.networks[name][key], value), f"value_init zero changes {name} {key}"


def test_constant_moves_every_critic_and_target_by_the_members_own_mean_return():
    before, state, _ = start("constant", [3.0, -5.0])
    s, a = torch.randn(2, 4, 1), torch.randn(2, 4, 1).tanh()
    for name in ("critic", "target_critic"):
        rise = nn.critic(state.networks[name], s, a) - nn.critic(before.networks[name], s, a)
        assert (rise - torch.tensor([3.0, -5.0]).reshape(2, 1, 1)).abs().max() < 1e-5, f"{name} does not start there"
    for key, value in state.networks["critic"].items():
        assert state.networks["target_critic"][key].data_ptr() != value.data_ptr(), f"target {key} is the critic itself"
    assert torch.equal(state.networks["actor"]["w0"], before.networks["actor"]["w0"])


def test_regression_learns_values_and_behaviour_and_starts_adam_afresh():
    """Return-to-go 10 + 2 s, behaviour 0.4: after the supervised steps critics, targets and actor know them."""

    def supervised(state, hyper):
        rng, noise_rng = MemberRng([0, 1], "data"), MemberRng([0, 1], "noise")

        def step():
            s = rng.normal(32, 1)
            a = (0.4 + 0.2 * rng.normal(32, 1)).clamp(-1, 1)
            batch = Batch(s, a, s[..., 0], s, torch.zeros(2, 32, dtype=torch.bool), return_to_go=10 + 2 * s[..., 0])
            return cql.update_supervised(state, batch, cql.draw(Spec(1, 1), hyper, noise_rng), hyper)

        while True:
            yield step

    _, state, metrics = start(
        "regression",
        [10.0, 10.0],
        supervised,
        value_init_steps=400,
        alpha=0.0,
        critic_lr=5e-3,
        actor_lr=5e-3,
        temperature=0.01,
        learn_temperature=False,
    )
    s = torch.linspace(-1, 1, 5).reshape(1, 5, 1).expand(2, -1, -1)
    a = torch.full_like(s, 0.4)
    for name in ("critic", "target_critic"):
        error = (nn.critic(state.networks[name], s, a) - (10 + 2 * s[..., 0]).unsqueeze(1)).abs().max()
        assert error < 0.4, f"{name} is {float(error):.2f} away from the return-to-go"
    assert (cql.act(state.networks, s)[0] - 0.4).abs().max() < 0.1, "the actor does not clone"
    assert metrics["td_error"].max() < 0.1
    assert state.step == 0
    for name, own in state.optimizers.items():
        assert float(own["count"]) == 0, f"Adam of {name} does not start afresh"
        assert all((m == 0).all() for m in own["mean"].values()), f"Adam of {name} keeps its moments"


def test_supervised_steps_ignore_rewards_and_next_states():
    case = Case("cql", 12, proposals=("uniform", "policy"))
    other = replace(case.batch, reward=case.batch.reward + 100, terminated=~case.batch.terminated)
    losses = [cql.update_supervised(_copied(case.state), b, case.noise, case.hyper) for b in (case.batch, other)]
    assert torch.equal(losses[0]["td_error"], losses[1]["td_error"]), "a supervised step looks at the rewards"


def _copied(state):
    def clone(tree):
        return {k: clone(v) if isinstance(v, dict) else v.clone() for k, v in tree.items()}

    return State(clone(state.networks), clone(state.optimizers), state.step)

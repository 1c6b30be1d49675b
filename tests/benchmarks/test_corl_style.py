"""The step that the library is compared with computes the same loss: CQL(H) on the same networks, batch and draws."""

import pytest
import torch
from benchmarks.peers import corl_style

from benchmarks import work
from prudent.algorithms import cql
from prudent.types import Batch, Hyper

ROWS, PROPOSALS = 5, 3


def member(params, index=()):
    """Parameters of the first member, and of one critic, as PyTorch's modules lay them out."""
    chosen = {name: p[(0, *index)].double() for name, p in params.items()}
    layers = [(chosen[f"w{i}"].T, chosen[f"b{i}"]) for i in range(len(chosen) // 2)]
    return {
        f"net.{2 * i}.{what}": t
        for i, pair in enumerate(layers)
        for what, t in zip(("weight", "bias"), pair, strict=True)
    }


@pytest.fixture
def both():
    """Loss and gradient of both, and the parts."""
    config = cql.Config(hidden=(8, 8), batch_size=ROWS, n_actions=PROPOSALS, alpha=10.0)
    population = work.untrained(work.SPEC, config)
    generator = torch.Generator().manual_seed(0)

    def draw(*shape, uniform=False):
        made = torch.empty(*shape, dtype=torch.float64)
        return made.uniform_(-1, 1, generator=generator) if uniform else made.normal_(generator=generator)

    size, actions = work.OBSERVATION, work.ACTION
    batch = {
        "observation": draw(ROWS, size),
        "action": draw(ROWS, actions, uniform=True),
        "reward": draw(ROWS),
        "next_observation": draw(ROWS, size),
        "terminated": torch.tensor([0.0, 1, 0, 0, 0], dtype=torch.float64),
    }
    draws = corl_style.Draws(
        next=draw(ROWS, actions),
        uniform=draw(ROWS, PROPOSALS, actions, uniform=True),
        policy=draw(ROWS, PROPOSALS, actions),
        next_policy=draw(ROWS, PROPOSALS, actions),
    )
    networks = {name: {k: p.double() for k, p in net.items()} for name, net in population.state.networks.items()}
    for parameter in networks["critic"].values():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)).requires_grad_()

    sizes = size, actions, config.hidden
    actor = corl_style.Actor(*sizes).double()
    actor.load_state_dict(member(networks["actor"]))
    critics, targets = ([corl_style.Critic(*sizes).double() for _ in range(2)] for _ in range(2))
    for name, modules in (("critic", critics), ("target_critic", targets)):
        for index, module in enumerate(modules):
            module.load_state_dict(member({k: p.detach() for k, p in networks[name].items()}, (index,)))

    theirs, parts = corl_style.critic_loss(actor, critics, targets, batch, PROPOSALS, 10.0, draws)
    own_batch = Batch(
        **{k: t.unsqueeze(0) for k, t in batch.items()} | {"terminated": batch["terminated"].bool().unsqueeze(0)}
    )
    noise = cql.Noise(
        next_action=draws.next.unsqueeze(0),
        actor=torch.zeros(1, ROWS, actions),
        **{k: getattr(draws, k).transpose(0, 1).unsqueeze(0) for k in ("uniform", "policy", "next_policy")},
    )
    ours, metrics = cql.critic_loss(networks, own_batch, noise, Hyper([config]))
    theirs.backward()
    ours.sum().backward()
    return ours, metrics, theirs, parts, networks["critic"], critics


def test_the_loss_is_the_same(both):
    ours, metrics, theirs, parts, *_ = both
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-6), "CORL-style critic loss"
    gap = (parts["gap_0"] + parts["gap_1"]) / 2
    assert gap.item() == pytest.approx(metrics["cql_gap"].item(), rel=1e-6), "conservative gap"


def test_the_gradient_is_the_same(both):
    *_, own, critics = both
    for index, critic in enumerate(critics):
        for layer, linear in enumerate(critic.net[::2]):
            expected = own[f"w{layer}"].grad[0, index].T
            torch.testing.assert_close(
                linear.weight.grad, expected, rtol=1e-5, atol=1e-7, msg=f"critic {index}, layer {layer}"
            )


def test_a_step_changes_every_network_and_returns_numbers():
    columns = work.columns(50)
    call, _, _ = corl_style.make(columns, {"hidden": [8, 8], "batch": ROWS, "n_actions": PROPOSALS})
    trainer = call.__self__
    before = [p.clone() for net in (trainer.actor, *trainer.critics, *trainer.targets) for p in net.parameters()]
    figures = call()
    after = [p for net in (trainer.actor, *trainer.critics, *trainer.targets) for p in net.parameters()]
    assert all(isinstance(value, float) for value in figures.values())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True)), "a network stood still"

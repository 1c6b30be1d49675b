"""Behaviour cloning of discrete actions against the oracle, and on data whose frequencies are known."""

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import discrete as oracle
from prudent import nn
from prudent.algorithms import discrete_bc
from prudent.engine.population import training_step
from prudent.errors import ConfigError
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Spec


@pytest.mark.parametrize(
    "options", [{}, {"masked": True, "rows": 7}, {"members": 1, "rows": 1}, {"hidden": (3, 4, 5)}], ids=str
)
def test_loss_and_gradients_equal_the_oracle(options):
    case = Case("discrete_bc", 3, action_size=4, **options)

    def loss(leaves):
        return discrete_bc.actor_loss({"actor": leaves}, case.batch)

    loss_P, _ = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows = case.net(p), case.rows(p)
        assert_values(loss_P[p], oracle.bc_loss(net, rows), "cloning loss")
        own = {k: g[p].numpy() for k, g in found.items()}
        assert_gradients(own, net.actor, lambda: oracle.bc_loss(net, rows), p, "cloning gradient", per_tensor=4)  # noqa: B023


def test_it_learns_the_frequencies_of_the_data():
    """Two states; in one the shares are .6, .3, .1, in the other action 0 is forbidden and the rest .75 to .25."""
    hyper = Hyper([discrete_bc.Config(hidden=(32,), batch_size=512, actor_lr=5e-3)])
    state = discrete_bc.init(Spec(1, 3, discrete=True), hyper, MemberRng([0], "init"))
    rng = MemberRng([0], "data")
    shares = torch.tensor([[0.6, 0.3, 0.1], [0.0, 0.75, 0.25]])
    for _ in range(300):
        which = rng.integers(2, 512)
        s, mask = which.float().unsqueeze(-1), shares[which] > 0
        a = nn.sample_categorical(shares[which].log(), rng.uniform(0, 1, 512, 3))
        reward = torch.zeros(1, 512)
        training_step(discrete_bc, state, Batch(s, a, reward, s, reward == 0, mask=mask, next_mask=mask), None, hyper)
    logits = nn.mlp(state.networks["actor"], torch.tensor([[[0.0], [1.0]]]))
    found = nn.log_prob_categorical(logits, shares.unsqueeze(0) > 0).exp()[0]
    assert (found - shares).abs().max() < 0.04, f"probabilities {found.tolist()} are not the data's"
    assert found[1, 0] == 0, "a forbidden action has a probability"


@pytest.mark.parametrize("wrong", [{"top_fraction": 0.0}, {"top_fraction": 1.5}, {"actor_lr": 0.0}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        discrete_bc.Config(**wrong)

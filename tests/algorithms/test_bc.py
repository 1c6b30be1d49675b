"""Behaviour cloning against the oracle, and on data whose best policy is known."""

import pytest
import torch

from helpers.cases import Case, assert_gradients, assert_values
from oracles import losses as oracle
from prudent import nn
from prudent.algorithms import bc
from prudent.engine.population import training_step
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Spec


@pytest.mark.parametrize("options", [{}, {"members": 1, "rows": 1}, {"hidden": (3, 4, 5), "action_size": 4}], ids=str)
def test_loss_and_gradients_equal_the_oracle(options):
    case = Case("bc", 3, **options)
    case.batch.action[:, 0, 0] = -1.0  # at the bound, where an unclipped log-probability would be infinite

    def loss(leaves):
        return bc.actor_loss({"actor": leaves}, case.batch)

    loss_P, _ = loss(case.networks["actor"])
    found, _ = optim.gradients(loss, case.networks["actor"])
    for p in range(case.members):
        net, rows = case.net(p), case.rows(p)
        assert_values(loss_P[p], oracle.bc_loss(net, rows), "cloning loss")
        own = {k: g[p].numpy() for k, g in found.items()}
        assert_gradients(own, net.actor, lambda: oracle.bc_loss(net, rows), p, "cloning gradient", per_tensor=4)  # noqa: B023


def test_it_learns_the_distribution_of_the_data():
    """Actions tanh(m(s) + 0.3 noise) with m = +-0.5 by the sign of s: both moments are recovered."""
    hyper = Hyper([bc.Config(hidden=(32,), batch_size=256, actor_lr=2e-3)])
    state = bc.init(Spec(1, 1), hyper, MemberRng([0], "init"))
    rng = MemberRng([0], "data")
    for _ in range(800):
        s = rng.normal(256, 1).sign()
        a = (0.5 * s + 0.3 * rng.normal(256, 1)).tanh()
        ended = torch.ones(1, 256, dtype=torch.bool)
        training_step(bc, state, Batch(s, a, s[..., 0], s, ended), None, hyper)
    mean, log_std = nn.tanh_gaussian(state.networks["actor"], torch.tensor([[[-1.0], [1.0]]]))
    assert (mean.flatten() - torch.tensor([-0.5, 0.5])).abs().max() < 0.05, "the mean is not the data's"
    assert (log_std.exp() - 0.3).abs().max() < 0.05, "the deviation is not the data's"

"""CPQL is CQL with targets over five steps: its losses are CQL's, its settings the published ones."""

import torch

from helpers.cases import assert_values
from helpers.trajectories import TrajectoryCase
from oracles import losses
from oracles import multi_step as oracle
from prudent.algorithms import cpql, cql


def targets(case: TrajectoryCase, p: int) -> list[float]:
    """The oracle's targets of member p's rows."""
    net, noise, config = case.net(p), case.noises(p), case.configs[p]
    log = case.log(config)

    def value(b):
        return lambda row: losses.next_value(net, row, b, noise, config)

    return [oracle.target(log, int(i), config, value(b)) for b, i in enumerate(case.drawn[p])]


def test_the_critics_loss_is_that_of_cql_with_the_loops_targets():
    case = TrajectoryCase("cpql", 3, alpha=[0.1, 5.0])
    assert case.hyper.n_steps == 5
    metrics = cpql.update_critic(case.state, case.batch, case.noise, case.hyper)
    case = TrajectoryCase("cpql", 3, alpha=[0.1, 5.0])
    y_PB = torch.tensor([targets(case, p) for p in range(case.members)], dtype=torch.float64)
    expected, _ = cql.critic_loss(case.networks, case.batch, case.noise, case.hyper, y_PB=y_PB)
    assert_values(metrics["critic_loss"], expected.tolist(), "critic loss")


def test_the_defaults_are_the_published_ones():
    config, plain = cpql.Config(), cql.Config()
    assert (config.n_steps, config.trace, config.alpha) == (5, 0.7, 10.0)
    assert (config.actor_lr, config.temperature_lr, config.critic_lr) == (3e-5, 3e-5, 3e-4)
    assert config.hidden == (256, 256, 256)
    assert (config.discount, config.polyak, config.n_actions) == (plain.discount, plain.polyak, plain.n_actions)

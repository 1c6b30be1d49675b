"""Losses of CQL's extensions for one member, row by row; arguments as in :mod:`oracles.losses`."""

import math
from types import SimpleNamespace

from oracles.losses import bellman_target, gaps, log_sum_exp, mean
from oracles.networks import q, sample


def calibrated_gap(critic, actor, row, b, noise, c) -> float:
    """Cal-QL (2303.05479), eq. 4.1, with importance weights: proposals of the policy are worth the return at least."""
    terms = []
    for j in range(c.n_actions):
        a = noise.uniform[j][b]
        terms.append(q(critic, row.observation, a) + len(a) * math.log(2.0))
        for state, draws in ((row.observation, noise.policy), (row.next_observation, noise.next_policy)):
            a, logp = sample(actor, state, draws[j][b])
            terms.append(max(q(critic, row.observation, a), row.return_to_go) - logp)
    return log_sum_exp(terms) - q(critic, row.observation, row.action)


def cal_ql_critic_loss(net, rows, noise, c) -> float:
    """``sum_e [ mean (Q_e - y)^2 + alpha mean gap_e ]`` with calibrated gaps, T = 1."""
    targets = [bellman_target(net, row, b, noise, c) for b, row in enumerate(rows)]
    loss = 0.0
    for critic in net.critic:
        loss += mean((q(critic, row.observation, row.action) - y) ** 2 for row, y in zip(rows, targets, strict=True))
        loss += c.alpha * mean(calibrated_gap(critic, net.actor, row, b, noise, c) for b, row in enumerate(rows))
    return loss


def redq_critic_loss(net, rows, noise, c) -> float:
    """``mean_e mean (Q_e - y)^2 + alpha mean_{e in M} mean gap_e``, y from the minimum over another random subset."""
    few = SimpleNamespace(actor=net.actor, log_tau=net.log_tau, target_critic=[])
    few.target_critic = [net.target_critic[int(e)] for e in noise.target_subset]
    targets = [bellman_target(few, row, b, noise, c) for b, row in enumerate(rows)]
    td = mean(
        (q(critic, row.observation, row.action) - y) ** 2
        for critic in net.critic
        for row, y in zip(rows, targets, strict=True)
    )
    gap = mean(
        gaps(net, net.critic[int(e)], row, b, noise, c)[0] for e in noise.penalty_subset for b, row in enumerate(rows)
    )
    return td + c.alpha * gap


def redq_actor_loss(net, rows, noise) -> float:
    """``tau log pi(a|s) - mean_E Q(s, a)``."""
    total = 0.0
    for b, row in enumerate(rows):
        action, logp = sample(net.actor, row.observation, noise.actor[b])
        total += math.exp(net.log_tau) * logp - mean(q(critic, row.observation, action) for critic in net.critic)
    return total / len(rows)

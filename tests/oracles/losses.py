"""Losses of one member, row by row.

``net`` has ``actor``, ``critic`` and ``target_critic`` (a list each, one entry per critic), ``log_tau`` and
``log_multiplier``; ``rows`` are transitions; ``noise`` holds arrays (N, B, A) or (B, A); ``c`` holds the settings of
this member as plain numbers.
"""

import math

import numpy as np

from oracles.networks import log_prob, q, sample


def log_sum_exp(values) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def next_value(net, row, b, noise, c) -> float:
    """V(s') by backup, from the target critics."""

    def pessimistic(action):
        return min(q(critic, row.next_observation, action) for critic in net.target_critic)

    if c.backup in ("min", "entropy"):
        action, logp = sample(net.actor, row.next_observation, noise.next_action[b])
        bonus = math.exp(net.log_tau) * logp if c.backup == "entropy" else 0.0
        return pessimistic(action) - bonus
    draws = [sample(net.actor, row.next_observation, noise.next_action[j][b]) for j in range(c.n_actions)]
    if c.backup == "max":
        return max(pessimistic(action) for action, _ in draws)
    t = c.cql_temperature
    return t * (log_sum_exp([pessimistic(a) / t - logp for a, logp in draws]) - math.log(c.n_actions))


def bellman_target(net, row, b, noise, c) -> float:
    """``r + gamma^dt V(s')``, the second term only where the episode was not terminated."""
    if row.terminated:
        return row.reward
    return row.reward + c.discount**row.dt * next_value(net, row, b, noise, c)


def proposals(net, row, b, noise, c) -> list:
    """(action, log-density) of every proposal for one state."""
    found = []
    for j in range(c.n_actions):
        if "uniform" in c.proposals:
            a = noise.uniform[j][b]
            found.append((a, -len(a) * math.log(2.0)))
        if "policy" in c.proposals:
            found.append(sample(net.actor, row.observation, noise.policy[j][b]))
        if "next_policy" in c.proposals:
            found.append(sample(net.actor, row.next_observation, noise.next_policy[j][b]))
    return found


def gaps(net, critic, row, b, noise, c) -> tuple[float, float]:
    """One critic's conservative gap at one state: CQL (2006.04779), eq. 4 with appendix F's importance sampling.

    Without and with ``- T log(number of terms)``.
    """
    t, data = c.cql_temperature, q(critic, row.observation, row.action)
    terms = []
    for action, logp in proposals(net, row, b, noise, c):
        terms.append(q(critic, row.observation, action) / t - (logp if c.importance_sampling else 0.0))
    if not c.importance_sampling:
        terms.append(data / t)
    gap = t * log_sum_exp(terms) - data
    if c.gap_clip is not None:
        gap = min(max(gap, c.gap_clip[0]), c.gap_clip[1])
    return gap, gap - t * math.log(len(terms))


def mean_gaps(net, critic, rows, noise, c) -> tuple[float, float]:
    """The two conventions of :func:`gaps`, averaged over the batch."""
    both = [gaps(net, critic, row, b, noise, c) for b, row in enumerate(rows)]
    return mean(g[0] for g in both), mean(g[1] for g in both)


def alpha_at(c, step) -> float:
    """Alpha, moving in a straight line to ``alpha_final`` over ``alpha_anneal_steps``."""
    if c.alpha_final is None:
        return c.alpha
    done = min(step / c.alpha_anneal_steps, 1.0)
    return c.alpha + done * (c.alpha_final - c.alpha)


def cql_critic_loss(net, rows, noise, c, step=0, supervised=False) -> float:
    """``sum_e mean (Q_e - y)^2 + weight (mean gap_e - threshold)``; supervised, y is the return-to-go."""
    targets = [row.return_to_go if supervised else bellman_target(net, row, b, noise, c) for b, row in enumerate(rows)]
    loss = 0.0
    for critic in net.critic:
        loss += mean((q(critic, row.observation, row.action) - y) ** 2 for row, y in zip(rows, targets, strict=True))
        gap, normalised = mean_gaps(net, critic, rows, noise, c)
        if c.lagrange:
            multiplier = min(max(math.exp(net.log_multiplier), 0.0), 1e6)
            loss += alpha_at(c, step) * multiplier * (normalised - c.target_gap)
        else:
            loss += alpha_at(c, step) * gap
    return loss


def lagrange_loss(net, rows, noise, c, step=0) -> float:
    """``-exp(log_alpha) w (gap - target_gap)`` with the gap averaged over critics."""
    gap = mean(mean_gaps(net, critic, rows, noise, c)[1] for critic in net.critic)
    return -min(math.exp(net.log_multiplier), 1e6) * alpha_at(c, step) * (gap - c.target_gap)


def sac_critic_loss(net, rows, noise, c) -> float:
    """SAC (1812.05905), eq. 5 with the two critics' minimum in the target, without the one-half."""
    loss = 0.0
    for critic in net.critic:
        for b, row in enumerate(rows):
            action, logp = sample(net.actor, row.next_observation, noise.next_action[b])
            value = min(q(t, row.next_observation, action) for t in net.target_critic) - math.exp(net.log_tau) * logp
            y = row.reward + (0.0 if row.terminated else c.discount**row.dt * value)
            loss += (q(critic, row.observation, row.action) - y) ** 2 / len(rows)
    return loss


def actor_loss(net, rows, noise, clone=False) -> float:
    """``tau log pi(a|s) - min_E Q(s, a)``; cloning puts ``log pi(a_data|s)`` in the critic's place."""
    total = 0.0
    for b, row in enumerate(rows):
        action, logp = sample(net.actor, row.observation, noise.actor[b])
        if clone:
            score = log_prob(net.actor, row.observation, row.action)
        else:
            score = min(q(critic, row.observation, action) for critic in net.critic)
        total += math.exp(net.log_tau) * logp - score
    return total / len(rows)


def actor_divisor(net, rows, noise) -> float:
    """Mean absolute pessimistic Q of the actor's sampled actions, which the cloning term holds fixed."""
    values = []
    for b, row in enumerate(rows):
        action, _ = sample(net.actor, row.observation, noise.actor[b])
        values.append(abs(min(q(critic, row.observation, action) for critic in net.critic)))
    return mean(values)


def cloning_error(net, rows) -> float:
    """Squared error of the mode against the logged action, mean over rows and action features."""
    errors = []
    for row in rows:
        mode, _ = sample(net.actor, row.observation, np.zeros(len(row.action)))
        errors += [(m - a) ** 2 for m, a in zip(mode, row.action, strict=True)]
    return mean(errors)


def temperature_loss(net, rows, noise, target_entropy, log_tau) -> float:
    """``-log_tau (log pi + target_entropy)``."""
    logp = mean(sample(net.actor, row.observation, noise.actor[b])[1] for b, row in enumerate(rows))
    return -log_tau * (logp + target_entropy)


def bc_loss(net, rows) -> float:
    """``-log pi(a_data|s)``."""
    return mean(-log_prob(net.actor, row.observation, row.action) for row in rows)


def regression_loss(net, rows) -> float:
    """Squared distance of every critic from the return-to-go: what SAC's supervised steps minimise."""
    loss = 0.0
    for critic in net.critic:
        loss += mean((q(critic, row.observation, row.action) - row.return_to_go) ** 2 for row in rows)
    return loss

"""Losses over discrete actions of one member, row by row: the allowed actions are written out and walked through.

Arguments as in :mod:`oracles.losses`; a row has ``mask`` and ``next_mask`` (None allows all actions).
"""

import math

import numpy as np

from oracles.losses import log_sum_exp, mean
from oracles.networks import mlp


def choices(mask, n_actions) -> list[int]:
    """The allowed actions."""
    return [a for a in range(n_actions) if mask is None or mask[a]]


def quantiles(critic, state, n_actions) -> list[list[float]]:
    """Each action's quantiles; one of them where the critic is plain."""
    outputs = [float(v) for v in mlp({k: v for k, v in critic.items() if k != "quantile"}, state)]
    count = len(outputs) // n_actions
    offset = critic.get("quantile", [0.0] * count)
    return [[outputs[a * count + i] + float(offset[i]) for i in range(count)] for a in range(n_actions)]


def q(critic, state, n_actions) -> list[float]:
    """Each action's value."""
    return [mean(own) for own in quantiles(critic, state, n_actions)]


def q_min(critics, state, n_actions) -> list[float]:
    """Each action's smallest value over the critics."""
    each = [q(critic, state, n_actions) for critic in critics]
    return [min(own[a] for own in each) for a in range(n_actions)]


def greedy(critics, state, mask, n_actions) -> int:
    """The allowed action of the largest value."""
    values = q_min(critics, state, n_actions)
    return max(choices(mask, n_actions), key=lambda a: values[a])


def bellman_target(net, row, c, n_actions) -> list[float]:
    """Double DQN's target, as many numbers as there are quantiles."""
    own_count = len(quantiles(net.critic[0], row.observation, n_actions)[0])
    if row.terminated:
        return [row.reward] * own_count
    best = greedy(net.critic, row.next_observation, row.next_mask, n_actions)
    each = [quantiles(critic, row.next_observation, n_actions)[best] for critic in net.target_critic]
    lowest = min(each, key=mean)
    return [row.reward + c.discount**row.dt * z for z in lowest]


def huber(x, threshold) -> float:
    """Huber's loss: quadratic up to the threshold, a line with the same slope beyond."""
    return x * x / 2 if abs(x) <= threshold else threshold * (abs(x) - threshold / 2)


def td(found, wanted, threshold=None) -> float:
    """Half the squared error, or with a threshold Huber's loss.

    Of several quantiles QR-DQN (1710.10044), the mean over targets, the sum over quantiles: eq. 8 without a threshold,
    with one eq. 10, divided by it.
    """
    if len(found) == 1:
        return mean((y - found[0]) ** 2 / 2 if threshold is None else huber(y - found[0], threshold) for y in wanted)
    total = 0.0
    for i, z in enumerate(found):
        tau = (i + 0.5) / len(found)
        sizes = [abs(y - z) if threshold is None else huber(y - z, threshold) / threshold for y in wanted]
        total += mean((tau if y >= z else 1 - tau) * size for y, size in zip(wanted, sizes, strict=True))
    return total


def bandit(reward, share, alpha) -> list[float]:
    """The exact minimum of discrete CQL's loss at one state: Q(a) of actions with these mean rewards and shares.

    The gradient is zero where ``share (Q - reward) + alpha (softmax(Q) - share) = 0``: Newton's method in float64.
    """
    reward, share = np.asarray(reward, dtype=np.float64), np.asarray(share, dtype=np.float64)
    values = reward.copy()
    for _ in range(100):
        policy = np.exp(values - values.max())
        policy /= policy.sum()
        slope = share * (values - reward) + alpha * (policy - share)
        curvature = np.diag(share + alpha * policy) - alpha * np.outer(policy, policy)
        values = values - np.linalg.solve(curvature, slope)
    assert np.abs(slope).max() < 1e-12, "Newton's method has not come to rest"
    return values.tolist()


def gap(critic, row, n_actions) -> float:
    values = q(critic, row.observation, n_actions)
    return log_sum_exp([values[a] for a in choices(row.mask, n_actions)]) - values[row.action]


def cql_loss(net, rows, c, n_actions, supervised=False) -> float:
    """``sum_e mean TD_e + alpha mean gap_e``; supervised, the target is the return-to-go."""
    total = 0.0
    for row in rows:
        wanted = [row.return_to_go] if supervised else bellman_target(net, row, c, n_actions)
        for critic in net.critic:
            found = quantiles(critic, row.observation, n_actions)[row.action]
            total += td(found, wanted, c.huber_threshold) + c.alpha * gap(critic, row, n_actions)
    return total / len(rows)


def log_prob(actor, row) -> float:
    """Log-probability of the row's action among the allowed ones."""
    logits = [float(v) for v in mlp(actor, row.observation)]
    return logits[row.action] - log_sum_exp([logits[a] for a in choices(row.mask, len(logits))])


def bc_loss(net, rows) -> float:
    return mean(-log_prob(net.actor, row) for row in rows)


def data_value(critics, row, n_actions) -> float:
    return q_min(critics, row.observation, n_actions)[row.action]


def value(net, state) -> float:
    return float(mlp(net.value, state)[0])


def iql_value_loss(net, rows, c, n_actions) -> float:
    """IQL (2110.06169), eq. 5."""
    total = 0.0
    for row in rows:
        u = data_value(net.target_critic, row, n_actions) - value(net, row.observation)
        total += abs(c.expectile - (1 if u < 0 else 0)) * u * u
    return total / len(rows)


def iql_critic_loss(net, rows, c, n_actions) -> float:
    """IQL, eq. 6, summed over the critics."""
    total = 0.0
    for row in rows:
        y = row.reward + (0.0 if row.terminated else c.discount**row.dt * value(net, row.next_observation))
        for critic in net.critic:
            total += (q(critic, row.observation, n_actions)[row.action] - y) ** 2
    return total / len(rows)


def iql_actor_loss(net, rows, c, n_actions) -> float:
    """IQL, eq. 7."""
    total = 0.0
    for row in rows:
        advantage = data_value(net.target_critic, row, n_actions) - value(net, row.observation)
        total -= min(math.exp(c.beta * advantage), c.max_weight) * log_prob(net.actor, row)
    return total / len(rows)

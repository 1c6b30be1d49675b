"""Losses of IQL, CIQL and sparse Q-learning for one member, row by row; arguments as in :mod:`oracles.losses`."""

import math

from oracles.losses import mean
from oracles.networks import log_prob, mlp, q


def v(net, state) -> float:
    """The state-value network."""
    return float(mlp(net.value, state)[0])


def logged_q(net, row) -> float:
    """Smallest target critic at the logged action."""
    return min(q(critic, row.observation, row.action) for critic in net.target_critic)


def iql_value_loss(net, rows, c) -> float:
    """IQL (2110.06169), eq. 5: ``|tau - 1(u < 0)| u^2`` with ``u = q - v``."""
    total = 0.0
    for row in rows:
        u = logged_q(net, row) - v(net, row.observation)
        total += (c.expectile if u >= 0 else 1 - c.expectile) * u * u
    return total / len(rows)


def sparse_value_loss(net, rows, c) -> float:
    """Sparse Q-learning (2303.15810): ``1[z > 0] z^2 + v / alpha``."""
    total = 0.0
    for row in rows:
        value = v(net, row.observation)
        z = (logged_q(net, row) - value) / (2 * c.alpha) + 1
        total += (z * z if z > 0 else 0.0) + value / c.alpha
    return total / len(rows)


def target(net, row, c) -> float:
    """``r + gamma^dt V(s')``, the second term only where the episode was not terminated."""
    return row.reward if row.terminated else row.reward + c.discount**row.dt * v(net, row.next_observation)


def td_loss(net, rows, c, supervised=False) -> float:
    """IQL, eq. 6, summed over critics; supervised, the return-to-go is the target."""
    loss = 0.0
    for critic in net.critic:
        for row in rows:
            y = row.return_to_go if supervised else target(net, row, c)
            loss += (q(critic, row.observation, row.action) - y) ** 2 / len(rows)
    return loss


def negatives(rows, noise, b, c) -> list:
    """The negative actions of row b."""
    if c.negatives == "uniform":
        return [noise.uniform[n][b] for n in range(c.n_negatives)]
    return [rows[int(noise.row[n][b])].action for n in range(c.n_negatives)]


def ciql_critic_loss(net, rows, noise, c, supervised=False) -> float:
    """The TD loss and, per critic, ``alpha max(mean Q_neg - mean Q_data, 0)``, means over batch and negatives."""
    loss = td_loss(net, rows, c, supervised)
    for critic in net.critic:
        low = mean(q(critic, r.observation, a) for b, r in enumerate(rows) for a in negatives(rows, noise, b, c))
        loss += c.alpha * max(low - mean(q(critic, r.observation, r.action) for r in rows), 0.0)
    return loss


def iql_weights(net, rows, c) -> list[float]:
    """IQL, eq. 7, clipped, divided by the batch size."""
    return [min(math.exp(c.beta * advantage(net, row)), c.max_weight) / len(rows) for row in rows]


def sparse_weights(net, rows, c) -> list[float]:
    """The clipped positive advantage, divided by the batch size."""
    return [min(max(advantage(net, row), 0.0), c.max_weight) / len(rows) for row in rows]


def ciql_weights(net, rows, c) -> list[float]:
    """Softmax over the batch of beta times the positive advantage."""
    powers = [math.exp(c.beta * max(advantage(net, row), 0.0)) for row in rows]
    return [power / sum(powers) for power in powers]


def advantage(net, row) -> float:
    return logged_q(net, row) - v(net, row.observation)


def actor_loss(net, rows, weights) -> float:
    """``-sum w log pi(a_data|s)`` with the given weights: constants, so that no gradient passes through them."""
    return -sum(w * log_prob(net.actor, row.observation, row.action) for w, row in zip(weights, rows, strict=True))

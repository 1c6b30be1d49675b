"""Losses of TD3+BC and ReBRAC, one row at a time; arguments as in :mod:`oracles.losses`."""

import numpy as np

from oracles.losses import mean
from oracles.networks import mlp, q


def action_of(actor, state) -> np.ndarray:
    """The policy's one action."""
    return np.tanh(mlp(actor, state))


def next_action(net, row, eps, c) -> np.ndarray:
    """TD3 (1802.09477), eq. 14: the target policy's action, perturbed, both within their limits."""
    chosen = []
    for a, e in zip(action_of(net.target_actor, row.next_observation), eps, strict=True):
        shift = min(max(c.policy_noise * e, -c.noise_clip), c.noise_clip)
        chosen.append(min(max(a + shift, -1.0), 1.0))
    return np.array(chosen)


def distance(a, b) -> float:
    """Squared Euclidean distance."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def critic_loss(net, rows, noise, c, penalty=0.0, supervised=False) -> float:
    """Squared error of every critic; ``penalty`` is the weight of ReBRAC's distance (2305.09836, eq. 4)."""
    loss = 0.0
    for b, row in enumerate(rows):
        y = row.reward
        if supervised:
            y = row.return_to_go
        elif not row.terminated:
            a = next_action(net, row, noise.next_action[b], c)
            value = min(q(critic, row.next_observation, a) for critic in net.target_critic)
            if row.next_action_known:
                value -= penalty * distance(a, row.next_action)
            y += c.discount**row.dt * value
        for critic in net.critic:
            loss += (q(critic, row.observation, row.action) - y) ** 2 / len(rows)
    return loss


def policy_values(net, rows, of_ensemble) -> list[float]:
    """Q(s, pi(s)) of every row, the ensemble's numbers made one by ``of_ensemble``."""
    return [
        of_ensemble([q(critic, row.observation, action_of(net.actor, row.observation)) for critic in net.critic])
        for row in rows
    ]


def size(net, rows, of_ensemble) -> float:
    """Mean absolute Q of the policy's actions, the divisor that the actor's loss holds fixed."""
    return mean(abs(value) for value in policy_values(net, rows, of_ensemble))


def first(values) -> float:
    return values[0]


def td3_bc_actor_loss(net, rows, c, divisor) -> float:
    """TD3+BC (2106.06860), eq. 3 and 5: ``-alpha Q / divisor`` plus the squared error, averaged over features too."""
    errors = [distance(action_of(net.actor, row.observation), row.action) / len(row.action) for row in rows]
    return mean(errors) - c.alpha * mean(policy_values(net, rows, first)) / divisor


def rebrac_actor_loss(net, rows, c, divisor) -> float:
    """ReBRAC (2305.09836), eq. 3: ``actor_penalty`` times the squared distance, minus ``Q / divisor``."""
    distances = [distance(action_of(net.actor, row.observation), row.action) for row in rows]
    return c.actor_penalty * mean(distances) - mean(policy_values(net, rows, min)) / divisor


def clone_loss(net, rows) -> float:
    """Squared error, averaged over rows and action features."""
    return mean(distance(action_of(net.actor, row.observation), row.action) / len(row.action) for row in rows)

"""CQL with ``gradient`` sampled: exact values of all proposals, a gradient through a few sampled ones."""

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.networks import Networks
from prudent.types import Batch, Hyper


def sampled_values(
    networks: Networks, batch: Batch, action_PNBA: Tensor, log_density_PNB: Tensor, choice: Tensor, hyper: Hyper
) -> Tensor:
    """Q of all proposals, (P, E, N, B): the values are exact, the gradient goes through a few proposals only.

    The gradient of a log-sum-exp is the average of the terms' gradients under their softmax p. So N' terms are drawn
    from p, and only their gradients are computed, each divided by ``N' p_j``. The gradient of any function of the
    values is then unbiased, at about half the cost.
    """
    with torch.no_grad():
        q_PENB = nn.critic(networks["critic"], batch.observation, action_PNBA)
        logits_PENB = q_PENB / hyper.cql_temperature.reshape(-1, 1, 1, 1)
        if hyper.importance_sampling:
            logits_PENB = logits_PENB - log_density_PNB.unsqueeze(1)
        p_PENB = logits_PENB.softmax(dim=2)
        # Scaled by the rounded total: a larger draw would take the last term, whose p may be 0 and weight infinite.
        cumulative = p_PENB.cumsum(dim=2)
        below = cumulative.unsqueeze(3) <= (choice * cumulative[:, :, -1:]).unsqueeze(2)  # (P, E, N, N', B)
        drawn = below.sum(dim=2).clamp(max=q_PENB.shape[2] - 1)  # (P, E, N', B): index of each drawn term
        index = drawn.unsqueeze(-1).expand(*drawn.shape, action_PNBA.shape[-1])
        action = action_PNBA.unsqueeze(1).expand(-1, drawn.shape[1], -1, -1, -1).gather(2, index)
        weight = 1 / (drawn.shape[2] * p_PENB.gather(2, drawn))
    q_drawn = nn.critic(networks["critic"], batch.observation, action)
    return q_PENB.scatter_add(2, drawn, (q_drawn - q_drawn.detach()) * weight)

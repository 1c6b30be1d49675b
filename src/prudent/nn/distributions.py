"""The policies' distributions: tanh-Gaussian for continuous actions, categorical for discrete ones."""

import math

import torch
from torch import Tensor

from prudent.nn.networks import mlp
from prudent.types import Params

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0

ACTION_LIMIT = 1 - 1e-5
"""Logged actions are clipped to this before their log-probability is computed, which would be infinite at 1."""


def tanh_gaussian(params: Params, observation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation before the tanh, each (P, B, A); the network's output is their concatenation."""
    mean, log_std = mlp(params, observation).chunk(2, dim=-1)
    return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)


def sample_tanh_gaussian(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Action in [-1, 1] and its log-probability, by reparameterisation; ``noise`` is standard normal (..., B, A)."""
    pre_tanh = mean + log_std.exp() * noise
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return pre_tanh.tanh(), (gaussian - _log_tanh_slope(pre_tanh)).sum(-1)


def log_prob_tanh_gaussian(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log-probability (..., B) of actions (..., B, A), which are first clipped to the open interval."""
    inside = action.clamp(-ACTION_LIMIT, ACTION_LIMIT)
    # Not atanh (nor softplus below): on a CPU their last bits depend on the position of an element in the tensor.
    pre_tanh = 0.5 * (inside.log1p() - (-inside).log1p())
    noise = (pre_tanh - mean) * (-log_std).exp()
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    return (gaussian - _log_tanh_slope(pre_tanh)).sum(-1)


def log_prob_categorical(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Log-probabilities (..., A) of all discrete actions; minus infinity (probability 0) where ``mask`` forbids one."""
    # Masked again afterwards: NaN logits of a diverged network would otherwise reach the forbidden actions.
    return allowed(allowed(logits, mask).log_softmax(-1), mask)


def allowed(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Scores (..., A) with minus infinity for the actions that ``mask`` (..., A) forbids; None allows all."""
    return scores if mask is None else scores.masked_fill(~mask, -math.inf)


def sample_categorical(log_prob: Tensor, noise: Tensor | None) -> Tensor:
    """An action (...) int64 from log-probabilities (..., A): the likeliest, or a sample with ``noise`` (..., A).

    ``noise`` is uniform on [0, 1). The maximum of log-probability plus Gumbel noise is at each action with exactly its
    probability (Maddison, Tarlow & Minka 2014, arXiv 1411.0030). An action of probability 0 is never drawn.
    """
    if noise is None:
        return log_prob.argmax(-1)
    gumbel = -(-noise.clamp(min=torch.finfo(noise.dtype).tiny).log()).log()
    return (log_prob + gumbel).argmax(-1)


def value_of(scores: Tensor, action: Tensor) -> Tensor:
    """The entry (...) of ``scores`` (..., A) at each ``action`` (...)."""
    return scores.gather(-1, action.unsqueeze(-1)).squeeze(-1)


def _log_tanh_slope(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2) in a form that stays finite for large u."""
    softplus = (-2 * u).clamp(min=0) + (-2 * u.abs()).exp().log1p()
    return 2 * (math.log(2) - u - softplus)

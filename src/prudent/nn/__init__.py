"""Networks as pure functions over stacked parameters, and the distributions that policies are made of.

- ``networks``: multilayer perceptrons and critics
- ``distributions``: tanh-Gaussian and categorical policies
- ``optim``: Adam and Polyak averaging, each member with its own rates
- ``rng``: random numbers, each member with its own generator
- ``cpu``: faster forward and backward passes, which ``networks`` uses on a CPU
- ``products``: the matrix products in these passes

An algorithm writes ``from prudent import nn`` and calls ``nn.critic(...)``.
"""

from prudent.nn.distributions import (
    ACTION_LIMIT,
    LOG_STD_MAX,
    LOG_STD_MIN,
    allowed,
    log_prob_categorical,
    log_prob_tanh_gaussian,
    sample_categorical,
    sample_tanh_gaussian,
    tanh_gaussian,
    value_of,
)
from prudent.nn.networks import critic, init_mlp, mlp, plain_critic, plain_mlp

__all__ = [
    "ACTION_LIMIT",
    "LOG_STD_MAX",
    "LOG_STD_MIN",
    "allowed",
    "critic",
    "init_mlp",
    "log_prob_categorical",
    "log_prob_tanh_gaussian",
    "mlp",
    "plain_critic",
    "plain_mlp",
    "sample_categorical",
    "sample_tanh_gaussian",
    "tanh_gaussian",
    "value_of",
]

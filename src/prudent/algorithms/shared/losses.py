"""Pieces of losses that three or more algorithms share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.networks import Networks, q_min
from prudent.types import Batch, Hyper, Metrics, Params

Value = Callable[[Networks, Tensor, Tensor], Tensor]
"""What an actor maximises: (networks, observation (P, B, S), action (P, B, A)) -> (P, B)."""


def temperature(networks: Networks) -> Tensor:
    """The entropy temperature tau, (P,)."""
    return networks["temperature"]["log"].exp()


def init_temperature(hyper: Hyper) -> Params:
    """The logarithm of the initial temperature, one number per member."""
    return {"log": hyper.temperature.log()}


def td_loss(q_PEB: Tensor, y_PB: Tensor) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e - y)^2``, (P,), and its metrics."""
    td_PE = (q_PEB - y_PB.unsqueeze(1)).square().mean(-1)
    loss_P = td_PE.sum(-1)
    return loss_P, td_metrics(loss_P, td_PE, q_PEB, y_PB)


def td_metrics(loss_P: Tensor, td_PE: Tensor, q_PEB: Tensor, y_PB: Tensor) -> Metrics:
    """What every critics' loss reports: the loss, its temporal-difference errors, mean Q and mean target, each (P,)."""
    return {
        "critic_loss": loss_P,
        "td_error": td_PE.mean(-1),
        "q_data": q_PEB.mean((-2, -1)),
        "target": y_PB.mean(-1),
    }


def bellman_loss(
    target: Callable[[Networks, Batch, Any, Hyper], Tensor],
    networks: Networks,
    batch: Batch,
    noise: Any,
    hyper: Hyper,
    y_PB: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """:func:`td_loss` of the logged actions, with y from the algorithm's ``target`` unless y is given."""
    if y_PB is None:
        y_PB = target(networks, batch, noise, hyper)
    return td_loss(nn.critic(networks["critic"], batch.observation, batch.action), y_PB)


def return_to_go(batch: Batch) -> Tensor:
    """The returns-to-go (P, B): the critics' target in a supervised step."""
    assert batch.return_to_go is not None, "a supervised step needs a batch with return_to_go"
    return batch.return_to_go


def expectile_loss(q_PB: Tensor, v_PB: Tensor, expectile_P: Tensor) -> Tensor:
    """``mean |expectile - 1[q < v]| (q - v)^2``, (P,): least at that expectile of q (IQL, 2110.06169, eq. 5)."""
    difference_PB = q_PB - v_PB
    weight_PB = torch.where(difference_PB < 0, 1 - expectile_P.unsqueeze(-1), expectile_P.unsqueeze(-1))
    return (weight_PB * difference_PB.square()).mean(-1)


def data_log_prob(networks: Networks, batch: Batch) -> Tensor:
    """``log pi(a_data|s)`` under a tanh-Gaussian actor, (P, B)."""
    mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
    return nn.log_prob_tanh_gaussian(mean, log_std, batch.action)


def soft_actor_loss(
    networks: Networks,
    batch: Batch,
    noise: Tensor,
    clone: bool,
    value: Value = q_min,
    bc_weight_P: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """``tau log pi(a|s) - min_E Q(s, a)``, a ~ pi(.|s) (SAC, 1812.05905, eq. 7); loss (P,).

    ``value`` may combine the critics otherwise. With ``clone`` the critic's term gives way to ``-log pi(a_data|s)``:
    behaviour cloning for a warm-up, in which ``bc_weight_P`` adds nothing. Else it adds :func:`cloning_term`.
    """
    mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
    action, log_prob_PB = nn.sample_tanh_gaussian(mean, log_std, noise)
    if clone:
        score_PB = nn.log_prob_tanh_gaussian(mean, log_std, batch.action)
    else:
        score_PB = value(networks, batch.observation, action)
    tau_P1 = temperature(networks).detach().unsqueeze(-1)
    loss_P = (tau_P1 * log_prob_PB - score_PB).mean(-1)
    metrics: Metrics = {}
    if bc_weight_P is not None and not clone:
        term_P, metrics = cloning_term(mean.tanh(), batch.action, score_PB)
        loss_P = loss_P + bc_weight_P * term_P
    return loss_P, {"actor_loss": loss_P, "entropy": -log_prob_PB.mean(-1), **metrics}


def cloning_term(mode: Tensor, data_action: Tensor, q_PB: Tensor) -> tuple[Tensor, Metrics]:
    """``mean |Q| * mean (tanh(mu) - a_data)^2``, (P,), with ``mean |Q|`` held fixed, and metrics.

    This is the cloning term of TD3+BC (2106.06860, eq. 3 and 5) in units of Q: there Q is divided by its mean size,
    here the error is multiplied by it, so that the entropy term keeps its unit. A weight w is TD3+BC's alpha of 1 / w.
    Only the mode is pulled towards the data. How widely the policy spreads around it stays with the entropy.
    """
    error_P = (mode - data_action).square().mean(-1).mean(-1)
    return q_PB.detach().abs().mean(-1) * error_P, {"bc_error": error_P}


def temperature_loss(networks: Networks, entropy_P: Tensor, target_entropy: Tensor | float) -> tuple[Tensor, Metrics]:
    """``-log_tau (log pi + target entropy)``, (P,): raises tau while the entropy is below its target."""
    loss_P = networks["temperature"]["log"] * (entropy_P - target_entropy)
    return loss_P, {"temperature_loss": loss_P, "temperature": temperature(networks)}

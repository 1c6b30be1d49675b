"""Discrete Implicit Q-Learning (Kostrikov, Nair & Levine 2021, arXiv 2110.06169): IQL with a categorical policy.

V is an expectile of the critics over the logged actions, the critics learn from V, and the policy clones the log with
weights that grow exponentially with the advantage. No action outside the log is ever evaluated, so masks only matter
for the policy: a forbidden action has probability exactly 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms import iql
from prudent.algorithms.shared import implicit
from prudent.algorithms.shared.losses import td_loss
from prudent.algorithms.shared.networks import Networks, categorical_action, state_value
from prudent.algorithms.shared.settings import own_last
from prudent.algorithms.shared.updates import State, descend, update_polyak
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Params, Spec

TITLE, POLICY, NEEDS = "Discrete IQL", "categorical", ()


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(iql.Config):
    """The settings of ``iql``. Members may differ in float fields."""


init = implicit.init


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """Discrete IQL samples no actions: it needs no noise."""


# --- values -----------------------------------------------------------------------------------------------------------


def q_each(critic: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Q of each critic at one action (P, B) int64 per row, (P, E, B)."""
    q_PEBA = nn.mlp(critic, observation.unsqueeze(1))
    return nn.value_of(q_PEBA, action.unsqueeze(1).expand(q_PEBA.shape[:-1]))


def q_value(networks: Networks, observation: Tensor, action: Tensor) -> Tensor:
    """The smallest Q over the ensemble of each action (P, B) int64, (P, B)."""
    return q_each(networks["critic"], observation, action).amin(1)


@torch.no_grad()
def logged_q(networks: Networks, batch: Batch) -> Tensor:
    """``min_e Qbar_e(s, a)`` of the logged actions, (P, B)."""
    return q_each(networks["target_critic"], batch.observation, batch.action).amin(1)


target = implicit.target


# --- losses -----------------------------------------------------------------------------------------------------------


def value_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """Expectile regression of V(s) towards ``min_e Qbar_e(s, a)`` (eq. 5); loss (P,) and metrics (P,)."""
    return implicit.expectile_value_loss(networks, batch, logged_q(networks, batch), hyper)


def critic_loss(networks: Networks, batch: Batch, hyper: Hyper, y_PB: Tensor | None = None) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e(s, a) - y)^2`` (eq. 6), y from :func:`target` unless it is given; loss (P,), metrics (P,)."""
    if y_PB is None:
        y_PB = target(networks, batch, hyper)
    return td_loss(q_each(networks["critic"], batch.observation, batch.action), y_PB)


@torch.no_grad()
def cloning_weight(networks: Networks, batch: Batch, hyper: Hyper) -> Tensor:
    """``min(exp(beta (min_e Qbar_e(s, a) - V(s))), max_weight)``, (P, B)."""
    advantage_PB = logged_q(networks, batch) - state_value(networks, batch.observation)
    return (hyper.beta.unsqueeze(-1) * advantage_PB).exp().minimum(hyper.max_weight.unsqueeze(-1))


def actor_loss(networks: Networks, batch: Batch, weight_PB: Tensor | float = 1.0) -> tuple[Tensor, Metrics]:
    """``-mean weight log pi(a|s)`` among the allowed actions (eq. 7), plain cloning unless weights are given; (P,)."""
    log_prob_PBA = nn.log_prob_categorical(nn.mlp(networks["actor"], batch.observation), batch.mask)
    loss_P = -(weight_PB * nn.value_of(log_prob_PBA, batch.action)).mean(-1)
    return loss_P, {"actor_loss": loss_P}


# --- updates ----------------------------------------------------------------------------------------------------------


def update_actor(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """A step of the actor."""
    weight_PB = cloning_weight(state.networks, batch, hyper)
    return descend(state, "actor", lambda networks: actor_loss(networks, batch, weight_PB), hyper.actor_lr, hyper)


update_critic = implicit.critic_step(value_loss, critic_loss)
update_supervised = implicit.supervised_step(critic_loss, actor_loss)
act, update_target = categorical_action, update_polyak

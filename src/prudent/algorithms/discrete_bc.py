"""Behaviour cloning of discrete actions: a categorical policy by maximum likelihood.

The baseline for discrete data, as ``bc`` is for continuous ones. An action that the mask forbids has probability
exactly 0 and does not enter the likelihood. With ``top_fraction`` it is %BC (Chen et al. 2021, arXiv 2106.01345,
section 4).
"""

from dataclasses import dataclass

from torch import Tensor

from prudent import nn
from prudent.algorithms import bc
from prudent.algorithms.shared.networks import Networks, categorical_action, init_discrete_actor
from prudent.algorithms.shared.settings import own_last
from prudent.algorithms.shared.updates import State, adam_states, cloning_step
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "Discrete BC", "categorical", ()


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(bc.Config):
    """The settings of ``bc``. Members may differ in float fields."""


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """The actor and its optimiser."""
    networks: Networks = {"actor": init_discrete_actor(spec, hyper, rng)}
    return State(networks, adam_states(networks, ("actor",)))


def actor_loss(networks: Networks, batch: Batch) -> tuple[Tensor, Metrics]:
    """``-log pi(a_data | s)`` among the allowed actions, (P,)."""
    log_prob_PBA = nn.log_prob_categorical(nn.mlp(networks["actor"], batch.observation), batch.mask)
    loss_P = -nn.value_of(log_prob_PBA, batch.action).mean(-1)
    return loss_P, {"actor_loss": loss_P}


update_actor = cloning_step(actor_loss)
draw, update_critic, update_target = bc.draw, bc.update_critic, bc.update_target
act, q_value = categorical_action, None

"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): CQL with alpha 0 and the entropy backup.

On a fixed dataset it shows what conservatism is for: nothing keeps its Q-values from rising where there are no data.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.losses import bellman_loss, init_temperature, temperature
from prudent.algorithms.shared.multi_step import bootstrap, repeated
from prudent.algorithms.shared.networks import Networks, actor_action, init_actor_critic, q_min
from prudent.algorithms.shared.settings import SoftActorCritic, own_first
from prudent.algorithms.shared.updates import (
    State,
    adam_states,
    clone_soft_actor,
    critic_step,
    supervised_step,
    update_polyak,
    update_soft_actor,
)
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Next, Spec

TITLE, POLICY, NEEDS = "SAC", "gaussian", ()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(SoftActorCritic):
    """All settings are those of ``SoftActorCritic`` in ``shared/settings.py``. Members may differ in float fields."""


@dataclass(frozen=True)
class Noise:
    """The draws of one step, standard normal (P, B, A)."""

    next_action: Tensor
    actor: Tensor


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """Actor, critics and their targets, temperature, with their optimisers."""
    networks = init_actor_critic(spec, hyper, rng) | {"temperature": init_temperature(hyper)}
    return State(networks, adam_states(networks, ("actor", "critic", "temperature")))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> Noise:
    """Fresh noise for one step."""
    shape = (hyper.batch_size, spec.action_size)
    return Noise(next_action=rng.normal(*shape), actor=rng.normal(*shape))


def critic_loss(
    networks: Networks, batch: Batch, noise: Noise, hyper: Hyper, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e(s, a) - y)^2`` (eq. 5 without the one-half), y from :func:`target` unless it is given.

    Returns the loss (P,) and metrics (P,).
    """
    return bellman_loss(target, networks, batch, noise, hyper, y_PB)


@torch.no_grad()
def target(networks: Networks, batch: Batch, noise: Noise, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) V(s')``, over several steps see :mod:`.multi_step`, (P, B)."""
    return bootstrap(batch, lambda after: next_value(networks, after, noise), hyper)


def next_value(networks: Networks, after: Next, noise: Noise) -> Tensor:
    """``V(s') = min_e Qbar_e(s', a') - tau log pi(a'|s')``, a' ~ pi(.|s') (eq. 3), (P, B)."""
    action, log_prob_PB = actor_action(networks, after.observation, repeated(noise.next_action, after.observation))
    q_PB = nn.critic(networks["target_critic"], after.observation, action).amin(1)
    return q_PB - temperature(networks).unsqueeze(-1) * log_prob_PB


update_critic = critic_step(critic_loss)
update_supervised = supervised_step(critic_loss, clone_soft_actor)


def update_actor(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of the actor, then of the temperature."""
    return update_soft_actor(state, batch, noise.actor, hyper)


act, q_value, update_target = actor_action, q_min, update_polyak

"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): CQL with alpha 0 and the entropy backup.

On a fixed dataset it is the contrast that shows what conservatism buys: nothing keeps its Q-values from rising where
there are no data.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.losses import bellman_loss, bootstrap, init_temperature, return_to_go, temperature
from prudent.algorithms.shared.networks import Networks, actor_action, init_actor_critic, q_min
from prudent.algorithms.shared.settings import check_critic, check_shared
from prudent.algorithms.shared.updates import (
    State,
    actor_critic_step,
    adam_states,
    descend,
    update_polyak,
    update_soft_actor,
)
from prudent.config import check_finite, check_positive
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "SAC", "gaussian", ()


@dataclass(frozen=True)
class Config:
    """Settings of SAC; float fields may differ between members of a population."""

    temperature: float = 1.0  # entropy temperature tau: where learning starts, or its fixed value
    learn_temperature: bool = True  # tune tau towards target_entropy
    target_entropy: float | None = None  # none is minus the number of action features
    temperature_lr: float = 3e-4  # learning rate of log tau
    value_init: Literal["zero", "constant", "regression"] = "zero"  # where Q starts: see docs/algorithms.md
    value_init_steps: int = 2000  # regression steps before training, with value_init regression
    discount: float = 0.99  # gamma, per unit of time
    polyak: float = 0.005  # share of the critic that enters the target at each target step
    critic_lr: float = 3e-4  # Adam learning rate of the critics
    actor_lr: float = 1e-4  # Adam learning rate of the actor
    actor_period: int = 1  # critic steps per actor step
    target_period: int = 1  # critic steps per target step
    max_grad_norm: float | None = None  # clip each network's gradient to this norm
    n_critics: int = 2  # critics in the ensemble
    hidden: tuple[int, ...] = (256, 256)  # widths of the hidden layers of actor and critics
    layer_norm: bool = False  # layer normalisation in the critics
    orthogonal_init: bool = False  # orthogonal weights instead of PyTorch's default
    batch_size: int = 256  # transitions per step, drawn with replacement
    normalize_observations: bool = True  # standardise observations with the dataset's mean and deviation
    reward_scale: float = 1.0  # rewards are multiplied by this before learning
    reward_shift: float = 0.0  # and this is then added

    def __post_init__(self):
        check_shared(self)
        check_critic(self)
        check_positive(self, "temperature", "temperature_lr", "actor_period", "value_init_steps")
        check_finite(self)


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
    """``r + gamma^dt (1 - terminated) (min_e Qbar_e(s', a') - tau log pi(a'|s'))``, a' ~ pi(.|s') (eq. 3), (P, B)."""
    action, log_prob_PB = actor_action(networks, batch.next_observation, noise.next_action)
    q_PB = nn.critic(networks["target_critic"], batch.next_observation, action).amin(1)
    return bootstrap(batch, q_PB - temperature(networks).unsqueeze(-1) * log_prob_PB, hyper)


def update_critic(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of the critics."""
    return descend(state, "critic", lambda networks: critic_loss(networks, batch, noise, hyper), hyper.critic_lr, hyper)


def update_supervised(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step before training (``value_init``): the critic's loss with the return-to-go for y, the actor cloning."""
    y_PB = return_to_go(batch)
    metrics = descend(
        state, "critic", lambda networks: critic_loss(networks, batch, noise, hyper, y_PB), hyper.critic_lr, hyper
    )
    return metrics | update_soft_actor(state, batch, noise.actor, hyper, clone=True)


def update_actor(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of the actor, then of the temperature."""
    return update_soft_actor(state, batch, noise.actor, hyper)


def update(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """One training step: critics, actor with the updated critics, temperature, targets."""
    return actor_critic_step(state, batch, noise, hyper, update_critic, update_actor)


act, q_value, update_target = actor_action, q_min, update_polyak

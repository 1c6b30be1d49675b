"""Actors, critics and state values: how they are made, how they act, what they predict."""

import torch
from torch import Tensor

from prudent import nn
from prudent.nn.rng import MemberRng
from prudent.types import Hyper, Params, Spec

Networks = dict[str, Params]
"""Parameters by network: ``actor``, ``critic``, ``target_critic``, ``value``, ``temperature``, ..."""


def init_actor(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A tanh-Gaussian actor: S -> hidden -> mean and log standard deviation (2 A)."""
    return nn.init_mlp(
        rng, (spec.observation_size, *hyper.hidden, 2 * spec.action_size), orthogonal=hyper.orthogonal_init
    )


def init_critic(spec: Spec, hyper: Hyper, rng: MemberRng, after_relu: bool = False) -> Params:
    """An ensemble of critics: S + A -> hidden -> 1, with output bias zero, so that values start at zero.

    Layer normalisation, if there is any, stands before the ReLU, with ``after_relu`` after it.
    """
    sizes = (spec.observation_size + spec.action_size, *hyper.hidden, 1)
    params = nn.init_mlp(
        rng,
        sizes,
        hyper.n_critics,
        layer_norm=hyper.layer_norm,
        after_relu=after_relu,
        orthogonal=hyper.orthogonal_init,
    )
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_value(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A state-value network V: S -> hidden -> 1, with output bias zero."""
    params = nn.init_mlp(rng, (spec.observation_size, *hyper.hidden, 1), orthogonal=hyper.orthogonal_init)
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_discrete_actor(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A categorical actor: S -> hidden -> a logit per action."""
    return nn.init_mlp(rng, (spec.observation_size, *hyper.hidden, spec.action_size), orthogonal=hyper.orthogonal_init)


def init_discrete_critic(spec: Spec, hyper: Hyper, rng: MemberRng, n_outputs: int = 1) -> Params:
    """An ensemble of critics over discrete actions: S -> hidden -> A (times ``n_outputs``), with output bias zero."""
    sizes = (spec.observation_size, *hyper.hidden, spec.action_size * n_outputs)
    params = nn.init_mlp(rng, sizes, hyper.n_critics, layer_norm=hyper.layer_norm, orthogonal=hyper.orthogonal_init)
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_actor_critic(spec: Spec, hyper: Hyper, rng: MemberRng) -> Networks:
    """Actor, critics and target critics, for the kind of actions in ``spec``."""
    critic = init_discrete_critic(spec, hyper, rng) if spec.discrete else init_critic(spec, hyper, rng)
    actor = init_discrete_actor(spec, hyper, rng) if spec.discrete else init_actor(spec, hyper, rng)
    return {"actor": actor, "critic": critic, "target_critic": copy(critic)}


def copy(params: Params) -> Params:
    """A copy of the parameters, such as a target network."""
    return {name: p.clone() for name, p in params.items()}


def actor_action(networks: Networks, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Action (P, B, A) in [-1, 1] and its log-probability (P, B).

    ``noise`` (P, B, A) is standard normal for a sample; None gives the deterministic action ``tanh(mean)``.
    """
    mean, log_std = nn.tanh_gaussian(networks["actor"], observation)
    return nn.sample_tanh_gaussian(mean, log_std, torch.zeros_like(mean) if noise is None else noise)


def categorical_action(
    networks: Networks, observation: Tensor, noise: Tensor | None = None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Discrete action (P, B) int64 and its log-probability (P, B) under a categorical actor.

    ``noise`` (P, B, A) is uniform on [0, 1) for a sample; None gives the likeliest action. ``mask`` (P, B, A) bool says
    which actions are allowed; the others have probability exactly 0.
    """
    log_prob_PBA = nn.log_prob_categorical(nn.mlp(networks["actor"], observation), mask)
    action_PB = nn.sample_categorical(log_prob_PBA, noise)
    return action_PB, nn.value_of(log_prob_PBA, action_PB)


def state_value(networks: Networks, observation: Tensor) -> Tensor:
    """V(s), (P, B)."""
    return nn.mlp(networks["value"], observation).squeeze(-1)


def q_min(networks: Networks, observation: Tensor, action: Tensor) -> Tensor:
    """The smallest Q over the ensemble, (P, B)."""
    return nn.critic(networks["critic"], observation, action).amin(1)

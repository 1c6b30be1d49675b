"""TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose policy is also pulled towards the logged actions.

A minimal change to an online algorithm that makes it work offline. The policy takes one action per state. The target
evaluates the critics at that action plus noise, so that no sharp peak of Q is exploited (TD3, Fujimoto et al. 2018,
arXiv 1802.09477).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.losses import bellman_loss
from prudent.algorithms.shared.multi_step import bootstrap, repeated
from prudent.algorithms.shared.networks import Networks, copy, init_critic, q_min
from prudent.algorithms.shared.settings import Deterministic, own_first
from prudent.algorithms.shared.updates import (
    State,
    actor_step,
    adam_states,
    cloning_step,
    critic_step,
    supervised_step,
    update_polyak,
)
from prudent.config import check_within
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Next, Params, Spec

TITLE, POLICY, NEEDS = "TD3+BC", "deterministic", ()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Deterministic):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    alpha: float = 2.5  # weight of Q, which is divided by its mean size, against the squared error of the action

    def __post_init__(self):
        check_within(self, 0, math.inf, "alpha")
        super().__post_init__()


@dataclass(frozen=True)
class Noise:
    """The draws of one step, standard normal (P, B, A)."""

    next_action: Tensor


def init(spec: Spec, hyper: Hyper, rng: MemberRng, after_relu: bool = False) -> State:
    """Actor, critics and the targets of both, with their optimisers; ``after_relu`` as in ``init_critic``."""
    sizes = (spec.observation_size, *hyper.hidden, spec.action_size)
    actor = nn.init_mlp(rng, sizes, orthogonal=hyper.orthogonal_init)
    critic = init_critic(spec, hyper, rng, after_relu)
    networks: Networks = {
        "actor": actor,
        "target_actor": copy(actor),
        "critic": critic,
        "target_critic": copy(critic),
    }
    return State(networks, adam_states(networks, ("actor", "critic")))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> Noise:
    """Fresh noise for one step."""
    return Noise(next_action=rng.normal(hyper.batch_size, spec.action_size))


# --- the mathematics --------------------------------------------------------------------------------------------------


def policy(actor: Params, observation: Tensor) -> Tensor:
    """The one action per state, (P, B, A) in [-1, 1]."""
    return nn.mlp(actor, observation).tanh()


def act(networks: Networks, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """The policy's action (P, B, A) and its log-probability 0, (P, B); ``noise`` is ignored."""
    action = policy(networks["actor"], observation)
    return action, torch.zeros_like(action[..., 0])


def smoothed_action(networks: Networks, observation: Tensor, noise: Noise, hyper: Hyper) -> Tensor:
    """``clip(pi'(s') + clip(policy_noise eps, +-noise_clip), -1, 1)``, pi' the target policy (1802.09477, eq. 14)."""
    limit_P11 = hyper.noise_clip.reshape(-1, 1, 1)
    shift = (hyper.policy_noise.reshape(-1, 1, 1) * repeated(noise.next_action, observation)).clamp(
        -limit_P11, limit_P11
    )
    return (policy(networks["target_actor"], observation) + shift).clamp(-1.0, 1.0)


def critic_loss(
    networks: Networks, batch: Batch, noise: Noise, hyper: Hyper, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e(s, a) - y)^2``, y from :func:`target` unless it is given.

    Returns the loss (P,) and metrics (P,).
    """
    return bellman_loss(target, networks, batch, noise, hyper, y_PB)


@torch.no_grad()
def target(networks: Networks, batch: Batch, noise: Noise, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) V(s')``, over several steps see :mod:`.multi_step`, (P, B)."""
    return bootstrap(batch, lambda after: next_value(networks, after, noise, hyper), hyper)


def next_value(networks: Networks, after: Next, noise: Noise, hyper: Hyper) -> Tensor:
    """``V(s') = min_e Qbar_e(s', a')``, a' from :func:`smoothed_action`, (P, B)."""
    action = smoothed_action(networks, after.observation, noise, hyper)
    return nn.critic(networks["target_critic"], after.observation, action).amin(1)


def actor_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``-alpha mean Q_1(s, pi(s)) / mean |Q_1| + mean (pi(s) - a)^2`` (eq. 3 and 5), (P,), the first critic's Q.

    The squared error is a mean over rows and action features, as in the authors' code.
    """
    action = policy(networks["actor"], batch.observation)
    first = {name: p[:, :1] for name, p in networks["critic"].items()}
    q_PB = nn.critic(first, batch.observation, action).squeeze(1)
    loss_P = mean_squared_error(action, batch.action) - hyper.alpha * relative(q_PB)
    return loss_P, {"actor_loss": loss_P, "q_policy": q_PB.mean(-1)}


def mean_squared_error(action: Tensor, data_action: Tensor) -> Tensor:
    """``mean (pi(s) - a)^2`` over rows and action features, (P,)."""
    return (action - data_action).square().mean(-1).mean(-1)


def relative(q_PB: Tensor) -> Tensor:
    """``mean Q / mean |Q|``, (P,), the divisor held fixed: one weight then suits rewards of every size."""
    return q_PB.mean(-1) / q_PB.detach().abs().mean(-1)


def clone_loss(networks: Networks, batch: Batch) -> tuple[Tensor, Metrics]:
    """The squared error of the action, (P,): cloning for a policy without a density."""
    loss_P = mean_squared_error(policy(networks["actor"], batch.observation), batch.action)
    return loss_P, {"actor_loss": loss_P}


# --- one step ---------------------------------------------------------------------------------------------------------


update_critic = critic_step(critic_loss)
update_actor = actor_step(actor_loss)
update_supervised = supervised_step(critic_loss, cloning_step(clone_loss))
q_value, update_target = q_min, update_polyak

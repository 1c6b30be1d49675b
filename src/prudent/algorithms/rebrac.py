"""ReBRAC (Tarasov et al. 2023, arXiv 2305.09836): TD3+BC with a penalty each for actor and critics, and LayerNorm.

The critics' target subtracts a penalty for the distance of the target policy's next action from the logged one.

Defaults: architecture (three layers; in the critics linear, ReLU, LayerNorm with epsilon 1e-6, as in the authors'
``src/networks.py``), noise and periods are the paper's. The paper's batch is 1024 with learning rates of 1e-3 (antmaze:
256); here they are 256 and 3e-4, as in the other algorithms: a quarter of the cost per step. Observations are
standardised; in the paper they are not. The paper tunes both penalties for each dataset: see :class:`Config`. The
presets ``rebrac-...`` have the paper's numbers.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms import td3_bc
from prudent.algorithms.shared.losses import bellman_loss
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import Networks
from prudent.algorithms.shared.settings import Deterministic, own_first
from prudent.algorithms.shared.updates import State, actor_step, critic_step
from prudent.config import check_within
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Next, Spec

TITLE, POLICY, NEEDS = "ReBRAC", "deterministic", ("next_action",)


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Deterministic):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    # Penalties in the authors' configurations, actor's and critics': halfcheetah-medium 0.001 and 0.01, hopper-medium
    # 0.01 and 0.01, walker2d-medium 0.05 and 0.1, hopper-medium-expert 0.1 and 0.01, antmaze-large-play 0.002, 0.001.
    actor_penalty: float = 0.01  # weight of the squared distance of the policy's action from the data's: tune it first
    critic_penalty: float = 0.01  # weight of the same distance of the next action, in the critics' target
    hidden: tuple[int, ...] = (256, 256, 256)  # widths of the hidden layers of actor and critics
    layer_norm: bool = True  # layer normalisation in the critics, after each ReLU

    def __post_init__(self):
        check_within(self, 0, math.inf, "actor_penalty", "critic_penalty")
        super().__post_init__()


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """Actor, critics and the targets of both, with their optimisers. The critics normalise after each ReLU."""
    return td3_bc.init(spec, hyper, rng, after_relu=True)


def check_stored(names: Collection[str]) -> None:
    """Refuse the parameters of an older version, whose critics normalised before each ReLU.

    Raises:
        ConfigError: among the names of the stored tensors are those of such critics.
    """
    if "networks.critic.scale0" in names:
        raise ConfigError(
            "its critics normalise before each ReLU, as rebrac did in older versions; today they normalise after it, "
            "as published, so these weights would mean something else: train it anew"
        )


# --- the mathematics --------------------------------------------------------------------------------------------------


def critic_loss(
    networks: Networks, batch: Batch, noise: td3_bc.Noise, hyper: Hyper, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e(s, a) - y)^2``, y from :func:`target` unless it is given.

    Returns the loss (P,) and metrics (P,).
    """
    return bellman_loss(target, networks, batch, noise, hyper, y_PB)


@torch.no_grad()
def target(networks: Networks, batch: Batch, noise: td3_bc.Noise, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) V(s')`` (eq. 4), over several steps see :mod:`.multi_step`, (P, B)."""
    return bootstrap(batch, lambda after: next_value(networks, after, noise, hyper), hyper)


def next_value(networks: Networks, after: Next, noise: td3_bc.Noise, hyper: Hyper) -> Tensor:
    """``V(s') = min_e Qbar_e(s', a') - critic_penalty |a' - a'_data|^2``, (P, B).

    a' is the target policy's action with clipped noise. Where the next action is not known, there is no penalty.
    """
    assert after.action is not None, "the critics' penalty needs a batch with next_action"
    assert after.action_known is not None, "the critics' penalty needs a batch with next_action_known"
    action = td3_bc.smoothed_action(networks, after.observation, noise, hyper)
    q_PB = nn.critic(networks["target_critic"], after.observation, action).amin(1)
    distance_PB = known_distance(action, after.action, after.action_known)
    return q_PB - hyper.critic_penalty.unsqueeze(-1) * distance_PB


def squared_distance(action: Tensor, data_action: Tensor) -> Tensor:
    """``|a - a_data|^2``, summed over action features, (P, B)."""
    return (action - data_action).square().sum(-1)


def known_distance(action: Tensor, data_action: Tensor, known_PB: Tensor) -> Tensor:
    """The squared distance (P, B), 0 where the logged action is not known."""
    return torch.where(known_PB, squared_distance(action, data_action), 0.0)


def actor_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``mean [ actor_penalty |pi(s) - a|^2 - Q / mean |Q| ]``, Q = min_e Q_e(s, pi(s)), (P,) (eq. 3).

    The smallest of the critics, and the divisor held fixed, as in the authors' code; the paper's equation leaves the
    ensemble open. TD3+BC has the first critic in its place and a mean over action features.
    """
    action = td3_bc.policy(networks["actor"], batch.observation)
    q_PB = nn.critic(networks["critic"], batch.observation, action).amin(1)
    distance_P = squared_distance(action, batch.action).mean(-1)
    loss_P = hyper.actor_penalty * distance_P - td3_bc.relative(q_PB)
    return loss_P, {"actor_loss": loss_P, "q_policy": q_PB.mean(-1)}


# --- one step ---------------------------------------------------------------------------------------------------------


update_critic = critic_step(critic_loss)
update_actor = actor_step(actor_loss)
# With y = return-to-go there is no next action and no penalty, so the supervised step is that of TD3+BC.
update_supervised, update_target = td3_bc.update_supervised, td3_bc.update_target
draw, act, q_value = td3_bc.draw, td3_bc.act, td3_bc.q_value

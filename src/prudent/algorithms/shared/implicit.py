"""What the implicit algorithms share: a state value V learned from logged actions only, and weighted cloning.

The critics' target uses V where other algorithms use the value of the policy's actions. So the target needs no action
outside the log (CIQL's penalty does). V and the policy learn from the smallest of the *target* critics.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared import losses
from prudent.algorithms.shared.losses import data_log_prob, expectile_loss, return_to_go
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import Networks, init_actor_critic, init_value, state_value
from prudent.algorithms.shared.updates import State, Update, adam_states, descend
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

Loss = Callable[[Networks, Batch, Hyper], tuple[Tensor, Metrics]]


class CriticLoss(Protocol):
    """The critics' loss (P,) and metrics (P,); y is the Bellman target unless it is given."""

    def __call__(
        self, networks: Networks, batch: Batch, hyper: Hyper, y_PB: Tensor | None = None, /
    ) -> tuple[Tensor, Metrics]: ...


def check_expectile(config: Any) -> None:
    """Refuse an expectile of 0 or 1: these would be the smallest and the largest value in the log."""
    if not 0 < config.expectile < 1:
        raise ConfigError(f"expectile must lie between 0 and 1, both excluded, got {config.expectile}")


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """Actor, critics and their targets, state value, with their optimisers."""
    networks = init_actor_critic(spec, hyper, rng) | {"value": init_value(spec, hyper, rng)}
    return State(networks, adam_states(networks, ("actor", "critic", "value")))


@torch.no_grad()
def logged_q(networks: Networks, batch: Batch) -> Tensor:
    """``min_e Qbar_e(s, a)`` of the logged actions, (P, B)."""
    return nn.critic(networks["target_critic"], batch.observation, batch.action).amin(1)


@torch.no_grad()
def target(networks: Networks, batch: Batch, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) V(s')``, over several steps see :mod:`.multi_step`, (P, B)."""
    return bootstrap(batch, lambda after: state_value(networks, after.observation), hyper)


@torch.no_grad()
def advantage(networks: Networks, batch: Batch) -> Tensor:
    """``min_e Qbar_e(s, a) - V(s)`` of the logged actions, (P, B)."""
    return logged_q(networks, batch) - state_value(networks, batch.observation)


def expectile_value_loss(networks: Networks, batch: Batch, q_PB: Tensor, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """Expectile regression of V(s) towards ``q_PB``, the values of the logged actions; loss (P,) and metrics (P,)."""
    v_PB = state_value(networks, batch.observation)
    loss_P = expectile_loss(q_PB, v_PB, hyper.expectile)
    return loss_P, {"value_loss": loss_P, "value": v_PB.mean(-1)}


def td_loss(networks: Networks, batch: Batch, hyper: Hyper, y_PB: Tensor | None = None) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e(s, a) - y)^2``, y from :func:`target` unless it is given; loss (P,) and metrics (P,)."""
    if y_PB is None:
        y_PB = target(networks, batch, hyper)
    return losses.td_loss(nn.critic(networks["critic"], batch.observation, batch.action), y_PB)


def weighted_cloning(networks: Networks, batch: Batch, weight_PB: Tensor) -> tuple[Tensor, Metrics]:
    """``-sum_B weight log pi(a|s)`` of the logged actions, (P,); no gradient passes through the weights.

    The metric ``effective_share`` is the share of the rows that the policy learns from: ``(sum w)^2 / (B sum w^2)``. It
    is 1 for equal weights, 1/B if one row has all the weight, 0 if no row has any.
    """
    weight_PB = weight_PB.detach()
    loss_P = -(weight_PB * data_log_prob(networks, batch)).sum(-1)
    # Divided by the largest weight, so that squares of tiny weights do not underflow.
    relative_PB = weight_PB / weight_PB.amax(-1, keepdim=True).clamp(min=torch.finfo(weight_PB.dtype).tiny)
    share_P = relative_PB.sum(-1).square() / relative_PB.square().sum(-1).clamp(min=1) / weight_PB.shape[-1]
    return loss_P, {"actor_loss": loss_P, "effective_share": share_P}


def regress_value(networks: Networks, batch: Batch, return_PB: Tensor) -> tuple[Tensor, Metrics]:
    """``mean (V(s) - return)^2``, (P,): V's supervised loss."""
    v_PB = state_value(networks, batch.observation)
    loss_P = (v_PB - return_PB).square().mean(-1)
    return loss_P, {"value_loss": loss_P, "value": v_PB.mean(-1)}


def clone(networks: Networks, batch: Batch) -> tuple[Tensor, Metrics]:
    """``-mean log pi(a|s)`` of the logged actions, (P,): the policy's supervised loss."""
    loss_P = -data_log_prob(networks, batch).mean(-1)
    return loss_P, {"actor_loss": loss_P}


def update_values(
    state: State, batch: Batch, hyper: Hyper, value_loss: Loss, critic_loss: CriticLoss = td_loss
) -> Metrics:
    """A step of V, then one of the critics with the updated V.

    The authors of IQL and of sparse Q-learning update V, policy, critics and targets in this order. Updating the policy
    after the critics gives the same result, because the policy uses the target critics.
    """
    metrics = descend(state, "value", lambda networks: value_loss(networks, batch, hyper), hyper.value_lr, hyper)
    return metrics | descend(
        state, "critic", lambda networks: critic_loss(networks, batch, hyper), hyper.critic_lr, hyper
    )


def update_all_supervised(
    state: State,
    batch: Batch,
    hyper: Hyper,
    critic_loss: CriticLoss = td_loss,
    clone_loss: Callable[[Networks, Batch], tuple[Tensor, Metrics]] = clone,
) -> Metrics:
    """A step before training (``value_init``): V and ``critic_loss`` on returns-to-go, and cloning."""
    y_PB = return_to_go(batch)
    metrics = descend(state, "value", lambda networks: regress_value(networks, batch, y_PB), hyper.value_lr, hyper)
    metrics |= descend(
        state, "critic", lambda networks: critic_loss(networks, batch, hyper, y_PB), hyper.critic_lr, hyper
    )
    return metrics | descend(state, "actor", lambda networks: clone_loss(networks, batch), hyper.actor_lr, hyper)


def critic_step(value_loss: Loss, critic_loss: CriticLoss = td_loss) -> Update:
    """``update_critic`` from the losses of V and of the critics."""

    def update_critic(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
        """A step of V, then one of the critics with the updated V."""
        return update_values(state, batch, hyper, value_loss, critic_loss)

    return update_critic


def supervised_step(
    critic_loss: CriticLoss = td_loss, clone_loss: Callable[[Networks, Batch], tuple[Tensor, Metrics]] = clone
) -> Update:
    """``update_supervised`` from the critics' loss and the one for cloning."""

    def update_supervised(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
        """A step before training (``value_init``): V and critics towards returns-to-go, the actor cloning."""
        return update_all_supervised(state, batch, hyper, critic_loss, clone_loss)

    return update_supervised

"""Behaviour cloning of discrete actions: a categorical policy by maximum likelihood.

The yardstick for discrete data, as ``bc`` is for continuous ones. An action that the mask forbids has probability
exactly 0 and takes no share of the likelihood. With ``top_fraction`` it is %BC (Chen et al. 2021, arXiv 2106.01345,
section 4).
"""

from dataclasses import dataclass

from torch import Tensor

from prudent import nn
from prudent.algorithms import _common
from prudent.algorithms._common import Networks, State, descend
from prudent.config import check_finite, check_positive, check_within
from prudent.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "Discrete BC", "categorical", ()


@dataclass(frozen=True)
class Config:
    """Settings of behaviour cloning of discrete actions; float fields may differ between members of a population."""

    top_fraction: float = 1.0  # learn from the best episodes that hold this share of the rows (%BC); 1 is all of them
    actor_lr: float = 1e-3  # Adam learning rate of the actor
    max_grad_norm: float | None = None  # clip the gradient to this norm
    hidden: tuple[int, ...] = (256, 256)  # widths of the hidden layers
    orthogonal_init: bool = False  # orthogonal weights instead of PyTorch's default
    batch_size: int = 256  # transitions per step, drawn with replacement
    normalize_observations: bool = True  # standardise observations with the dataset's mean and deviation
    discount: float = 0.99  # gamma with which evaluation discounts returns; cloning itself does not use it
    reward_scale: float = 1.0  # rewards are multiplied by this, in evaluation only
    reward_shift: float = 0.0  # and this is then added

    def __post_init__(self):
        _common.check_shared(self)
        check_positive(self, "top_fraction")
        check_within(self, 0, 1, "top_fraction")
        check_finite(self)


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """The actor and its optimiser."""
    networks: Networks = {"actor": _common.init_discrete_actor(spec, hyper, rng)}
    return State(networks, _common.adam_states(networks, ("actor",)))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """Cloning needs no noise."""


def actor_loss(networks: Networks, batch: Batch) -> tuple[Tensor, Metrics]:
    """``-log pi(a_data | s)`` among the allowed actions, (P,)."""
    log_prob_PBA = nn.log_prob_categorical(nn.mlp(networks["actor"], batch.observation), batch.mask)
    loss_P = -nn.value_of(log_prob_PBA, batch.action).mean(-1)
    return loss_P, {"actor_loss": loss_P}


def update_critic(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """Cloning has no critic."""
    return {}


def update_actor(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """A step of the actor."""
    return descend(state, "actor", lambda networks: actor_loss(networks, batch), hyper.actor_lr, hyper)


def update_target(state: State, hyper: Hyper) -> None:
    """Cloning has no target network."""


def update(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:
    """One training step."""
    metrics = update_actor(state, batch, noise, hyper)
    state.step += 1
    return metrics


act = _common.categorical_action
q_value = None

"""The settings that several algorithms have, with their checks. An algorithm's ``Config`` inherits from one of these:

- ``Shared``: every algorithm
- ``Critic``: with critics
- ``ActorCritic``: with critics and an actor
- ``SoftActorCritic``: with a stochastic actor and an entropy temperature (SAC, CQL)
- ``Deterministic``: with an actor that takes one action per state (TD3+BC, ReBRAC)
- ``Implicit``: with a state value V as well (IQL, sparse Q-learning, CIQL)

A setting whose default differs is written again in the class that changes it. Each ``__post_init__`` checks the
settings of its class and then calls the one it inherits.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from prudent.config import (
    FloatOrAuto,
    check_choice,
    check_finite,
    check_positive,
    check_whole,
    check_within,
    reorder_fields,
)
from prudent.errors import ConfigError

VALUE_INITS = ("zero", "constant", "regression")
OUTSIDE_RANGE = ("clip", "warn", "refuse")

# The order of the shared settings, wherever settings are listed.
ORDER = (
    "value_init",
    "value_init_steps",
    "discount",
    "n_steps",
    "trace",
    "polyak",
    "value_lr",
    "critic_lr",
    "actor_lr",
    "actor_period",
    "target_period",
    "max_grad_norm",
    "n_critics",
    "hidden",
    "layer_norm",
    "orthogonal_init",
    "return_range",
)

C = TypeVar("C")


def own_first(*then: str) -> Callable[[type[C]], type[C]]:
    """A class decorator: ``fields()`` lists a dataclass's own settings, then those named, then the inherited ones.

    See :func:`prudent.config.reorder_fields`; the order is also that of settings in members' names.
    """

    def reorder(config_type: type[C]) -> type[C]:
        names, inherited = _names(config_type), _inherited(config_type)
        own = [name for name in names if name not in inherited and name not in then]
        return reorder_fields(config_type, [*own, *(name for name in then if name in names), *inherited])

    return reorder


def own_last(config_type: type[C]) -> type[C]:
    """A class decorator for an algorithm that extends another one: the other's settings in its order, then its own."""
    return reorder_fields(config_type, [*_inherited(config_type), *_names(config_type)])


def _names(config_type: Any) -> list[str]:
    return [f.name for f in fields(config_type)]


def _inherited(config_type: type) -> list[str]:
    (base,) = config_type.__bases__
    return [] if base is object else _names(base)


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Settings of every algorithm."""

    max_grad_norm: float | None = None  # clip each network's gradient to this norm; none does not clip
    hidden: tuple[int, ...] = (256, 256)  # widths of the hidden layers of every network
    orthogonal_init: bool = False  # orthogonal weights instead of PyTorch's default
    batch_size: int = 256  # transitions per step, drawn with replacement
    normalize_observations: bool = True  # standardise observations with the dataset's mean and standard deviation
    # Clip to the edge of the range, use the value as it is with a warning, or refuse to act.
    outside_range: Literal["clip", "warn", "refuse"] = "clip"  # when acting on features that leave the log's range
    discount: float = 0.99  # gamma, per unit of time
    reward_scale: FloatOrAuto = 1.0  # rewards are multiplied by this before learning; auto takes it from their spread
    reward_shift: float = 0.0  # and this is then added

    def __post_init__(self):
        check_positive(self, "batch_size", "max_grad_norm", "reward_scale")
        check_choice(self, "outside_range", OUTSIDE_RANGE)
        if not 0 <= self.discount < 1:
            raise ConfigError(f"discount must lie within [0, 1), got {self.discount}")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"hidden must be one or more layer widths, got {self.hidden}")
        check_finite(self)


@own_first(*ORDER)
@dataclass(frozen=True, kw_only=True)
class Critic(Shared):
    """Settings of algorithms with critics."""

    value_init: Literal["zero", "constant", "regression"] = "zero"  # where Q (and V) start: see docs/algorithms.md
    value_init_steps: int = 2000  # regression steps before training, with value_init regression
    polyak: float = 0.005  # share of a network that enters its target network at each target step
    critic_lr: float = 3e-4  # Adam learning rate of the critics
    target_period: int = 1  # critic steps per target step
    n_critics: int = 2  # critics in the ensemble
    layer_norm: bool = False  # layer normalisation in the critics
    n_steps: int = 1  # logged steps in the critics' target: values then come sooner, nearer to the behaviour's
    trace: float = 1.0  # Peng's lambda with n_steps above 1: 1 the n-step return, 0 the one-step target

    def __post_init__(self):
        check_positive(self, "critic_lr", "n_critics", "target_period", "value_init_steps")
        check_within(self, 0, 1, "polyak", "trace")
        check_whole(self, 1, "n_steps")
        check_choice(self, "value_init", VALUE_INITS)
        super().__post_init__()


@own_first(*ORDER)
@dataclass(frozen=True, kw_only=True)
class ActorCritic(Critic):
    """Settings of algorithms with critics and an actor."""

    actor_lr: float = 3e-4  # Adam learning rate of the actor
    actor_period: int = 1  # critic steps per actor step

    def __post_init__(self):
        check_positive(self, "actor_lr", "actor_period")
        super().__post_init__()


@own_first()
@dataclass(frozen=True, kw_only=True)
class SoftActorCritic(ActorCritic):
    """Settings of algorithms whose actor is stochastic and has an entropy temperature."""

    temperature: float = 1.0  # entropy temperature tau: where learning starts, or its fixed value
    learn_temperature: bool = True  # tune tau towards target_entropy
    target_entropy: float | None = None  # none is minus the number of action features
    temperature_lr: float = 3e-4  # learning rate of log tau
    actor_lr: float = 1e-4  # Adam learning rate of the actor

    def __post_init__(self):
        check_positive(self, "temperature", "temperature_lr")
        super().__post_init__()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Deterministic(ActorCritic):
    """Settings of algorithms whose actor takes one action per state."""

    policy_noise: float = 0.2  # standard deviation of the noise on the target policy's actions
    noise_clip: float = 0.5  # that noise is clipped to plus and minus this
    actor_period: int = 2  # critic steps per actor step
    target_period: int = 2  # critic steps per target step

    def __post_init__(self):
        check_within(self, 0, math.inf, "policy_noise", "noise_clip")
        super().__post_init__()


@own_first(*ORDER)
@dataclass(frozen=True, kw_only=True)
class Implicit(ActorCritic):
    """Settings of algorithms that learn a state value V on logged actions alone."""

    value_lr: float = 3e-4  # Adam learning rate of V
    # Sets reward_scale when the data are known: advantages are then as large as published settings assume.
    return_range: float | None = None  # scale rewards so that the data's returns span this; IQL's code has 1000

    def __post_init__(self):
        check_positive(self, "value_lr", "return_range")
        super().__post_init__()

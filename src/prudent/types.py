"""The shared vocabulary: axes, metrics, batches, specifications, settings of a population.

Axis legend. Names of tensors end in their axes, in the order of the dimensions:

    P  population member      every parameter, optimiser state and scalar hyperparameter has it first
    E  critic in the ensemble
    N  sampled action (a proposal)
    B  row of the batch
    S  observation feature
    A  action feature

``q_PEB`` is therefore one value per member, critic and batch row. A trailing ``1`` is an axis of length one
kept for broadcasting. Reductions go from the right, so members never mix.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from prudent.config import AUTO, member_fields
from prudent.errors import ConfigError

Params = dict[str, Tensor]
"""Parameters of one stacked network, by name; each tensor starts with P."""

Metrics = dict[str, Tensor]
"""Figures of one step by name, each of shape (P,), on the device."""


@dataclass
class Totals:
    """Sums of metrics over steps, on the device, and how many steps reported each metric."""

    sums: Metrics = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, metrics: Metrics) -> "Totals":
        """The totals of one step."""
        return cls(metrics, dict.fromkeys(metrics, 1))

    def add(self, other: "Totals") -> None:
        """Add ``other``, without waiting for the device."""
        for name, value in other.sums.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + other.counts[name]

    def means(self) -> Metrics:
        """The mean (P,) of each metric over the steps that reported it, such as every second step for the actor."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}


@dataclass(frozen=True)
class Spec:
    """What observations and actions look like, in the units of the log.

    ``action_low`` and ``action_high`` are the declared bounds, one per action feature; None if none are declared.
    For discrete actions ``action_size`` is the number of actions. They are numbered ``first_action`` to
    ``last_action``; column j of a mask, or of a table of probabilities, belongs to action ``first_action + j``.
    """

    observation_size: int
    action_size: int
    discrete: bool = False
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None
    first_action: int = 0

    @property
    def last_action(self) -> int:
        """The largest number of a discrete action."""
        return self.first_action + self.action_size - 1

    def index_of(self, action: Any) -> Any:
        """The log's discrete actions (...) counted from 0, as networks and columns of masks are; others unchanged."""
        return action - self.first_action if self.first_action else action

    def number_of(self, index: Any) -> Any:
        """The inverse of :meth:`index_of`."""
        return index + self.first_action if self.first_action else index

    def difference_from(self, other: "Spec") -> str:
        """The first difference of ``other``, as text; empty if they are equal."""
        kinds = ("continuous actions", "discrete actions")
        if other.observation_size != self.observation_size:
            return f"{other.observation_size} observation features against {self.observation_size}"
        if other.discrete != self.discrete:
            return f"{kinds[other.discrete]} against {kinds[self.discrete]}"
        if other.action_size != self.action_size:
            counted = "actions" if self.discrete else "action features"
            return f"{other.action_size} {counted} against {self.action_size}"
        if other.first_action != self.first_action:
            return f"actions numbered from {other.first_action} against {self.first_action} (first_action)"
        for end in ("action_low", "action_high"):
            here, there = getattr(self, end), getattr(other, end)
            if here != there:
                return f"{_bounds(end, there)} against {_bounds(end, here)}"
        return ""


def _bounds(name: str, values: tuple[float, ...] | None) -> str:
    if values is None:
        return f"no {name}"
    return f"{name} {' '.join(f'{value:.9g}' for value in values)}"


def _same(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Next:
    """What followed a logged step, (P, B, ...): the next state, and where there are any, the allowed actions there
    (``mask``) and the logged next action (``action_known`` is False where the log has none)."""

    observation: Tensor
    mask: Tensor | None = None
    action: Tensor | None = None
    action_known: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """A step of the windows of a batch, (P, B): what a target over several steps reads of it.

    ``goes_on`` says whether the row's window goes on after this step. ``next`` is None if only the windows' ends are
    valued.
    """

    reward: Tensor
    terminated: Tensor
    goes_on: Tensor
    dt: Tensor | None = None
    next: Next | None = None


@dataclass(frozen=True)
class Batch:
    """Transitions. Shapes inside the engine are (P, B, ...); :meth:`prudent.data.Dataset.batches` yields (B, ...).

    ``action`` of discrete data is int64, (P, B), counted from 0 inside the engine. ``dt`` is the number of time units
    the step took (the discount is ``gamma ** dt``). ``mask`` and ``next_mask`` (P, B, A) bool say which discrete
    actions are allowed at s and at s'; None allows all. Where the algorithm needs them, ``return_to_go`` is the
    discounted Monte-Carlo return from this row on, and ``next_action`` the next action of the same episode
    (``next_action_known`` is False on an episode's last row). ``source`` is the dataset of the rows: an agent makes its
    networks for it from its first batch. ``window`` has the ``n_steps`` logged steps from each row on, the row's own
    first; windows that end sooner repeat their last step. It is empty where targets have one step.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    dt: Tensor | None = None
    mask: Tensor | None = None
    next_mask: Tensor | None = None
    return_to_go: Tensor | None = None
    next_action: Tensor | None = None
    next_action_known: Tensor | None = None
    source: Any = None
    window: tuple[Step, ...] = ()

    @property
    def next(self) -> Next:
        """What followed each row."""
        return Next(self.next_observation, self.next_mask, self.next_action, self.next_action_known)

    def map(self, function: Callable[[Tensor], Any]) -> "Batch":
        """The same batch with ``function`` applied to every tensor."""
        return _map(self, function)

    def in_units(
        self,
        observation: Callable[[Tensor], Tensor] = _same,
        action: Callable[[Tensor], Tensor] = _same,
        reward: Callable[[Tensor], Tensor] = _same,
    ) -> "Batch":
        """The same batch with every observation, action and reward in other units."""

        def following(after: Next | None) -> Next | None:
            if after is None:
                return None
            known = None if after.action is None else action(after.action)
            return replace(after, observation=observation(after.observation), action=known)

        return replace(
            self,
            observation=observation(self.observation),
            next_observation=observation(self.next_observation),
            action=action(self.action),
            next_action=None if self.next_action is None else action(self.next_action),
            reward=reward(self.reward),
            window=tuple(replace(step, reward=reward(step.reward), next=following(step.next)) for step in self.window),
        )


def _map(values: Any, function: Callable[[Tensor], Any]) -> Any:
    changed: dict[str, Any] = {}
    for f in fields(values):
        value = getattr(values, f.name)
        if isinstance(value, Tensor):
            changed[f.name] = function(value)
        elif isinstance(value, Step | Next):
            changed[f.name] = _map(value, function)
        elif f.name == "window":
            changed[f.name] = tuple(_map(step, function) for step in value)
    return replace(values, **changed)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Nested dictionaries of tensors as one dictionary with dotted names, the layout of a checkpoint."""
    flat: dict[str, Tensor] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def unflatten(flat: dict[str, Tensor]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, leaf = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


class Hyper:
    """The settings of all members of a population, read by the losses.

    Fields annotated ``float`` (or ``float | None``) are hyperparameters that may differ between members: they read as
    tensors (P,), or as None if they are None for every member. All other fields change shapes or code paths, are the
    same for all members, and read as plain values. ``log_discount`` (P,) is the logarithm of ``discount``.
    """

    def __init__(self, configs: Sequence[Any], device: torch.device | str = "cpu"):
        self._configs = tuple(configs)
        self._values: dict[str, Any] = {}
        varying = member_fields(type(configs[0]))
        for f in fields(configs[0]):
            values = [getattr(config, f.name) for config in configs]
            if f.name in varying and AUTO in values:
                raise ConfigError(f"{f.name} is auto, which takes a dataset: give a number")
            missing = [v is None for v in values]
            if f.name in varying and not any(missing):
                self._values[f.name] = torch.tensor(values, dtype=torch.float32, device=device)
            elif any(v != values[0] for v in values):
                reason = "None for some members only" if f.name in varying else "not a per-member setting"
                raise ConfigError(f"{f.name} must be the same for every member of a population: it is {reason}")
            else:
                self._values[f.name] = values[0]
        if "discount" in self._values:
            # From the exact discounts: float32 holds a discount per second, 0.999997 for 0.99 an hour, to 2 % of its
            # distance from 1. For a discount of 0, a number that any step makes vanish.
            logs = [math.log(config.discount) if config.discount > 0 else -1e30 for config in configs]
            self._values["log_discount"] = torch.tensor(logs, dtype=torch.float32, device=device)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"no setting is called {name!r}") from None

    @property
    def members(self) -> tuple[Any, ...]:
        """The members' configs."""
        return self._configs

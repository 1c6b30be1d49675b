"""The vocabulary: axes, batches, specifications.

Axis legend. Tensor names end in the axes they carry, counted from the right:

    P  population member      every parameter, optimiser state and scalar hyperparameter has it first
    E  critic in the ensemble
    N  sampled action (a proposal)
    B  row of the batch
    S  observation feature
    A  action feature

``q_PEB`` is therefore one value per member, critic and batch row. A trailing ``1`` is an axis of length one
kept for broadcasting. Reductions go from the right, so members never mix.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

Params = dict[str, Tensor]
"""Parameters of one stacked network, by name; each tensor starts with P."""

Metrics = dict[str, Tensor]
"""Named figures of one step, each of shape (P,), still on the device."""


@dataclass(frozen=True)
class Spec:
    """What observations and actions look like, in the units of the log.

    ``action_low`` and ``action_high`` are the declared bounds, one per action feature; None where nobody declared
    any. For discrete actions ``action_size`` is the number of actions.
    """

    observation_size: int
    action_size: int
    discrete: bool = False
    action_low: tuple[float, ...] | None = None
    action_high: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Batch:
    """Transitions. Shapes inside the engine are (P, B, ...); :meth:`prudent.data.Dataset.batches` yields (B, ...).

    ``dt`` is the number of time units the step took (the discount is ``gamma ** dt``); ``return_to_go`` is the
    discounted Monte-Carlo return from this row on, where the algorithm asked for it. ``source`` is the dataset the
    rows came from, so that an agent can set itself up from its first batch.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    dt: Tensor | None = None
    return_to_go: Tensor | None = None
    source: Any = None

    def map(self, function) -> "Batch":
        """The same batch with ``function`` applied to every tensor."""
        changed = {f.name: function(value) for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}
        return replace(self, **changed)


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



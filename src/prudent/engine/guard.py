"""Notices members that diverge, and stops them or sets them back; the others train on as if nothing had happened.

Looked at where metrics are written, never in a step: a loss that is no number, a weight that is none, or values that
the rewards cannot add up to. A member is set back to what it was when it was last well, draws on from where its
generators stand (fresh batches), and takes steps of half the length; after ``rollbacks`` of these it is stopped. A
stopped member's networks are NaN from then on: nothing can mistake it for a policy.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from prudent import statistics
from prudent.data import Dataset
from prudent.engine.options import Options
from prudent.engine.population import Population

SHRINK = 0.5
"""By which the learning rates of a member are multiplied each time it is set back."""

WELL = 0.1
"""The share of the limit up to which a member counts as well, and is remembered: one on its way out is not."""

VALUES = ("q_data", "target", "value")
"""Metrics that are held against the rewards: values of logged states and actions, never of invented ones, which
conservatism pushes far down for good reason."""


@dataclass(frozen=True)
class Incident:
    """What went wrong at ``step`` in a run that went on: ``kind`` in two words, ``why``, and whose it was if one's."""

    step: int
    kind: str
    why: str
    member: str | None = None

    def __str__(self) -> str:
        return f"{f'{self.member}: ' if self.member else ''}{self.kind} at step {self.step}: {self.why}"

    def plain(self) -> dict[str, Any]:
        """As ``status.json`` has it."""
        return asdict(self)


def largest_value(population: Population, dataset: Dataset) -> Tensor:
    """:func:`prudent.statistics.largest_value` (P,) of the transformed rewards: no discounted sum of them is larger.

    ``r_max`` counts as at least 1, because the entropy and the conservative gap, which are values too, are of that
    order whatever the rewards are.
    """
    hyper, shortest = population.hyper, 1.0
    if "dt" in dataset.extra:
        shortest = float(dataset.extra["dt"].min())
    ends_P = [
        hyper.reward_scale * float(end) + hyper.reward_shift for end in (dataset.reward.min(), dataset.reward.max())
    ]
    largest_P = torch.stack([end_P.abs() for end_P in ends_P]).amax(0).clamp(min=1.0)
    pairs = zip(largest_P.tolist(), hyper.discount.tolist(), strict=True)
    return torch.tensor([statistics.largest_value(largest, discount, shortest) for largest, discount in pairs])


class Guard:
    """What is known of the members' health; its :meth:`tensors` belong into a checkpoint.

    ``largest_P`` (P,) comes from :func:`largest_value`.
    """

    def __init__(self, population: Population, options: Options, largest_P: Tensor):
        self.population, self.options = population, options
        factor = math.inf if options.divergence_factor is None else options.divergence_factor
        self.limits = [factor * largest for largest in largest_P.tolist()]
        self.rollbacks = [0] * population.size
        self.whole: dict[int, int] = {}  # of stopped members: the last step at which they were seen to be well
        self.checked = population.state.step
        self._remembered: dict[str, Tensor] = {}
        self._remembered_at = [self.checked] * population.size

    @property
    def stopped(self) -> set[int]:
        """Indices of the members that were stopped."""
        return set(self.whole)

    def begin(self) -> list[Incident]:
        """Remember how the members start; says which of them are no numbers to begin with."""
        if self.options.rollbacks and not self._remembered:
            self._remember(range(self.population.size))
        step, names = self.population.state.step, self.population.names
        ill = {member: why for member, why in self._ill({}).items() if member not in self.whole}
        for member in ill:
            self._stop(member)
        return [Incident(step, "stopped", why, names[member]) for member, why in ill.items()]

    def check(self, means: Mapping[str, Sequence[float]]) -> list[Incident]:
        """Stop or set back who has diverged, by the ``means`` (P,) of the metrics since the last time, by their names
        without ``train/``."""
        step, found = self.population.state.step, []
        ill = {member: why for member, why in self._ill(means).items() if member not in self.whole}
        for member, why in ill.items():
            name = self.population.names[member]
            if self.rollbacks[member] < self.options.rollbacks:
                self._set_back(member)
                back = f"{why}; back to step {self._remembered_at[member]}, learning rates halved"
                found.append(Incident(step, "rolled back", back, name))
            else:
                self._stop(member)
                found.append(Incident(step, "stopped", why, name))
        if self.options.rollbacks:
            self._remember(m for m in range(self.population.size) if m not in ill and self._is_well(m, means))
        self.checked = step
        return found

    def _ill(self, means: Mapping[str, Sequence[float]]) -> dict[int, str]:
        """Who has diverged, and why."""
        found: dict[int, str] = {}
        for name, figures in means.items():
            for member, (figure, limit) in enumerate(zip(figures, self.limits, strict=True)):
                if name.endswith("_loss") and not math.isfinite(figure):
                    found.setdefault(member, f"{name} is {figure}")
                elif name in VALUES and abs(figure) > limit:
                    found.setdefault(member, f"{name} is {figure:.3g}, the limit for its rewards {limit:.3g}")
        for member in torch.nonzero(~self._finite()).flatten().tolist():
            found.setdefault(member, "its weights are no numbers")
        return dict(sorted(found.items()))

    def _finite(self) -> Tensor:
        """(P,) bool: whether all weights are numbers."""
        weights = [t for network in self.population.state.networks.values() for t in network.values()]
        return torch.stack([t.isfinite().reshape(len(t), -1).all(1) for t in weights]).all(0)

    def _is_well(self, member: int, means: Mapping[str, Sequence[float]]) -> bool:
        return member not in self.whole and all(
            abs(means[name][member]) <= WELL * self.limits[member] for name in VALUES if name in means
        )

    # --- what is done about it ------------------------------------------------------------------------------------

    def _trained(self) -> dict[str, Tensor]:
        """Weights and moments, each with the population in front; changing them changes the population."""
        return {n: t for n, t in self.population.tensors().items() if not n.startswith("rng.") and t.dim() > 0}

    @torch.no_grad()
    def _remember(self, members: Iterable[int]) -> None:
        chosen, trained = list(members), self._trained()
        if not self._remembered:
            self._remembered = {name: t.clone() for name, t in trained.items()}
        for member in chosen:
            self._remembered_at[member] = self.population.state.step
            for name, t in trained.items():
                self._remembered[name][member].copy_(t[member])

    @torch.no_grad()
    def _set_back(self, member: int) -> None:
        for name, t in self._trained().items():
            t[member].copy_(self._remembered[name][member])
        self.rollbacks[member] += 1
        self._shorten(member, SHRINK)

    def _shorten(self, member: int, factor: float) -> None:
        config = self.population.members[member].config
        for name in (name for name in vars(config) if name.endswith("_lr")):
            rate_P = getattr(self.population.hyper, name)
            if isinstance(rate_P, Tensor):
                rate_P[member].mul_(factor)

    @torch.no_grad()
    def _stop(self, member: int) -> None:
        for network in self.population.state.networks.values():
            for t in network.values():
                t[member].fill_(math.nan)
        self.whole[member] = self.checked

    # --- storage --------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that :meth:`restore` needs."""
        whole = [self.whole.get(member, -1) for member in range(self.population.size)]
        found = {"rollbacks": torch.tensor(self.rollbacks), "whole": torch.tensor(whole)}
        found["checked"] = torch.tensor(self.checked)
        if self._remembered:
            found["remembered_at"] = torch.tensor(self._remembered_at)
            found |= {f"remembered.{name}": t for name, t in self._remembered.items()}
        return found

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`tensors`, for a population that was restored to the same step."""
        if not tensors:  # a checkpoint from before there was a guard
            return
        self.rollbacks, self.checked = tensors["rollbacks"].tolist(), int(tensors["checked"])
        self.whole = {member: step for member, step in enumerate(tensors["whole"].tolist()) if step >= 0}
        for member, times in enumerate(self.rollbacks):
            self._shorten(member, SHRINK**times)
        if "remembered_at" in tensors:
            self._remembered_at = tensors["remembered_at"].tolist()
            parts = {name.partition("."): t for name, t in tensors.items()}
            device = self.population.device
            self._remembered = {name: t.to(device) for (kind, _, name), t in parts.items() if kind == "remembered"}

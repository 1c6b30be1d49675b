"""Finds members that diverge, and rolls them back or stops them. The other members train on unchanged.

The checks run where metrics are logged, never inside a step. A member has diverged when a loss or a weight is not
finite, or when its values exceed ``divergence_factor`` times the largest that its rewards allow. It is then rolled back
to its last healthy state with half the learning rates. It keeps its random state, so it sees new batches. After
``rollbacks`` of these it is stopped: its networks become NaN, so that nothing can mistake it for a policy.

A learned weight that has run into its bound (:func:`weights_at_bound`) is reported, and the member trains on.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from prudent import statistics
from prudent.algorithms.shared.lagrange import MULTIPLIER_MAX
from prudent.algorithms.shared.losses import temperature
from prudent.data import Dataset
from prudent.engine.options import Options
from prudent.engine.population import Population

SHRINK = 0.5
"""Factor on the learning rates of a member each time it is rolled back."""

HEALTHY = 0.1
"""A member is healthy, and its state is remembered, while its values stay below this share of the limit."""

VALUES = ("q_data", "target", "value")
"""Metrics compared with the limit: values of logged states and actions. CQL pushes the values of other actions far
down on purpose."""


@dataclass(frozen=True)
class Incident:
    """Something that went wrong at ``step`` in a run that went on: its ``kind``, ``why``, and the member, if any."""

    step: int
    kind: str
    why: str
    member: str | None = None

    def __str__(self) -> str:
        return f"{f'{self.member}: ' if self.member else ''}{self.kind} at step {self.step}: {self.why}"

    def plain(self) -> dict[str, Any]:
        """The entry in ``status.json``."""
        return asdict(self)


def largest_value(population: Population, dataset: Dataset) -> Tensor:
    """The largest discounted sum of transformed rewards that is possible, (P,).

    Computed by :func:`prudent.statistics.largest_value`. ``r_max`` counts as at least 1: the entropy and the
    conservative gap also enter the values and are about that large, however small the rewards are.
    """
    hyper, shortest = population.hyper, 1.0
    if "dt" in dataset.extra:
        shortest = float(dataset.extra["dt"].min())
    ends_P = [
        hyper.reward_scale * float(end) + hyper.reward_shift for end in (dataset.reward.min(), dataset.reward.max())
    ]
    largest_P = torch.stack([end_P.abs() for end_P in ends_P]).amax(0).clamp(min=1.0)
    pairs = zip(largest_P.tolist(), population.discount.tolist(), strict=True)
    return torch.tensor([statistics.largest_value(largest, discount, shortest) for largest, discount in pairs])


def weights_at_bound(population: Population, largest_P: Tensor) -> list[Incident]:
    """Members with a learned weight that has run away: a multiplier at its bound, a temperature above every value.

    The multiplier of alpha is held at ``MULTIPLIER_MAX``; it gets there if no critics can meet ``target_gap``. At 0 it
    is all right: the gap is below its target. The temperature has no bound of its own. Above ``largest_P`` (P,), the
    largest value that the rewards allow (and above where it started), the policy follows nothing but its entropy.
    """
    hyper, networks, step = population.hyper, population.state.networks, population.state.step
    incidents = []
    if getattr(hyper, "lagrange", False):
        log_P = networks["lagrange"]["log"].tolist()
        for member, log in zip(population.members, log_P, strict=True):
            if log >= math.log(0.99 * MULTIPLIER_MAX):
                config = member.config
                why = (
                    f"the multiplier of alpha has grown to its bound of {MULTIPLIER_MAX:g}, so values mean nothing: "
                    f"target_gap {config.target_gap:g} is too low for these data, or lagrange_lr "
                    f"{config.lagrange_lr:g} too high"
                )
                incidents.append(Incident(step, "multiplier at its bound", why, member.name))
    if getattr(hyper, "learn_temperature", False):
        for member, tau, largest in zip(
            population.members, temperature(networks).tolist(), largest_P.tolist(), strict=True
        ):
            if tau > max(largest, member.config.temperature):
                why = (
                    f"the learned temperature is {tau:.3g}, no value that these rewards allow is above {largest:.3g}, "
                    "so the policy follows nothing but its entropy: lower target_entropy or temperature_lr, or turn "
                    "learn_temperature off"
                )
                incidents.append(Incident(step, "temperature above all values", why, member.name))
    return incidents


class Guard:
    """Watches the members of a population. Its :meth:`tensors` are saved with each checkpoint.

    ``largest_P`` (P,) comes from :func:`largest_value`.
    """

    def __init__(self, population: Population, options: Options, largest_P: Tensor):
        self.population, self.options, self.largest_P = population, options, largest_P
        factor = math.inf if options.divergence_factor is None else options.divergence_factor
        self.limits = [factor * largest for largest in largest_P.tolist()]
        self.rollbacks = [0] * population.size
        self.last_sound_step: dict[int, int] = {}  # stopped members, and the last check at which each had not diverged
        self.checked = population.state.step
        self._remembered: dict[str, Tensor] = {}
        self._remembered_at = [self.checked] * population.size

    @property
    def stopped(self) -> set[int]:
        """Indices of the stopped members."""
        return set(self.last_sound_step)

    def begin(self) -> list[Incident]:
        """Remember the members' first states; stop those whose weights are not finite."""
        if self.options.rollbacks and not self._remembered:
            self._remember(range(self.population.size))
        step, names = self.population.state.step, self.population.names
        diverged = {member: why for member, why in self._diverged({}).items() if member not in self.last_sound_step}
        for member in diverged:
            self._stop(member)
        return [Incident(step, "stopped", why, names[member]) for member, why in diverged.items()]

    def check(self, means: Mapping[str, Sequence[float]]) -> list[Incident]:
        """Roll back or stop the members that have diverged.

        ``means`` has the means (P,) of the metrics since the last check, by name without ``train/``.
        """
        step, incidents = self.population.state.step, []
        diverged = {member: why for member, why in self._diverged(means).items() if member not in self.last_sound_step}
        for member, why in diverged.items():
            name = self.population.names[member]
            if self.rollbacks[member] < self.options.rollbacks:
                self._roll_back(member)
                back = f"{why}; back to step {self._remembered_at[member]}, learning rates halved"
                incidents.append(Incident(step, "rolled back", back, name))
            else:
                self._stop(member)
                incidents.append(Incident(step, "stopped", why, name))
        if self.options.rollbacks:
            self._remember(m for m in range(self.population.size) if m not in diverged and self._is_healthy(m, means))
        self.checked = step
        return incidents

    def _diverged(self, means: Mapping[str, Sequence[float]]) -> dict[int, str]:
        """The members that have diverged, and why."""
        reasons: dict[int, str] = {}
        for name, figures in means.items():
            for member, (figure, limit) in enumerate(zip(figures, self.limits, strict=True)):
                if name.endswith("_loss") and not math.isfinite(figure):
                    reasons.setdefault(member, f"{name} is {figure}")
                elif name in VALUES and abs(figure) > limit:
                    reasons.setdefault(member, f"{name} is {figure:.3g}, the limit for its rewards {limit:.3g}")
        for member in torch.nonzero(~self._finite()).flatten().tolist():
            reasons.setdefault(member, "its weights are not finite")
        return dict(sorted(reasons.items()))

    def _finite(self) -> Tensor:
        """(P,) bool: whether all weights are finite."""
        weights = [t for network in self.population.state.networks.values() for t in network.values()]
        return torch.stack([t.isfinite().reshape(len(t), -1).all(1) for t in weights]).all(0)

    def _is_healthy(self, member: int, means: Mapping[str, Sequence[float]]) -> bool:
        return member not in self.last_sound_step and all(
            abs(means[name][member]) <= HEALTHY * self.limits[member] for name in VALUES if name in means
        )

    # --- remembering, rolling back, stopping --------------------------------------------------------------------------

    def _trained(self) -> dict[str, Tensor]:
        """Weights and moments with the axis P first; changing them changes the population."""
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
    def _roll_back(self, member: int) -> None:
        for name, t in self._trained().items():
            t[member].copy_(self._remembered[name][member])
        self.rollbacks[member] += 1
        self._scale_learning_rates(member, SHRINK)

    def _scale_learning_rates(self, member: int, factor: float) -> None:
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
        self.last_sound_step[member] = self.checked

    # --- storage --------------------------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """Everything that :meth:`restore` needs."""
        healthy = [self.last_sound_step.get(member, -1) for member in range(self.population.size)]
        tensors = {"rollbacks": torch.tensor(self.rollbacks), "whole": torch.tensor(healthy)}
        tensors["checked"] = torch.tensor(self.checked)
        if self._remembered:
            tensors["remembered_at"] = torch.tensor(self._remembered_at)
            tensors |= {f"remembered.{name}": t for name, t in self._remembered.items()}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`tensors`, for a population that was restored to the same step."""
        if not tensors:  # a checkpoint of a version without a guard
            return
        self.rollbacks, self.checked = tensors["rollbacks"].tolist(), int(tensors["checked"])
        self.last_sound_step = {member: step for member, step in enumerate(tensors["whole"].tolist()) if step >= 0}
        for member, times in enumerate(self.rollbacks):
            self._scale_learning_rates(member, SHRINK**times)
        if "remembered_at" in tensors:
            self._remembered_at = tensors["remembered_at"].tolist()
            parts = {name.partition("."): t for name, t in tensors.items()}
            device = self.population.device
            self._remembered = {name: t.to(device) for (kind, _, name), t in parts.items() if kind == "remembered"}

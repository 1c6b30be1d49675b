"""What all estimators say of one policy, how much the log supports it, and both as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.ope import interval
from prudent.ope.calibration import Calibration
from prudent.ope.interval import Estimate

UNSEEN = 0.05
"""Share of what was not watched from which on a value is not called what the log earned."""
SETTLED = 0.05
"""Share of its size by which a fitted value may move in the second half of its fit and count as settled."""


def worth_told(tail_weight: float) -> str:
    """The verb for the behaviour's value: what of it is fitted behind the end of recordings was not earned."""
    return "is worth" if tail_weight >= UNSEEN else "earned"


@dataclass(frozen=True)
class Support:
    """How much of the policy the log shows.

    Attributes:
        episodes: in the log.
        units, by: how many groups they fall into, ``by`` is ``group``, or their number again and ``episode``: what is
            independent, and drawn for intervals.
        effective_sample_size: how many units of the policy's own they are worth (see
            :meth:`prudent.ope.importance.Weights.effective_sample_size`); None for a policy without a density.
        outside: share of the policy's actions, at the log's states, that the behaviour model holds for rarer than 99 %
            of the logged ones; 0.01 for the behaviour itself.
    """

    episodes: int
    units: int
    by: str
    effective_sample_size: float | None
    outside: float


def support_told(support: Mapping[str, Any], part: str = "") -> str:
    """The fields of a :class:`Support` in words; ``part`` says which episodes of a larger log they are."""
    effective, what = support["effective_sample_size"], f"{part} {support['by']}".strip()
    told = f"{100 * support['outside']:.1f} % of the actions are rarer in the log than 99 % of the logged ones"
    if effective is not None:
        told += (
            f"; importance weights leave of the {support['units']} {what}s what {effective:.1f} recorded with the "
            "policy itself would tell"
        )
    return told


@dataclass(frozen=True, eq=False)
class OffPolicyValue:
    """What a policy is worth, from a log alone. Values are raw reward units, from the log's start states.

    Attributes:
        name: the policy.
        discount: gamma of the discounted values, per :attr:`clock`.
        fqe, pdwis, wdr: discounted value of the policy by each estimator.
        starts: (episodes,) fitted value of each start state, whose mean is that of ``fqe`` where it is supported.
        halfway: the fitted value as it was at half of the steps.
        behaviour: discounted value of what made the log, by Monte Carlo.
        fitted_behaviour: the same, fitted as ``fqe`` is.
        undiscounted: sum of rewards per episode as recorded (a truncation ends it): ``pdwis`` and ``behaviour``.
        support, calibration: how much to trust it.
        behaviour_source: ``logged`` where the log has the probabilities of its actions, else ``fitted``.
        clock: what the discount is of: ``unit of time`` where the log has dt, else ``step``.
        tail_weight: mean discount at the end of a recording: how much of the future was not watched.
        notes: what to know, one line each.
    """

    name: str
    discount: float
    fqe: Estimate
    pdwis: Estimate
    wdr: Estimate
    starts: np.ndarray
    halfway: float
    behaviour: Estimate
    fitted_behaviour: Estimate
    undiscounted: dict[str, Estimate]
    support: Support
    calibration: Calibration
    behaviour_source: str
    clock: str
    tail_weight: float
    notes: tuple[str, ...] = ()

    @property
    def drift(self) -> float | None:
        """How far the fitted value moved in the second half of the fit; None without one."""
        return None if self.fqe.value is None else self.fqe.value - self.halfway

    @property
    def moving(self) -> str:
        """In words that the fitted value still moved by more than its standard error and :data:`SETTLED` of its size.

        Empty where it has settled. The interval knows nothing of that: refits stop as early, as far from where they go.
        """
        value, error = self.fqe.value, self.fqe.standard_error
        if self.drift is None or value is None or error is None or abs(self.drift) <= max(error, SETTLED * abs(value)):
            return ""
        return (
            f"the fitted value still moved from {self.halfway:.4g} to {value:.4g} in the second half of the fit: give "
            "it more --steps"
        )

    @property
    def improvement(self) -> dict[str, Estimate]:
        """``fqe``, ``pdwis`` and ``wdr`` less the behaviour, paired by episode or resample.

        Fitted values are compared with fitted ones, weighted returns with returns.
        """
        pairs = ((self.fqe, self.fitted_behaviour), (self.pdwis, self.behaviour), (self.wdr, self.behaviour))
        return {own.name: interval.difference(own, other) for own, other in pairs}

    def summary(self) -> dict[str, Any]:
        """Ready for JSON; None stands for what has no value."""
        estimates = {e.name: e.summary() for e in (self.fqe, self.pdwis, self.wdr, self.behaviour)}
        estimates["fitted_behaviour"] = self.fitted_behaviour.summary()
        return {
            "policy": self.name,
            "discount": self.discount,
            **estimates,
            "improvement": {name: e.summary() for name, e in self.improvement.items()},
            "undiscounted": {name: e.summary() for name, e in self.undiscounted.items()},
            "support": dict(vars(self.support)),
            "behaviour_model": {"source": self.behaviour_source, **self.calibration.summary()},
            "clock": self.clock,
            "drift": self.drift,
            "tail_weight": self.tail_weight,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        effective = self.support.effective_sample_size
        lines = [f"{self.name}: value at discount {self.discount:g} from the log's start states"]
        lines += [f"  {e.name:<10} {e}" for e in (self.fqe, self.wdr, self.pdwis, self.behaviour)]
        lines += [f"  {name:<10} {e} (sum of rewards per episode)" for name, e in self.undiscounted.items()]
        shown = "no density" if effective is None else f"{effective:.1f}"
        s = self.support
        lines += [f"  effective {s.by}s {shown} of {s.units}, {s.outside:.1%} of actions outside"]
        return "\n".join([*lines, *(f"  note: {note}" for note in (*self.notes, self.moving) if note)])

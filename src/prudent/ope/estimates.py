""":class:`OffPolicyValue`, the result for one policy: every estimate, the support of the log, and both as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.ope import interval
from prudent.ope.calibration import Calibration
from prudent.ope.interval import Estimate

UNSEEN = 0.05
"""Tail weight from which on a value is not called what the behaviour policy earned."""


def value_verb(tail_weight: float) -> str:
    """The verb for the value of the behaviour policy: it "earned" only what was recorded, not what is fitted."""
    return "is worth" if tail_weight >= UNSEEN else "earned"


@dataclass(frozen=True)
class Support:
    """How far the log supports estimates of the policy.

    Attributes:
        episodes: number of episodes in the log.
        units, by: number of independent units, which are resampled for intervals, and their kind: ``group`` or
            ``episode``.
        effective_sample_size: effective number of units, see
            :meth:`prudent.ope.importance.Weights.effective_sample_size`; None for a policy without a density.
        outside: share of the policy's actions, in the states of the log, that are rare there: rarer by the model than
            99 % of the logged actions and, if discrete, taken in less than 1 % of such states or never; None if its
            actions are not known.
    """

    episodes: int
    units: int
    by: str
    effective_sample_size: float | None
    outside: float | None


def support_text(support: Mapping[str, Any], part: str = "") -> str:
    """The fields of a :class:`Support` in words; ``part`` names the part of a larger log."""
    effective, unit = support["effective_sample_size"], f"{part} {support['by']}".strip()
    parts = []
    if support["outside"] is not None:
        share = 100 * support["outside"]
        parts.append(f"{share:.1f} % of the policy's actions are rare in the log")
    if effective is not None:
        text = f"for importance sampling the {support['units']} {unit}s count as {effective:.1f}"
        parts.append(text + (", so it says nothing here" if effective < 1 else ""))
    return "; ".join(parts)


@dataclass(frozen=True, eq=False)
class OffPolicyValue:
    """The value of one policy, estimated from a log. Values are in raw reward units, from the start states of the log.

    Attributes:
        name: of the policy.
        discount: gamma of the discounted values, per :attr:`clock`.
        fqe, pdwis, wdr: discounted value of the policy by each estimator.
        starts: (episodes,) fitted value of each start state; their mean is ``fqe.value`` where that is supported.
        behaviour: discounted value of the behaviour policy, by Monte Carlo.
        fitted_behaviour: the same, fitted in the way of ``fqe``.
        bad_ends, behaviour_bad_ends: discounted chance that an episode ends badly (:func:`prudent.ope.fqe.bad_ends`)
            under the policy and under the behaviour policy, fitted; None if no episode of the log did, or without a
            fitted value.
        undiscounted: ``pdwis`` and ``behaviour`` of the sum of rewards per episode as recorded (a truncation ends it).
        support, calibration: how far to trust the estimates.
        behaviour_source: ``logged`` if the log has the probabilities of its actions, else ``fitted``.
        clock: what the discount is per: ``step``, or the unit of the column dt: ``hour``, or ``unit of time`` if it is
            not known.
        tail_weight: mean discount at the end of a recording, the weight of the future that was not recorded.
        one_step: whether every episode is a single decision: values are then the mean reward per decision, see
            :mod:`prudent.ope.one_step`.
        notes: remarks, one line each.
    """

    name: str
    discount: float
    fqe: Estimate
    pdwis: Estimate
    wdr: Estimate
    starts: np.ndarray
    behaviour: Estimate
    fitted_behaviour: Estimate
    bad_ends: Estimate | None
    behaviour_bad_ends: Estimate | None
    undiscounted: dict[str, Estimate]
    support: Support
    calibration: Calibration
    behaviour_source: str
    clock: str
    tail_weight: float
    one_step: bool = False
    notes: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """The estimators, the most trusted first."""
        return ("wdr", "pdwis", "fqe") if self.one_step else ("fqe", "wdr", "pdwis")

    @property
    def lead(self) -> str:
        """The estimator that sentences and comparisons rest on.

        ``fqe``; of single decisions the first of :attr:`order` that the log supports; ``pdwis`` of a policy of which
        only the probabilities of the logged actions are known.
        """
        if self.support.outside is None:
            return "pdwis"
        supported = [name for name in self.order if getattr(self, name).supported]
        return next(iter(supported), self.order[0]) if self.one_step else self.order[0]

    @property
    def leading(self) -> Estimate:
        """The estimate by :attr:`lead`."""
        return getattr(self, self.lead)

    @property
    def improvement(self) -> dict[str, Estimate]:
        """``fqe``, ``pdwis`` and ``wdr`` less the value of the behaviour policy, paired by episode or resample.

        Fitted values are compared with fitted values, weighted returns with returns.
        """
        pairs = ((self.fqe, self.fitted_behaviour), (self.pdwis, self.behaviour), (self.wdr, self.behaviour))
        return {policy.name: interval.difference(policy, behaviour) for policy, behaviour in pairs}

    def summary(self) -> dict[str, Any]:
        """Ready for JSON; what has no value is None."""
        estimates = {e.name: e.summary() for e in (self.fqe, self.pdwis, self.wdr, self.behaviour)}
        estimates["fitted_behaviour"] = self.fitted_behaviour.summary()
        chances = {"bad_ends": self.bad_ends, "behaviour_bad_ends": self.behaviour_bad_ends}
        estimates |= {name: None if e is None else e.summary() for name, e in chances.items()}
        return {
            "policy": self.name,
            "discount": self.discount,
            **estimates,
            "improvement": {name: e.summary() for name, e in self.improvement.items()},
            "undiscounted": {name: e.summary() for name, e in self.undiscounted.items()},
            "support": dict(vars(self.support)),
            "behaviour_model": {"source": self.behaviour_source, **self.calibration.summary()},
            "clock": self.clock,
            "tail_weight": self.tail_weight,
            "one_step": self.one_step,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        effective = self.support.effective_sample_size
        lines = [f"{self.name}: value at discount {self.discount:g} from the log's start states"]
        if self.one_step:
            lines = [f"{self.name}: reward per decision"]
        lines += [f"  {name:<10} {getattr(self, name)}" for name in (*self.order, "behaviour")]
        if not self.one_step:
            lines += [f"  {name:<10} {e} (sum of rewards per episode)" for name, e in self.undiscounted.items()]
        shown = "no density" if effective is None else f"{effective:.1f}"
        s = self.support
        lines += [
            f"  bad ends   {chance} ({whose})"
            for chance, whose in ((self.bad_ends, "policy"), (self.behaviour_bad_ends, "behaviour"))
            if chance is not None
        ]
        outside = "" if s.outside is None else f", {s.outside:.1%} of actions outside"
        lines += [f"  effective {s.by}s {shown} of {s.units}{outside}"]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def notes_on(values: OffPolicyValue, reward: np.ndarray) -> tuple[str, ...]:
    """What is remarkable about the estimates of a policy from a log with these rewards (rows,), one line each."""
    notes = []
    if reward.max() == reward.min():
        notes.append(f"every reward is {reward[0]:g}: policies differ at most in how long their episodes last")
    logged, fitted = values.calibration.logged_log_likelihood, values.calibration.log_likelihood
    if logged is not None and fitted > logged + 0.2:
        notes.append(
            f"the log's own probabilities make its actions less likely (mean log-probability {logged:.2f}) than "
            f"the fitted model does ({fitted:.2f}): check their units"
        )
    if values.fqe.supported and values.wdr.supported and interval.difference(values.fqe, values.wdr).sign:
        notes.append("fqe and wdr disagree by more than their intervals allow: take both as rough figures")
    return tuple(notes)

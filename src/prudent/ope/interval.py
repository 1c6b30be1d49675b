"""Estimates with their intervals, and how an interval comes about.

Three ways, from the most to the least complete:

- ``refit``: units are drawn anew with replacement, everything that is learned from them is learned again, and the
  distance of the replicates from the estimate is the standard error (Efron & Tibshirani 1993, chapter 6; for
  off-policy values Hao et al. 2021, arXiv 2102.03607);
- ``influence``: the deviation of each unit's contribution to an estimator that is a mean of such, to first order;
- ``start``: the deviation of the fitted values over start states and members alone. The fit itself counts as certain,
  so this one is too narrow; it is for ranking many policies cheaply.

Units are episodes, or groups of them where the log has groups (:func:`prudent.data.units.units`).

Each is ``value -+ t * standard error`` with Student's t: of a few replicates or a few effective episodes nobody knows
the deviation well, and a percentile out of twenty replicates would hang on the outermost.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure, or why there is none.

    Attributes:
        name: the estimator: ``behaviour``, ``fqe``, ``pdwis``, ``wdr``, or a difference of two.
        value: raw reward units; None where the data do not support one, and ``reason`` says why.
        interval: (low, high), 95 %; None without a value.
        standard_error: of the value.
        method: ``refit``, ``influence`` or ``start``, see the module.
        degrees: of freedom of Student's t.
        influence: (units,) each one's contribution, whose mean is the value; of ``influence`` and ``start``.
        replicates: (n_bootstrap,) the value on each resample; of ``refit``.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    method: str | None = None
    degrees: float = math.inf
    reason: str | None = None
    influence: np.ndarray | None = None
    replicates: np.ndarray | None = None

    @property
    def supported(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def sign(self) -> int | None:
        """Of a difference: 1 or -1 where its whole interval is on one side of 0, else 0; None without one."""
        if self.interval is None:
            return None
        low, high = self.interval
        return 1 if low > 0 else -1 if high < 0 else 0

    def told(self, what: str) -> str:
        """A difference in words, ``what`` being what it is the gain of."""
        if self.value is None or self.interval is None:
            return f"{what}: not supported by the data ({self.reason})"
        low, high = self.interval
        meaning = {1: "shown to be better", -1: "shown to be worse"}.get(self.sign or 0, "not shown to differ")
        return f"{what}: {self.value:+.4g}, 95 % interval {low:+.4g} to {high:+.4g}: {meaning}"

    def summary(self) -> dict[str, Any]:
        """Ready for JSON; None stands for what has no value."""
        interval = None if self.interval is None else list(self.interval)
        return {
            "value": self.value,
            "ci95": interval,
            "standard_error": self.standard_error,
            "method": self.method,
            "unsupported": self.reason,
        }

    def __str__(self) -> str:
        if self.value is None or self.interval is None:
            return f"unsupported ({self.reason})"
        return f"{self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"


def unsupported(name: str, reason: str) -> Estimate:
    """No figure, and why."""
    return Estimate(name, None, reason=reason)


def with_error(name: str, value: float, error: float, method: str, degrees: float, **parts: Any) -> Estimate:
    """An estimate and its interval ``value -+ t * error``; unsupported where a number is not finite."""
    if not (math.isfinite(value) and math.isfinite(error)):
        return unsupported(name, "the estimate is not a finite number")
    reach = t_quantile((1 + LEVEL) / 2, degrees) * error
    return Estimate(name, value, (value - reach, value + reach), error, method, degrees, **parts)


def from_influence(name: str, value: float, influence_U: np.ndarray, effective: float | None = None) -> Estimate:
    """Of a mean over units, with ``effective`` of them (all of them by default) less one as degrees of freedom."""
    count = len(influence_U)
    error = float(np.std(influence_U, ddof=1) / math.sqrt(count))
    degrees = max(1.0, (count if effective is None else min(effective, count)) - 1)
    return with_error(name, value, error, "influence", degrees, influence=influence_U)


def from_replicates(name: str, value: float, replicates_B: np.ndarray) -> Estimate:
    """Of values on resamples of the episodes, each refitted.

    The standard error is the root mean square distance of the replicates from the value: their deviation and, where
    they lie to one side of it, the bias that this reveals (normalised weights and few steps both have one).
    """
    error = math.hypot(float(np.std(replicates_B, ddof=1)), float(np.mean(replicates_B)) - value)
    return with_error(name, value, error, "refit", len(replicates_B) - 1, replicates=replicates_B)


def from_starts(name: str, members_M: np.ndarray, values_U: np.ndarray) -> Estimate:
    """Of fitted values (units,) at the start states, with the spread of their members (M,) and no refit."""
    luck = float(np.var(members_M, ddof=1) / len(members_M)) if len(members_M) > 1 else 0.0
    error = math.sqrt(float(np.var(values_U, ddof=1)) / len(values_U) + luck)
    return with_error(name, float(np.mean(members_M)), error, "start", len(values_U) - 1, influence=values_U)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """``a - b`` of two estimates on the same episodes, paired: what moves both does not widen the interval.

    Pairs replicates of equal resamples (equal seeds and data) or, failing these, contributions of equal units; an
    estimate with neither in common counts as independent.
    """
    name = f"{a.name} - {b.name}"
    for one in (a, b):
        if not one.supported:
            return unsupported(name, f"{one.name}: {one.reason}")
    (value_a, error_a), (value_b, error_b) = _figures(a), _figures(b)
    value = value_a - value_b
    if a.replicates is not None and b.replicates is not None and len(a.replicates) == len(b.replicates):
        return from_replicates(name, value, a.replicates - b.replicates)
    degrees = min(a.degrees, b.degrees)
    if a.influence is not None and b.influence is not None and len(a.influence) == len(b.influence):
        paired = a.influence - b.influence
        error = float(np.std(paired, ddof=1) / math.sqrt(len(paired)))
        method = "start" if "start" in (a.method, b.method) else "influence"
        return with_error(name, value, error, method, degrees, influence=paired)
    return with_error(name, value, math.hypot(error_a, error_b), "independent", degrees)


def _figures(estimate: Estimate) -> tuple[float, float]:
    assert estimate.value is not None
    assert estimate.standard_error is not None
    return estimate.value, estimate.standard_error


def t_quantile(p: float, degrees: float) -> float:
    """Quantile of Student's t by the expansion of Abramowitz & Stegun 26.7.5; exact at 1 and 2 degrees.

    Within 0.3 % of the truth at p 0.975 from 3 degrees on.
    """
    z = NormalDist().inv_cdf(p)
    if math.isinf(degrees):
        return z
    if degrees <= 2:
        # Between the Cauchy quantile and that of two degrees, on a straight line.
        cauchy = math.tan(math.pi * (p - 0.5))
        two = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
        return cauchy + (two - cauchy) * (max(degrees, 1.0) - 1)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (k + 1) for k, term in enumerate(terms))

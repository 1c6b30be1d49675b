""":class:`Estimate`, one figure with its 95 % interval, and the methods that give an interval.

From the more to the less complete:

- ``refit``: units are resampled with replacement and values are fitted again on each resample. The standard error is
  the standard deviation of these replicates (Efron & Tibshirani 1993, chapter 6; for off-policy values Hao et al. 2021,
  arXiv 2102.03607). Refits that ran away are left out, see :func:`from_replicates`.
- ``influence``: the estimator is a mean of contributions, to first order. The standard error is that of their mean.
- ``skew``: as ``influence``, for single decisions. Its ends follow the skewness of the contributions (Hall 1992, J. R.
  Statist. Soc. B 54, the cubic transformation), since rewards may be rare and weights large: a few clicks.

Units are episodes, or groups of episodes where the log has groups (:meth:`prudent.data.Dataset.units`).

Otherwise each interval is ``value -+ t * standard error`` with Student's t, since a few replicates or a few effective
episodes give an uncertain standard error. A percentile of twenty replicates would depend on the outermost ones.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.95
FAR = 5.0
"""Robust standard deviations from the median beyond which a refit has run away."""
MOST_LEFT_OUT = 0.25
"""Largest share of refits that may be left out."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure, or the reason why there is none.

    Attributes:
        name: the estimator: ``behaviour``, ``fqe``, ``pdwis``, ``wdr``, or a difference of two.
        value: in raw reward units; None where the data do not support one.
        interval: (low, high), 95 %; None without a value.
        standard_error: of the value.
        method: how the interval was made: ``refit``, ``influence``, ``skew``, or ``independent`` (a difference of two
            estimates that cannot be paired).
        degrees: degrees of freedom of Student's t.
        reason: why there is no value.
        influence: (units,) contribution of each unit, with the value as their mean; methods ``influence`` and ``skew``.
        replicates: (n_bootstrap,) value on each resample, NaN where the refit was left out; method ``refit``.
        units: number of units that were resampled; method ``refit``.
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
    units: int | None = None

    @property
    def left_out(self) -> int:
        """Number of refits that were left out because they ran away."""
        return 0 if self.replicates is None else int(np.isnan(self.replicates).sum())

    @property
    def supported(self) -> bool:
        """Whether there is a value."""
        return self.value is not None

    @property
    def sign(self) -> int | None:
        """Sign of a difference: 1 or -1 if its whole interval lies on one side of 0, else 0; None without a value."""
        if self.interval is None:
            return None
        low, high = self.interval
        return 1 if low > 0 else -1 if high < 0 else 0

    @property
    def lower_bound(self) -> float:
        """The lower end of the interval; minus infinity without one."""
        return -math.inf if self.interval is None else self.interval[0]

    def difference_text(self, label: str, meaning: str = "") -> str:
        """A difference in words: ``label``, figures, and ``meaning`` (by default, which side is shown to be better)."""
        if self.value is None or self.interval is None:
            return f"{label}: not supported by the data ({self.reason})"
        low, high = self.interval
        by_sign = {1: "shown to be better", -1: "shown to be worse"}
        meaning = meaning or by_sign.get(self.sign or 0, "not shown to differ")
        return f"{label}: {self.value:+.4g}, 95 % interval {low:+.4g} to {high:+.4g}: {meaning}"

    def summary(self) -> dict[str, Any]:
        """Ready for JSON; what has no value is None."""
        interval = None if self.interval is None else list(self.interval)
        return {
            "value": self.value,
            "ci95": interval,
            "standard_error": self.standard_error,
            "method": self.method,
            "refits_left_out": self.left_out,
            "unsupported": self.reason,
        }

    def __str__(self) -> str:
        if self.value is None or self.interval is None:
            return f"unsupported ({self.reason})"
        return f"{self.value:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"


def unsupported(name: str, reason: str) -> Estimate:
    """An estimate without a value, and why."""
    return Estimate(name, None, reason=reason)


def with_error(name: str, value: float, error: float, method: str, degrees: float, **parts: Any) -> Estimate:
    """An estimate with the interval ``value -+ t * error``; unsupported if a number is not finite."""
    if not (math.isfinite(value) and math.isfinite(error)):
        return unsupported(name, "the estimate is not a finite number")
    half_width = t_quantile((1 + LEVEL) / 2, degrees) * error
    return Estimate(name, value, (value - half_width, value + half_width), error, method, degrees, **parts)


def from_influence(name: str, value: float, influence_U: np.ndarray, effective: float | None = None) -> Estimate:
    """Estimate of a mean over units, from their contributions (units,).

    Degrees of freedom are the ``effective`` number of units (by default all) less one.
    """
    count = len(influence_U)
    error = float(np.std(influence_U, ddof=1) / math.sqrt(count))
    degrees = max(1.0, (count if effective is None else min(effective, count)) - 1)
    return with_error(name, value, error, "influence", degrees, influence=influence_U)


def from_skewed(name: str, value: float, influence_U: np.ndarray, effective: float | None = None) -> Estimate:
    """As :func:`from_influence`, with ends that follow the skewness of the contributions (units,).

    The variance of n contributions of kurtosis k is as uncertain as that of ``2 n / (k - 1)`` normal ones, which limits
    the degrees of freedom, to 4 at least.
    """
    plain = from_influence(name, value, influence_U, effective)
    deviation = influence_U - influence_U.mean()
    variance = float((deviation**2).mean())
    if plain.standard_error is None or not variance > 0:
        return replace(plain, method="skew" if plain.supported else None)
    error, count = plain.standard_error, len(influence_U)
    kurtosis = float((deviation**4).mean()) / variance**2
    degrees = min(plain.degrees, max(4.0, 2 * count / max(kurtosis - 1, 1e-9) - 1))
    skewness = float((deviation**3).mean()) / variance**1.5 / math.sqrt(count)
    quantile = t_quantile((1 + LEVEL) / 2, degrees)
    ends = (value - error * unskewed(quantile, skewness), value - error * unskewed(-quantile, skewness))
    return replace(plain, interval=ends, method="skew", degrees=degrees)


def unskewed(t: float, skewness: float) -> float:
    """The inverse of Hall's transformation of a studentised mean whose contributions have this skewness of the mean."""
    if abs(skewness) < 1e-6:
        return t
    return 3 / skewness * (math.cbrt(1 + skewness * (t - skewness / 6)) - 1)


def from_replicates(
    name: str,
    value: float,
    replicates_B: np.ndarray,
    attainable: tuple[float, float] = (-math.inf, math.inf),
    units: int | None = None,
) -> Estimate:
    """Estimate from its values (resamples,) on resamples of the episodes, each refitted.

    Replicates that ran away are left out: those outside ``attainable``, and those further from the median than
    :data:`FAR` robust standard deviations (1.4826 times the median distance from it). They become NaN. With more than
    :data:`MOST_LEFT_OUT` of them there is no estimate.

    The standard error is the standard deviation of the others, times the root of ``units / (units - 1)``: a resample of
    few units varies less than new ones would. There are no more degrees of freedom than units less one. Where they
    lie further from the value on one side, as by a bias of refits, the interval is wider on this side alone: its reach
    is the root mean square distance of the replicates on that side, or the standard error if that is larger.
    """
    replicates_B = np.asarray(replicates_B, dtype=np.float64)
    kept = _kept(replicates_B, attainable)
    count = int(kept.sum())
    if count < 2 or count < (1 - MOST_LEFT_OUT) * len(replicates_B):
        return unsupported(name, f"{len(replicates_B) - count} of {len(replicates_B)} refits ran away")
    sample = replicates_B[kept]
    few = 1.0 if units is None else math.sqrt(units / (units - 1))
    error, degrees = few * float(np.std(sample, ddof=1)), min(count, units or count) - 1
    replicates = np.where(kept, replicates_B, np.nan)
    estimate = with_error(name, value, error, "refit", degrees, replicates=replicates, units=units)
    if not estimate.supported:
        return estimate
    quantile = t_quantile((1 + LEVEL) / 2, degrees)
    low, high = (quantile * max(error, few * _reach(side)) for side in (value - sample, sample - value))
    return replace(estimate, interval=(value - low, value + high))


def _kept(replicates_B: np.ndarray, attainable: tuple[float, float]) -> np.ndarray:
    """(resamples,) bool: finite, attainable and not far from the others."""
    low, high = attainable
    kept = np.isfinite(replicates_B) & (replicates_B >= low) & (replicates_B <= high)
    if not kept.any():
        return kept
    distance = np.abs(replicates_B - np.median(replicates_B[kept]))
    spread = 1.4826 * float(np.median(distance[kept]))
    return kept & (distance <= FAR * spread) if spread > 0 else kept


def _reach(distance: np.ndarray) -> float:
    """Root mean square of the distances on one side of the value; 0 if none lies there."""
    there = distance[distance > 0]
    return math.sqrt(float(np.mean(there**2))) if len(there) else 0.0


def difference(a: Estimate, b: Estimate) -> Estimate:
    """``a - b`` of two estimates on the same episodes, paired: noise that both share does not widen the interval.

    Pairs the replicates of equal resamples (equal seeds and data), else the contributions of equal units. Estimates
    that share neither count as independent.
    """
    name = f"{a.name} - {b.name}"
    for estimate in (a, b):
        if not estimate.supported:
            return unsupported(name, f"{estimate.name}: {estimate.reason}")
    (value_a, error_a), (value_b, error_b) = _figures(a), _figures(b)
    value = value_a - value_b
    if a.replicates is not None and b.replicates is not None and len(a.replicates) == len(b.replicates):
        return from_replicates(name, value, a.replicates - b.replicates, units=a.units)
    degrees = min(a.degrees, b.degrees)
    if a.influence is not None and b.influence is not None and len(a.influence) == len(b.influence):
        paired = a.influence - b.influence
        if a.method == b.method == "skew":
            return from_skewed(name, value, paired, degrees + 1)
        error = float(np.std(paired, ddof=1) / math.sqrt(len(paired)))
        return with_error(name, value, error, "influence", degrees, influence=paired)
    return with_error(name, value, math.hypot(error_a, error_b), "independent", degrees)


def _figures(estimate: Estimate) -> tuple[float, float]:
    assert estimate.value is not None
    assert estimate.standard_error is not None
    return estimate.value, estimate.standard_error


def t_quantile(p: float, degrees: float) -> float:
    """Quantile of Student's t by the expansion of Abramowitz & Stegun 26.7.5; exact at 1 and 2 degrees of freedom.

    From 3 degrees on it is within 0.3 % at p = 0.975.
    """
    z = NormalDist().inv_cdf(p)
    if math.isinf(degrees):
        return z
    if degrees <= 2:
        # Linear between the quantiles of one degree (Cauchy) and of two.
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

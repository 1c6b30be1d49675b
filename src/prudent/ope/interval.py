""":class:`Estimate`, one figure with its 95 % interval, and the methods that give an interval.

From the most to the least complete:

- ``refit``: units are resampled with replacement and everything is fitted again on each resample. The standard error is
  the distance of these replicates from the estimate (Efron & Tibshirani 1993, chapter 6; for off-policy values Hao et
  al. 2021, arXiv 2102.03607).
- ``influence``: the estimator is a mean of contributions, to first order. The standard error is that of their mean.
- ``skew``: as ``influence``, for single decisions. Its ends follow the skewness of the contributions (Hall 1992, J. R.
  Statist. Soc. B 54, the cubic transformation), since rewards may be rare and weights large: a few clicks.
- ``start``: the standard deviation of fitted values over start states and members. It ignores the error of the fit, so
  the interval is too narrow. It serves to rank many policies cheaply.

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


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure, or the reason why there is none.

    Attributes:
        name: the estimator: ``behaviour``, ``fqe``, ``pdwis``, ``wdr``, or a difference of two.
        value: in raw reward units; None where the data do not support one.
        interval: (low, high), 95 %; None without a value.
        standard_error: of the value.
        method: how the interval was made: ``refit``, ``influence``, ``skew``, ``start``, or ``independent`` (a
            difference of two estimates that cannot be paired).
        degrees: degrees of freedom of Student's t.
        reason: why there is no value.
        influence: (units,) contribution of each unit, with the value as their mean; methods ``influence``, ``skew``
            and ``start``.
        replicates: (n_bootstrap,) value on each resample; method ``refit``.
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


def from_replicates(name: str, value: float, replicates_B: np.ndarray) -> Estimate:
    """Estimate from its values (resamples,) on resamples of the episodes, each refitted.

    The standard error is the root mean square distance of the replicates from the value. So it includes the bias that
    shows where the replicates lie to one side (normalised weights and short fits both have a bias).
    """
    error = math.hypot(float(np.std(replicates_B, ddof=1)), float(np.mean(replicates_B)) - value)
    return with_error(name, value, error, "refit", len(replicates_B) - 1, replicates=replicates_B)


def from_starts(name: str, members_M: np.ndarray, values_U: np.ndarray) -> Estimate:
    """Estimate from fitted values (units,) at the start states and the means (M,) of the members, without refits."""
    member_variance = float(np.var(members_M, ddof=1) / len(members_M)) if len(members_M) > 1 else 0.0
    error = math.sqrt(float(np.var(values_U, ddof=1)) / len(values_U) + member_variance)
    return with_error(name, float(np.mean(members_M)), error, "start", len(values_U) - 1, influence=values_U)


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
        return from_replicates(name, value, a.replicates - b.replicates)
    degrees = min(a.degrees, b.degrees)
    if a.influence is not None and b.influence is not None and len(a.influence) == len(b.influence):
        paired = a.influence - b.influence
        if a.method == b.method == "skew":
            return from_skewed(name, value, paired, degrees + 1)
        error = float(np.std(paired, ddof=1) / math.sqrt(len(paired)))
        method = "start" if "start" in (a.method, b.method) else "influence"
        return with_error(name, value, error, method, degrees, influence=paired)
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

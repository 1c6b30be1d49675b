"""Checks of observation features: those that do not vary, that jump out of their range, or that lost their digits."""

from collections.abc import Callable

import numpy as np

from prudent.data import precision
from prudent.data.dataset import Dataset
from prudent.data.finding import SHOWN, Finding, rows_finding

HARDLY = 1e-3
"""A feature whose standard deviation is less than this share of its mean hardly varies."""

FAR = 30
"""An observation this many standard deviations from the mean is an outlier."""

SQUEEZED = 10
"""A feature is squeezed if its standard deviation is this many times the range of most rows."""

_SAMPLE = 50_000


def constant_columns(dataset: Dataset) -> Finding | None:
    """Observation features that never change."""
    constant = np.ptp(dataset.observation, axis=0) == 0
    advice = "harmless (scaling makes them zero), but a sensor may have failed"
    return rows_finding("constant observation features", constant, advice, unit="features")


def hardly_varying(dataset: Dataset) -> Finding | None:
    """Observation features whose spread is tiny beside their size; not those that float64 keeps exact."""
    mean, std = dataset.observation_figures.mean, dataset.observation_figures.std
    rounding = std <= 1e-6 * np.maximum(1.0, np.abs(mean))  # a constant, as scaling takes it
    hardly = (std < HARDLY * np.abs(mean)) & ~rounding & ~precision.coarse(dataset)
    advice = (
        "their spread is below a thousandth of their size, so scaling divides them by that instead, and a policy takes "
        "values outside the range of the log at its edge: is this noise of a sensor that did not move?"
    )
    return rows_finding("observation features that hardly vary", hardly, advice, unit="features")


def observation_outliers(dataset: Dataset) -> Finding | None:
    """Observations so far from the others that a policy has hardly learned what to do there."""
    mean, std = dataset.observation_figures.mean, dataset.observation_figures.std
    features = np.flatnonzero(_has_outliers(dataset))
    far = np.abs(dataset.observation[:, features] - mean[features]) > FAR * std[features]
    advice = (
        f"more than {FAR} standard deviations from the mean (features {features[:SHOWN].tolist()}): a sensor fault, "
        "or a rare event? A policy takes what fewer than 10 rows show at the edge of the range of the others"
    )
    alike = [feature for feature in features.tolist() if _is_squeezed(dataset)[feature]]
    if alike:
        advice += (
            f"; and scaling by it makes the other rows look alike in features {alike[:SHOWN]}: repair or leave out"
        )
    return rows_finding("observation outliers", far.any(axis=1), advice)


def _has_outliers(dataset: Dataset) -> np.ndarray:
    """(S,) bool: features with a row more than :data:`FAR` standard deviations from the mean."""
    mean, std = dataset.observation_figures.mean, dataset.observation_figures.std
    low, high = dataset.observation.min(axis=0), dataset.observation.max(axis=0)
    return np.maximum(high - mean, mean - low) > FAR * np.where(std > 0, std, np.inf)


def squeezed(dataset: Dataset) -> Finding | None:
    """Features whose spread is that of a few extreme rows, so that scaling leaves nothing of the others."""
    advice = (
        f"their standard deviation, which divides them, is more than {SQUEEZED} times the range of the middle 90 % "
        "of the rows, which then look alike: a number that stands for a missing value (-9999), a fault, or amounts "
        "to take the logarithm of?"
    )
    features = _is_squeezed(dataset) & ~_has_outliers(dataset)
    return rows_finding("observation features squeezed by extremes", features, advice, unit="features")


def _is_squeezed(dataset: Dataset) -> np.ndarray:
    """(S,) bool: features whose standard deviation is far above the range of most rows."""
    observation = dataset.observation[:: max(1, len(dataset) // _SAMPLE)]
    low, high = np.quantile(observation, [0.05, 0.95], axis=0)
    usual = np.asarray(high, np.float64) - low
    return (usual > 0) & (dataset.observation_figures.std > SQUEEZED * usual)


def rounded_observations(dataset: Dataset) -> Finding | None:
    """Features recorded as float32 that float32 is too coarse for."""
    if dataset.observation.dtype != np.float32:
        return None  # kept exact
    observation = dataset.observation[:_SAMPLE]
    unit = np.spacing(np.median(np.abs(observation), axis=0))
    change = np.abs(np.diff(observation, axis=0))
    steps = np.where(change > 0, change, np.nan)
    usual = np.array([np.nanmedian(column) if (column > 0).any() else np.inf for column in steps.T])
    advice = "they move by one or two units of float32's last digit: record them as float64, or less a constant"
    return rows_finding("observation features rounded by float32", usual <= 2 * unit, advice, unit="features")


CHECKS: tuple[Callable[[Dataset], Finding | None], ...] = (
    constant_columns,
    hardly_varying,
    observation_outliers,
    squeezed,
    rounded_observations,
)

"""What float32 takes away: columns that it rounds by more than they change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import Rows, blocks

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset

COARSE = 0.05
"""Rounding counts if it is more than this share of the usual change from one row to the next, ..."""
_COARSE_SPREAD = 1e-3
"""... or more than this share of the range: rows need not be in order of time."""

_SAMPLE = 50_000
_WHOLE = 2.0**53
"""From here on float64 does not hold every whole number."""
_SPREAD = 1e-12
"""A feature that varies by less than this share of its size is constant, with the rounding error of its source."""


@dataclass(frozen=True)
class Rounding:
    """How float32 holds the features of a column, all (S,) float64.

    ``error`` is the largest rounding error, ``change`` the usual change in a row (the median of those that are not 0;
    0 for a constant feature), ``span`` the largest value less the smallest, and ``size`` the largest magnitude.
    ``lost`` (S,) bool are features of whole numbers whose differences even float64 does not hold. ``exact`` says that
    they are whole numbers.
    """

    error: np.ndarray
    change: np.ndarray
    span: np.ndarray
    size: np.ndarray
    lost: np.ndarray
    exact: bool

    @property
    def coarse(self) -> np.ndarray:
        """(S,) bool: float32 rounds this feature by a considerable share of its change or span."""
        blurs = (self.error > COARSE * self.change) | (self.error > _COARSE_SPREAD * self.span)
        # What lies beyond float32 counts as infinite, and is refused.
        # Whole numbers have no rounding error of their source.
        return (
            blurs & (self.span > (0 if self.exact else _SPREAD) * self.size) & (self.size <= np.finfo(np.float32).max)
        )


def is_wide(dtype: np.dtype) -> bool:
    """Whether numbers of a type may not fit into float32: float64, and whole numbers of 4 bytes or more."""
    return dtype.kind in "fiu" and dtype.itemsize > (4 if dtype.kind == "f" else 2)


def rounding(column: Rows, following: Rows | None = None) -> Rounding:
    """How float32 would hold a column (rows, S), read in blocks.

    The change is that to ``following`` (rows, S), the column after each row, or else to the next row.
    """
    rows, size = len(column), column[slice(0, 1)].shape[1]
    error, low, high = np.zeros(size), np.full(size, np.inf), np.full(size, -np.inf)
    step = max(1, rows // _SAMPLE)
    changes, lost, exact = [], np.zeros(size, dtype=bool), True
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks(rows):
            stored = np.asarray(column[block])
            values = stored.astype(np.float64)
            exact &= stored.dtype.kind in "iu"
            if exact and stored.dtype.itemsize == 8 and (np.abs(values) >= _WHOLE).any():
                lost |= (np.diff(stored, axis=0).astype(np.float64) != np.diff(values, axis=0)).any(axis=0)
            error = np.fmax(error, np.abs(values - values.astype(np.float32)).max(0, initial=0.0))
            low, high = np.fmin(low, values.min(0)), np.fmax(high, values.max(0))
            after = values[1:] if following is None else np.asarray(following[block], dtype=np.float64)
            changes.append(np.abs(after - values[: len(after)])[::step])
        change = np.concatenate(changes)
        change[~(change > 0)] = np.nan
        usual = np.array([np.median(column[~np.isnan(column)]) if (column > 0).any() else 0.0 for column in change.T])
        return Rounding(error, usual, high - low, np.fmax(np.abs(low), np.abs(high)), lost, exact)


def coarse(dataset: "Dataset") -> np.ndarray:
    """(S,) bool: the observation features for whose sake a dataset is kept in float64."""
    if dataset.observation.dtype != np.float64:
        return np.zeros(dataset.observation.shape[1], dtype=bool)
    return rounding(dataset.observation, dataset.next_observation).coarse


def observation_type(observation: Rows, following: Rows | None, *sources: np.dtype) -> tuple[type, list[str]]:
    """float64 if float32 would blur a feature, else float32; and the note on it.

    ``observation`` and ``following`` (rows, S) are compared; ``sources`` are the types in which they are recorded.
    Where one of them is float32 already, float64 would hold no more.
    """
    if not all(is_wide(dtype) for dtype in sources):
        return np.float32, []
    figures = rounding(observation, following)
    lost = [
        f"observation feature {feature} holds whole numbers of up to {figures.size[feature]:.6g}, whose last digits no "
        "float holds, so rows that differ may look alike: subtract a constant from them in the log"
        for feature in np.flatnonzero(figures.lost)[:3]
    ]
    features = np.flatnonzero(figures.coarse)
    if not len(features):
        return np.float32, lost
    worst = features[0]
    several = "feature" if len(features) == 1 else "features"
    return np.float64, [
        *lost,
        f"observation {several} {', '.join(map(str, features[:10]))}{', ...' if len(features) > 10 else ''} kept in "
        f"float64 and centred before the networks: float32 would round feature {worst} (up to "
        f"{figures.size[worst]:.6g}) by up to {figures.error[worst]:.3g}, and it usually changes by "
        f"{figures.change[worst]:.3g}",
    ]


def blurred(key: str, column: np.ndarray) -> list[str]:
    """A note if float32 rounds a column (rows,) or (rows, A) by more than a twentieth of its standard deviation."""
    if not is_wide(column.dtype):
        return []
    values = np.asarray(column, dtype=np.float64).reshape(len(column), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        error, spread = np.abs(values - values.astype(np.float32)).max(0), values.std(0)
    features = np.flatnonzero((error > COARSE * spread) & (spread > _SPREAD * np.abs(values).max(0)))
    if not len(features):
        return []
    first = features[0]
    where = key if column.ndim == 1 else f"{key} (feature {first})"
    return [
        f"{where} around {values[:, first].mean():.6g} rounded to float32 by up to {error[first]:.3g}, with a standard "
        f"deviation of {spread[first]:.3g}: subtract a constant from them in the log"
    ]

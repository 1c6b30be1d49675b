"""How well rows follow those some rows before them: evidence of what the successor of a row is."""

from collections.abc import Callable
from typing import Any

import numpy as np

from prudent.data.columns import Rows

MOST = 256
"""The largest distance between rows that is looked at."""
ANCHORS = 8192
"""Rows that are compared with later ones."""
LEAST = 50
"""Fewer pairs of rows prove nothing."""
_STRETCH, _SCANNED = 512, 128
_FEATURES = 32

_CLOSER, _LEVEL, _FOLLOWED, _UNRELATED = 0.9, 0.5, 0.2, 0.5
_FOLLOWED_ONE_HOT = 0.1
"""A linear fit of one-hot rows explains less: where they lead depends on the action in each of them."""
_BETTER = 0.02
_RIDGE = 1e-3


def best(observation: Rows, action: Rows | None, ends: np.ndarray) -> int | None:
    """The distance at which rows follow each other far better than neighbours; None if there is none.

    Args:
        observation: (rows, S).
        action: (rows, A), or None.
        ends: (rows,) bool, the flagged ends of episodes.

    Such a distance k has to pass all of these tests, which rows in order of time fail even if they are periodic:

    1. Rows k apart are closer than neighbours, and closer than rows any other distance apart.
    2. Neighbours are not much closer than rows 2 to k - 2 apart. A signal of period k has its closest rows nearby.
    3. With the mean of each of the k classes of rows removed, observation and action predict the observation k rows on
       in a linear fit, and say next to nothing about the next row. What has period k vanishes with the means. In order
       of time, a row says more about the next one than about any later one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        sample = _Sample(observation, action, ends)
        medians = sample.distances()
        lag = _best(sample, medians, _FOLLOWED)
        # One-hot rows are equal or one distance apart, so most medians are the same; then their share counts.
        if lag is None and len(medians) and np.isclose(medians, medians[0], rtol=1e-9).mean() > 0.5:
            lag = _best(sample, sample.distances(np.mean), _FOLLOWED_ONE_HOT)
        return lag


def _best(sample: "_Sample", distances: np.ndarray, least: float) -> int | None:
    if len(distances) < 2 or not np.isfinite(distances[0]):
        return None
    lag = int(np.nanargmin(distances)) + 1
    if lag == 1 or not distances[lag - 1] <= _CLOSER * distances[0]:
        return None
    between = distances[1 : lag - 2]
    if len(between) and distances[0] < _LEVEL * np.median(between):
        return None
    # A control that goes to and fro brings rows two steps apart closer than one step apart: then a divisor is right.
    divisors = [k for k in range(2, lag) if lag % k == 0 and distances[k - 1] <= distances[0]]
    fits = {k: sample.prediction(k, lag) - _BETTER for k in divisors} | {lag: sample.prediction(lag, lag)}
    lag = max(fits, key=lambda k: fits[k])
    # Two rows predict the next one of any sine. Two recorders' rows stand two apart, so there it is one row.
    neighbours = sample.prediction(1, lag, rows=1 if lag == 2 else 2)
    return lag if fits[lag] >= least and neighbours <= _UNRELATED * fits[lag] else None


def neighbours_are_closer(observation: Rows, ends: np.ndarray, lag: int) -> bool:
    """Whether neighbours are clearly closer than rows ``lag`` apart, outside the ``ends`` (rows,) bool of episodes."""
    distances = _Sample(observation, None, ends).distances()
    return lag <= len(distances) and bool(distances[0] < _CLOSER * distances[lag - 1])


class _Sample:
    """Stretches of rows from all over a file, and the flags of ends in them."""

    def __init__(self, observation: Rows, action: Rows | None, ends: np.ndarray):
        rows = len(observation)
        self.most = min(MOST, rows // 8)
        length = min(rows, _STRETCH + self.most)
        count = max(1, min(ANCHORS // _STRETCH, rows // length))
        self.starts = np.linspace(0, rows - length, count).astype(np.int64).tolist()
        stretches = [slice(start, start + length) for start in self.starts]
        self.values = [_numbers(observation[stretch]) for stretch in stretches]
        self.actions = [np.zeros((length, 0)) if action is None else _numbers(action[stretch]) for stretch in stretches]
        self.ends = [ends[stretch] for stretch in stretches]
        together = np.concatenate(self.values)
        spread = np.sort(together, axis=0)
        # Of a feature with rare outliers, the usual range counts.
        low, high = spread[len(spread) // 20], spread[-(len(spread) // 20) - 1]
        self.scale = np.where(high > low, high - low, spread[-1] - spread[0])
        moving = np.flatnonzero((self.scale > 0) & np.isfinite(self.scale))
        moving = moving[np.linspace(0, len(moving) - 1, min(len(moving), _FEATURES)).astype(np.int64)]
        self.values = [(part - together.mean(axis=0))[:, moving] / self.scale[moving] for part in self.values]

    def distances(self, average: Callable[[np.ndarray], Any] = np.median) -> np.ndarray:
        """The median (or other average) distance between rows 1, 2, ... apart, in ranges; NaN for too few rows."""
        if self.values[0].shape[1] == 0:
            return np.zeros(0)
        return np.array([self._distance(lag, average) for lag in range(1, self.most + 1)])

    def _distance(self, lag: int, average: Callable[[np.ndarray], Any]) -> float:
        parts = []
        for values, ends in zip(self.values, self.ends, strict=True):
            here = self._anchors(ends, lag)[:_SCANNED]
            parts.append(np.minimum(np.abs(values[here + lag] - values[here]), 1).mean(axis=1))
        together = np.concatenate(parts)
        return float(average(together)) if len(together) >= LEAST else np.nan

    def prediction(self, lag: int, classes: int, rows: int = 1) -> float:
        """R^2 of a linear fit of the row ``lag`` rows on, outside the rows that it is fitted to; mean over features.

        The regressors are the action and the observation, with those of the ``rows - 1`` rows before; observations are
        without the means of the ``classes`` classes of row numbers.
        """
        given, after = [], []
        means = self._class_means(classes)
        for start, values, actions, ends in zip(self.starts, self.values, self.actions, self.ends, strict=True):
            here = self._anchors(ends, lag)
            here = here[here >= rows - 1]
            centred = values - means[(start + np.arange(len(values))) % classes]
            given.append(np.concatenate([*(centred[here - before] for before in range(rows)), actions[here]], axis=1))
            after.append(centred[here + lag])
        x, y = np.concatenate(given), np.concatenate(after)
        if len(x) < LEAST:
            return 0.0
        # Halves of whole stretches: neighbours are alike, so rows beside each other would not test anything.
        cut = len(x) // 2
        scores = [_score(x[fit], y[fit], x[test], y[test]) for fit, test in _halves(cut, len(x))]
        return float(np.mean(scores))

    def _class_means(self, classes: int) -> np.ndarray:
        total, count = np.zeros((classes, self.values[0].shape[1])), np.zeros(classes)
        for start, values in zip(self.starts, self.values, strict=True):
            number = (start + np.arange(len(values))) % classes
            np.add.at(total, number, values)
            np.add.at(count, number, 1)
        return total / np.maximum(count, 1)[:, None]

    def _anchors(self, ends: np.ndarray, lag: int) -> np.ndarray:
        """Rows of a stretch that are compared with those ``lag`` rows on: those that end no episode."""
        return np.flatnonzero(~ends[: len(ends) - lag])[:_STRETCH]


def _halves(cut: int, rows: int) -> list[tuple[slice, slice]]:
    return [(slice(0, cut), slice(cut, rows)), (slice(cut, rows), slice(0, cut))]


def _score(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Mean over the features of R^2, each at least 0, of a ridge regression fitted to ``x``, ``y``."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    spread = np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    x, x_test = (x - mean_x) / spread, (x_test - mean_x) / spread
    weights = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ (y - mean_y))
    left = np.square(y_test - mean_y - x_test @ weights).mean(axis=0)
    variance = y_test.var(axis=0)
    # Units are ranges, so this is what rounding leaves of a feature that its class mean explains.
    tested = variance > 1e-8
    return float(np.clip(1 - left[tested] / variance[tested], 0, 1).mean()) if tested.any() else 0.0


def _numbers(rows: np.ndarray) -> np.ndarray:
    """Rows as (rows, columns) float64."""
    rows = np.asarray(rows)
    return (rows[:, None] if rows.ndim == 1 else rows).astype(np.float64)

"""Figures of observation features: mean, standard deviation, and the range that the log covers."""

from dataclasses import dataclass

import numpy as np

from prudent.data.columns import blocks

SET_ASIDE = 10
"""This many rows at either end of a feature do not count as covered: too few to learn from (of short logs 1 %)."""

MARGIN = 0.25
"""The range goes this share of its length beyond the covered values, at either end."""


@dataclass(frozen=True)
class Figures:
    """Of each observation feature, all (S,) float64: ``mean``, ``std``, and the range ``low`` to ``high``.

    The range holds all values but the 10 lowest and the 10 highest (of fewer than 1,000 rows 1 % at either end), and
    goes a quarter of its length beyond them. A constant feature has a range of length 0.
    """

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> "Figures":
        """The figures of a column (rows, S), read in blocks: it may be on disk."""
        return cls(*moments(column), *covered_range(column))


def moments(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a column (rows, ...) over its rows, float64, in one pass.

    The moments of blocks are merged pairwise (Chan et al. 1979), in memory as on disk: the digits are the same.
    """
    seen, mean, squares = 0, np.zeros(column.shape[1:]), np.zeros(column.shape[1:])
    for block in blocks(len(column)):
        part = np.asarray(column[block], dtype=np.float64)
        part_mean = part.mean(0)
        gap, count = part_mean - mean, len(part)
        squares += np.square(part - part_mean).sum(0) + np.square(gap) * (seen * count / (seen + count))
        mean += gap * (count / (seen + count))
        seen += count
    return mean, np.sqrt(squares / max(seen, 1))


def covered_range(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The range of a column (rows, S) as :class:`Figures` has it: two arrays (S,) float64."""
    kept = 1 + min(SET_ASIDE, len(column) // 100)
    least = np.full((kept, column.shape[1]), np.inf)
    most = -least
    for block in blocks(len(column)):
        part = np.asarray(column[block], dtype=np.float64)
        # Few rows of the later blocks are extreme, so few are sorted.
        low = part[(part < least[-1]).any(1)]
        high = part[(part > most[0]).any(1)]
        least = np.sort(np.concatenate([least, low]), axis=0)[:kept]
        most = np.sort(np.concatenate([most, high]), axis=0)[-kept:]
    low, high = least[-1], most[0]
    margin = MARGIN * (high - low)
    return low - margin, high + margin

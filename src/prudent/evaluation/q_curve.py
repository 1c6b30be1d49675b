"""The shape of the average Q of the logged decisions over a run: where it peaked, and whether it fell.

Kumar et al. 2021 (arXiv 2109.10813), section 4: in a conservative critic that overfits, this curve rises, peaks and
falls; the policy to take is the one at the peak. Two additions make this work on any log. With negative rewards Q first
falls from 0 to the level of the returns: this is learning, not overfitting. And a curve is never smooth: a drop of
less than 5 % does not count.
"""

from dataclasses import dataclass

import numpy as np

FELL = 0.05
"""A curve has fallen if it drops below its peak by this share of its largest magnitude."""


@dataclass(frozen=True)
class Shape:
    """The shape of a curve with C points; ``peak`` and ``kept`` are indices. At most one of the flags is True.

    Attributes:
        peak: the highest point after learning had begun.
        kept: the last point before the curve falls below its peak; the last point if it does not fall.
        falls: it ends below its peak.
        descends: it is still on its way from 0 down to the level of the returns.
        climbs: it rose over its last fifth.
    """

    peak: int
    kept: int
    falls: bool
    descends: bool
    climbs: bool


def shape(q_C: np.ndarray, reference: float | None = None) -> Shape:
    """The shape of average dataset Q (C,); ``reference`` is the average return-to-go of the log, in the same units."""
    last = len(q_C) - 1
    begin = _end_of_descent(q_C) if reference is None else _first_below(q_C, reference)
    peak = begin + int(np.argmax(q_C[begin:]))
    tolerance = FELL * float(np.abs(q_C[begin:]).max())
    below = np.flatnonzero(q_C[peak:] < q_C[peak] - tolerance)
    moved = float(q_C[-1] - q_C[max(0, last - max(1, len(q_C) // 5))])
    # A curve that dips and recovers has not fallen: noise of a few per cent does that.
    falls = len(below) > 0 and below[-1] == last - peak
    return Shape(
        peak=peak,
        kept=peak + int(below[0]) - 1 if falls else last,
        falls=falls,
        descends=not falls and 0 < begin == last and moved < -tolerance,
        climbs=not falls and moved > tolerance,
    )


def _first_below(q_C: np.ndarray, reference: float) -> int:
    """First point at or below a negative reference, or else the lowest point; 0 if the reference is not negative."""
    if reference >= 0:
        return 0
    below = np.flatnonzero(q_C <= reference)
    return int(below[0]) if len(below) else int(np.argmin(q_C))


def _end_of_descent(q_C: np.ndarray) -> int:
    """Without a reference: the lowest point before the first clear rise, or the last point if there is no rise."""
    if q_C[0] > 0 and q_C[-1] > 0:
        return 0
    lowest_C = np.minimum.accumulate(q_C)
    rises = np.flatnonzero(q_C > lowest_C + FELL * float(np.abs(q_C).max()))
    return int(np.argmin(q_C[: rises[0]])) if len(rises) else len(q_C) - 1

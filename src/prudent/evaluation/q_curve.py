"""How the average Q of the logged decisions moved over a run, and what that says.

Kumar et al. 2021 (arXiv 2109.10813), section 4: a conservative critic that overfits shows in this curve, which rises,
peaks and then falls; the policy to take is that of the peak. Two things have to be added for use on any log. Where
rewards are negative Q first falls from 0 towards what the log returned, and this is learning, not overfitting. And a
curve is never smooth: what stays within 5 % of the peak has not fallen.
"""

from dataclasses import dataclass

import numpy as np

FELL = 0.05
"""By which share of its largest magnitude the curve has to drop below its peak to have fallen."""


@dataclass(frozen=True)
class Shape:
    """Where a curve of C points peaked, as indices, and which of these it is: none of them is ``settled``.

    Attributes:
        peak: the highest point after learning had begun.
        kept: the last point before the curve falls below its peak; the last of all where it does not.
        falls: it does, and ends below it.
        descends: it has not fallen from anywhere yet, being on its way from 0 down to what the log returned.
        climbs: it rose over its last fifth.
    """

    peak: int
    kept: int
    falls: bool
    descends: bool
    climbs: bool


def shape(q_C: np.ndarray, reference: float | None = None) -> Shape:
    """The shape of average dataset Q (C,); ``reference`` is what the log returned on average, in the same units."""
    last = len(q_C) - 1
    begin = _on_its_way_down(q_C) if reference is None else _learned(q_C, reference)
    peak = begin + int(np.argmax(q_C[begin:]))
    room = FELL * float(np.abs(q_C[begin:]).max())
    below = np.flatnonzero(q_C[peak:] < q_C[peak] - room)
    moved = float(q_C[-1] - q_C[max(0, last - max(1, len(q_C) // 5))])
    # A curve that dips and comes back has not peaked: noise of a few per cent does that.
    falls = len(below) > 0 and below[-1] == last - peak
    return Shape(
        peak=peak,
        kept=peak + int(below[0]) - 1 if falls else last,
        falls=falls,
        descends=not falls and 0 < begin == last and moved < -room,
        climbs=not falls and moved > room,
    )


def _learned(q_C: np.ndarray, reference: float) -> int:
    """First point that is no more on its way from 0 down to a negative reference, or the lowest of all."""
    if reference >= 0:
        return 0
    reached = np.flatnonzero(q_C <= reference)
    return int(reached[0]) if len(reached) else int(np.argmin(q_C))


def _on_its_way_down(q_C: np.ndarray) -> int:
    """The same where no reference is known: where it turned before its first clear rise, the last where it has none."""
    if q_C[0] > 0 and q_C[-1] > 0:
        return 0
    lowest_C = np.minimum.accumulate(q_C)
    risen = np.flatnonzero(q_C > lowest_C + FELL * float(np.abs(q_C).max()))
    return int(np.argmin(q_C[: risen[0]])) if len(risen) else len(q_C) - 1

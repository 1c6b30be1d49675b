"""Discounted returns-to-go of all rows of a log, read in blocks."""

import numpy as np

from prudent.data import columns


def to_go(
    reward: np.ndarray, bounds: np.ndarray, terminated: np.ndarray, dt: np.ndarray | None, discount: float
) -> np.ndarray:
    """Return from each row on, (rows,) float32; a step of length ``dt`` (rows,; None: 1) costs ``discount ** dt``.

    ``bounds`` (episodes + 1,) are the rows where episodes begin, and their number. An episode that did not terminate is
    taken to go on as it ended, with the mean reward of its last ``1 / (1 - discount)`` units of time, for ever.
    """
    found = np.empty(len(reward), dtype=np.float32)
    value = 0.0
    for block in reversed(list(columns.blocks(len(reward)))):
        tail = _tails(reward, bounds, terminated, dt, block, discount)
        # Plain floats: the recurrence is sequential, and indexing NumPy arrays one by one is ten times
        # slower.
        values, kept = reward[block].astype(np.float64).tolist(), _kept(dt, block, discount).tolist()
        for row in range(len(values) - 1, -1, -1):
            value = tail.get(row, value)
            value = values[row] + kept[row] * value
            values[row] = value
        found[block] = values
    return found


def _kept(dt: np.ndarray | None, rows: slice, discount: float) -> np.ndarray:
    """Share of a value that is left after each of the steps ``rows``, (rows,) float64."""
    if dt is None:
        return np.full(rows.stop - rows.start, discount)
    return discount ** dt[rows].astype(np.float64)


def _tails(
    reward: np.ndarray, bounds: np.ndarray, terminated: np.ndarray, dt: np.ndarray | None, block: slice, discount: float
) -> dict[int, float]:
    """What follows the episodes that end within a block, by the row of their end, counted within the block."""
    first, last = np.searchsorted(bounds[1:], (block.start, block.stop), side="right")
    tail = dict.fromkeys((bounds[first + 1 : last + 1] - 1 - block.start).tolist(), 0.0)
    for start, end in zip(bounds[first:last].tolist(), bounds[first + 1 : last + 1].tolist(), strict=True):
        if discount < 1 and not terminated[end - 1]:
            recent = _recent(dt, start, end, discount)
            tail[end - 1 - block.start] = float(
                reward[recent].astype(np.float64).mean() / _passing(dt, recent, discount)
            )
    return tail


def _recent(dt: np.ndarray | None, start: int, end: int, discount: float) -> slice:
    """The last rows of an episode that took ``1 / (1 - discount)`` units of time together; one or more."""
    window = 1 / (1 - discount)
    if dt is None:
        return slice(max(start, end - max(1, round(window))), end)
    passed = np.cumsum(dt[start:end][::-1], dtype=np.float64)
    return slice(end - max(1, int((passed <= window * (1 + 1e-9)).sum())), end)


def _passing(dt: np.ndarray | None, rows: slice, discount: float) -> float:
    """Share of a value that a step of ``rows`` discounts away, on average; above 0 however short the steps are."""
    if dt is None or discount == 0:
        return 1 - discount
    return float(-np.expm1(dt[rows].astype(np.float64) * np.log(discount)).mean())

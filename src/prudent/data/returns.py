"""Returns of a log: discounted from each row on, and undiscounted per episode. The rows are read in blocks."""

import math
from itertools import pairwise

import numpy as np

from prudent.data import columns


def per_episode(reward: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Undiscounted sum of rewards (rows,) of each episode, (episodes,) float64; ``bounds`` as for :func:`to_go`."""
    starts = bounds[:-1]
    # Add up whole episodes, about one block of rows at a time.
    cuts = np.unique([*np.searchsorted(starts, range(0, len(reward), columns.BLOCK)), len(starts)])
    parts = []
    for first, last in pairwise(cuts.tolist()):
        begin, end = bounds[[first, last]]
        parts.append(np.add.reduceat(reward[begin:end].astype(np.float64), starts[first:last] - begin))
    return np.concatenate(parts)


def to_go(
    reward: np.ndarray, bounds: np.ndarray, terminated: np.ndarray, dt: np.ndarray | None, discount: float
) -> np.ndarray:
    """Discounted return from each row on, (rows,) float32.

    A step of length ``dt`` (rows,) discounts by ``discount ** dt``; ``dt`` None means that every step has length 1.
    ``bounds`` (episodes + 1,): episode k is the rows ``bounds[k]`` to ``bounds[k + 1] - 1``. An episode that did not
    terminate is assumed to continue for ever with the mean reward of its last ``1 / (1 - discount)`` steps. With ``dt``
    it is that of the last ``d / (1 - discount ** d)`` units of time, d being the mean length of its steps.
    """
    returns = np.empty(len(reward), dtype=np.float32)
    value = 0.0
    for block in reversed(list(columns.blocks(len(reward)))):
        tail = _tails(reward, bounds, terminated, dt, block, discount)
        # Plain floats: each row needs the one after it, and indexing NumPy arrays one by one is ten times slower.
        values, discounts = reward[block].astype(np.float64).tolist(), _discounts(dt, block, discount).tolist()
        for row in range(len(values) - 1, -1, -1):
            value = tail.get(row, value)
            value = values[row] + discounts[row] * value
            values[row] = value
        returns[block] = values
    return returns


def _discounts(dt: np.ndarray | None, rows: slice, discount: float) -> np.ndarray:
    """Discount factor of each step of a slice ``rows``, (rows,) float64."""
    if dt is None:
        return np.full(rows.stop - rows.start, discount)
    return discount ** dt[rows].astype(np.float64)


def _tails(
    reward: np.ndarray, bounds: np.ndarray, terminated: np.ndarray, dt: np.ndarray | None, block: slice, discount: float
) -> dict[int, float]:
    """Assumed value after each episode that ends in a block; keys are the last rows, counted within the block."""
    first, last = np.searchsorted(bounds[1:], (block.start, block.stop), side="right")
    tail = dict.fromkeys((bounds[first + 1 : last + 1] - 1 - block.start).tolist(), 0.0)
    for start, end in zip(bounds[first:last].tolist(), bounds[first + 1 : last + 1].tolist(), strict=True):
        if discount < 1 and not terminated[end - 1]:
            recent = _recent(dt, start, end, discount)
            tail[end - 1 - block.start] = float(
                reward[recent].astype(np.float64).mean() / _discounted_share(dt, recent, discount)
            )
    return tail


def _recent(dt: np.ndarray | None, start: int, end: int, discount: float) -> slice:
    """The last rows of an episode, at least one, that together took the time of :func:`to_go`'s window."""
    if dt is None:
        return slice(max(start, end - max(1, round(1 / (1 - discount)))), end)
    elapsed = np.cumsum(dt[start:end][::-1], dtype=np.float64)
    # The same window in hours as in minutes; 1 / (1 - discount) if every step takes 1.
    step = elapsed[-1] / (end - start)
    window = step / (-math.expm1(step * math.log(discount)) if discount > 0 else 1.0)
    return slice(end - max(1, int((elapsed <= window * (1 + 1e-9)).sum())), end)


def _discounted_share(dt: np.ndarray | None, rows: slice, discount: float) -> float:
    """Share of a value that one step of a slice ``rows`` discounts away, on average; above 0 for short steps too."""
    if dt is None or discount == 0:
        return 1 - discount
    return float(-np.expm1(dt[rows].astype(np.float64) * np.log(discount)).mean())

"""How far the returns-to-go of a log spread, and how much of them lies behind the ends of its recordings."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prudent.data.dataset import Dataset

MOST_ROWS = 1_000_000
"""Of longer logs, evenly spread pieces with this many rows in all are looked at."""

USUAL = 80.0
"""The spread for which the usual values of alpha were published: about that of hopper and halfcheetah logs with their
own rewards at a discount of 0.99 (55 to 123 in three of them). ``reward_scale = auto`` scales rewards to it."""

_PIECES = 20
_NO_SPREAD = 1e-6
"""A spread below this share of the mean is the rounding of float32 rewards."""


@dataclass(frozen=True)
class Spread:
    """Figures of discounted returns-to-go: see :func:`spread_to_go`.

    Attributes:
        std: their standard deviation, in the unit of the reward; 0 without any spread.
        mean: their mean, in the unit of the reward.
        reach: how many times ``std`` exceeds what it would be if rewards were independent in time. It is about 1 if
            an action only matters for the next reward, and large if rewards depend on what was done long before;
            infinite if all rewards are the same and only the ends of episodes differ.
    """

    std: float
    mean: float
    reach: float


def spread_to_go(dataset: Dataset, discount: float) -> Spread:
    """Mean and standard deviation of the returns-to-go of a log, over rows, as if no recording had been cut.

    The return-to-go of a row is the discounted sum of the rewards from there on. A recording that was cut
    (truncated) lacks the tail of that sum, a share ``w = discount ** (time left)`` of its weights: sums get smaller
    towards the end only because the recording stops. So the tail counts as ``w`` times the mean return-to-go m of the
    log, and the squared distances from m are divided by ``1 - w^2`` on average, which is the share of the variance
    that a cut sum still has if rewards are independent in time:

        m = mean(G) / (1 - mean(w)),   std^2 = sum (G + w m - m)^2 / sum (1 - w^2)

    with G the recorded part. Nothing is missing after a termination (w is 0), or long before a cut. If rewards depend
    on each other over more than a recording lasts, the figure is too low: such a log cannot show how far they do.

    Multiplying all rewards by a number multiplies both figures by it. Measuring time in another unit (``dt``, with the
    discount of that unit) changes neither. Rewards of one size in episodes that are all cut have no spread. Values that
    are rare and large, such as failures, count fully, as they do in the values that are learned.

    Raises:
        DataError: the rows are not in order of time, so that their returns are unknown.
    """
    dataset.check_order()
    parts = [_recorded(dataset, rows, discount) for rows in _pieces(len(dataset))]
    recorded, left, independent, reward = (np.concatenate(column) for column in zip(*parts, strict=True))
    mean = float(recorded.mean() / (1 - left.mean()))
    squares = float(np.square(recorded + left * mean - mean).sum())
    observed = float((1 - np.square(left)).sum())
    std = float(np.sqrt(squares / observed))
    if std <= _NO_SPREAD * abs(mean):
        return Spread(0.0, mean, 1.0)
    alone = float(reward.std() * np.sqrt(independent.sum() / observed))
    return Spread(std, mean, std / alone if alone > 0 else math.inf)


def behind(dataset: Dataset, discount: float) -> float:
    """The share of the value of a start state that lies behind the ends of the recordings: mean of ``discount ** T``.

    T is the length of an episode in units of time. Episodes that terminated have nothing behind their ends.
    """
    ends = dataset.episode_bounds[1:] - 1
    share = np.power(discount, durations(dataset), dtype=np.float64)
    return float(np.where(dataset.terminated[ends], 0.0, share).mean())


def durations(dataset: Dataset) -> np.ndarray:
    """(episodes,) float64: how long each episode lasts, in units of ``dt``, or in steps without that column."""
    dt = dataset.extra.get("dt")
    if dt is None:
        return dataset.episode_lengths.astype(np.float64)
    return np.add.reduceat(dt.astype(np.float64), dataset.episode_bounds[:-1])


def _pieces(rows: int) -> Iterator[slice]:
    if rows <= MOST_ROWS:
        yield slice(0, rows)
        return
    size = MOST_ROWS // _PIECES
    for start in np.linspace(0, rows - size, _PIECES).astype(np.int64).tolist():
        yield slice(start, start + size)


def _recorded(dataset: Dataset, rows: slice, discount: float) -> tuple[np.ndarray, ...]:
    """Four columns (rows,) float64 of a piece, the end of which counts as that of a recording.

    The recorded part of each return-to-go; the share ``w`` of its weights that is missing; the variance it would have
    if rewards were independent with a variance of 1; the rewards.
    """
    reward, terminated = dataset.reward[rows].astype(np.float64), dataset.terminated[rows]
    column = dataset.extra.get("dt")
    dt = np.ones(len(reward)) if column is None else column[rows].astype(np.float64)
    ended = terminated | dataset.truncated[rows]
    ended[-1] = True
    last = np.flatnonzero(ended)
    end_of_row = last[np.searchsorted(last, np.arange(len(reward)))]
    elapsed = np.cumsum(dt)
    left = np.where(terminated[end_of_row], 0.0, np.power(discount, elapsed[end_of_row] - elapsed + dt))
    # Plain floats: each row needs the one after it, and indexing NumPy arrays one by one is ten times slower.
    values, factors = reward.tolist(), np.where(ended, 0.0, np.power(discount, dt)).tolist()
    variances, value, variance = [0.0] * len(values), 0.0, 0.0
    for row in range(len(values) - 1, -1, -1):
        factor = factors[row]
        value = values[row] + factor * value
        variance = 1.0 + factor * factor * variance
        values[row], variances[row] = value, variance
    return np.array(values), left, np.array(variances), reward

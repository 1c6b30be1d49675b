"""Jumps of the observation, which are the sign of a reset. Columns are read block by block: they may be on disk."""

import numpy as np

from prudent.data.columns import Rows, blocks

# A reset moves all features at once. Per-step changes are divided by the 95th percentile of their feature and averaged
# over the features: on Hopper logs, rows inside an episode stay below 1.5 and resets start at 3.2. A HalfCheetah reset
# stays below 1, so a low value proves nothing; there the horizon helps.
JUMP = 2.0
_JUMP_CAP = 100.0
_SAMPLE = 50_000


def within(rows: np.ndarray, block: slice) -> np.ndarray:
    """The row numbers that lie in a block; ``rows`` are sorted."""
    return rows[np.searchsorted(rows, block.start) : np.searchsorted(rows, block.stop)]


def jumps(observation: Rows) -> np.ndarray:
    """(rows,) bool: where the observation moves far more than usual to the next row; never the last row."""
    rows = len(observation) - 1
    gaps = np.zeros(rows + 1, dtype=bool)
    if rows < 2:
        return gaps
    # A sample shows what is usual, and blocks need little memory: the log may be larger than memory.
    sample = np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(np.int64)
    changes = []
    for block in blocks(rows):
        here = within(sample, block) - block.start
        values = observation[slice(block.start, block.stop + 1)]
        changes.append(np.abs(values[here + 1] - values[here]))
    usual = np.quantile(np.concatenate(changes), 0.95, axis=0)
    moving = usual > 0
    if not moving.any():
        return gaps
    for block in blocks(rows):
        values = observation[slice(block.start, block.stop + 1)][:, moving]
        change = np.abs(np.diff(values, axis=0)) / usual[moving]
        gaps[block] = np.minimum(change, _JUMP_CAP).mean(axis=1) > JUMP
    return gaps


def moved(observation: Rows, next_observation: Rows, rows: np.ndarray) -> np.ndarray:
    """The row numbers whose next observation differs from their own observation; ``rows`` are sorted."""
    parts = []
    for block in blocks(len(observation)):
        here = within(rows, block)
        if len(here):
            values, stated = observation[block], next_observation[block]
            at = here - block.start
            parts.append(here[(stated[at] != values[at]).any(axis=1)])
    return np.concatenate(parts) if parts else rows

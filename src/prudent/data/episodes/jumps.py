"""What the observations of a log tell of its order, read block by block: they may still be on disk."""

import numpy as np

from prudent.data.columns import Rows, blocks

# A reset moves all features at once. Per-step changes are measured in units of each feature's own 95th
# percentile and averaged over the features: on Hopper logs rows inside an episode stay below 1.5 and resets
# start at 3.2. A HalfCheetah reset hides below 1, so silence of this measure proves nothing and the horizon
# has to help.
JUMP = 2.0
_JUMP_CAP = 100.0
_SAMPLE = 50_000


def within(rows: np.ndarray, block: slice) -> np.ndarray:
    """Those of the row numbers, which rise, that lie in a block."""
    return rows[np.searchsorted(rows, block.start) : np.searchsorted(rows, block.stop)]


def jumps(observation: Rows) -> np.ndarray:
    """Rows after which the observation moves far more than it usually does; never the last one."""
    rows = len(observation) - 1
    gaps = np.zeros(rows + 1, dtype=bool)
    if rows < 2:
        return gaps
    # A sample tells what is usual, and blocks keep the memory small: logs may be larger than it.
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
    """Those of the row numbers, which rise, whose stated successor is not their own observation."""
    found = []
    for block in blocks(len(observation)):
        here = within(rows, block)
        if len(here):
            values, stated = observation[block], next_observation[block]
            at = here - block.start
            found.append(here[(stated[at] != values[at]).any(axis=1)])
    return np.concatenate(found) if found else rows

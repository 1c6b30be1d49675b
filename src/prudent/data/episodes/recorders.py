"""Rows of several recorders in turn: row t of the first, row t of the second ..., as vectorised environments write."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from prudent.data.columns import Rows, differing_rows
from prudent.data.episodes import lags
from prudent.errors import DataError


def order(rows: int, recorders: int) -> np.ndarray:
    """The row numbers of a file with each recorder's rows together, (rows,) int64."""
    return np.argsort(np.arange(rows) % recorders, kind="stable")


def last_rows(rows: int, recorders: int) -> np.ndarray:
    """The last row of each recorder, in that order: rising row numbers."""
    return np.cumsum(np.bincount(np.arange(rows) % recorders)) - 1


def take_apart(table: Mapping[str, np.ndarray], rows: int, recorders: int | None) -> dict[str, np.ndarray]:
    """The columns of a file with each recorder's rows together; what has another length than ``rows`` is left alone."""
    if recorders is None or recorders == 1:
        return dict(table)
    at = order(rows, recorders)
    return {key: column[at] if column.ndim and len(column) == rows else column for key, column in table.items()}


_FIRST = 1 << 15
"""Rows at the beginning of a file that tell what order it has."""


class Interleaved:
    """A column of a file, read as if each recorder's rows were together; only the rows that are taken are read."""

    def __init__(self, column: Any, recorders: int):
        self.column, self.recorders = column, recorders
        self.shape, self.dtype, self.ndim, self.size = column.shape, column.dtype, column.ndim, column.size
        self.stops = last_rows(len(column), recorders) + 1

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, block: slice | tuple[()], /) -> np.ndarray:
        start, stop, _ = (slice(None) if isinstance(block, tuple) else block).indices(len(self))
        parts = [np.asarray(self.column[0:0])]
        while start < stop:
            recorder = int(np.searchsorted(self.stops, start, side="right"))
            begin = 0 if recorder == 0 else int(self.stops[recorder - 1])
            count = min(stop, int(self.stops[recorder])) - start
            first = recorder + (start - begin) * self.recorders
            parts.append(np.asarray(self.column[first : first + (count - 1) * self.recorders + 1 : self.recorders]))
            start += count
        return np.concatenate(parts)


def cut(terminated: np.ndarray, truncated: np.ndarray, recorders: int | None) -> np.ndarray:
    """Truncations (rows,) of rows that were taken apart: each recorder's rows end where the next one's begin."""
    if recorders is None or recorders == 1:
        return truncated
    truncated = truncated.copy()
    truncated[last_rows(len(truncated), recorders)] = True
    return truncated & ~terminated


def notes(recorders: int | None, rows: int, name: str) -> list[str]:
    """A note on rows that were taken apart.

    Raises:
        DataError: there are too few of them for so many recorders.
    """
    if recorders is None or recorders == 1:
        return []
    if 2 * recorders > rows:
        raise DataError(f"{name}: recorders={recorders} does not fit: with {rows} rows no recorder has two of its own")
    return [f"read as {recorders} recorders side by side: each one's rows were put together, and are numbered so"]


def check_next_rows(
    observation: Rows, action: Rows | None, ends: np.ndarray, recorders: int | None, name: str
) -> list[str]:
    """Refuse next rows as successors if the successors stand some rows on. Returns notes on a doubtful declaration.

    ``ends`` (rows,) bool are the flagged ends of episodes. ``recorders`` is what the user declares: 1 skips the check;
    with more, the rows have been taken apart already.

    Raises:
        DataError: rows some fixed distance apart follow each other far better than neighbours.
    """
    if recorders == 1:
        return []
    if recorders is not None:
        observation, ends = _file_order(observation, recorders), _file_order(ends, recorders)
        action = None if action is None else _file_order(action, recorders)
    lag = lags.best(observation, action, ends)
    if lag is not None and lag != recorders:
        other = "or recorders=1 if the rows are in order of time" if recorders is None else f"not {recorders}"
        raise DataError(
            f"{name}: rows {lag} apart follow each other far better than neighbours: {lag} recorders side by side? "
            f"then say recorders={lag} (--recorders {lag}), {other}"
        )
    if lag is None and recorders is not None and lags.neighbours_are_closer(observation, ends, recorders):
        return [f"neighbours in the file are closer than rows {recorders} apart: is recorders={recorders} right?"]
    return []


def _file_order(column: Rows | np.ndarray, recorders: int) -> np.ndarray:
    """The first rows of a column that was taken apart, in the order of the file again."""
    stops = last_rows(len(column), recorders) + 1
    each = max(1, min(int(stops[0]), _FIRST // recorders, len(column) // recorders))
    starts = np.concatenate([[0], stops[:-1]]).tolist()
    return np.stack([column[slice(start, start + each)] for start in starts], axis=1).reshape(
        -1, *column[0:1].shape[1:]
    )


def check_stated(strays: np.ndarray, recorders: int | None, name: str) -> None:
    """Refuse a declaration that the stated successors contradict, or that changes nothing about them.

    ``strays`` (rows,) bool are the rows, taken apart already, whose successor is not the next row.

    Raises:
        DataError: one line that says which.
    """
    if recorders == 1:
        raise DataError(f"{name}: recorders=1 does not apply to it, next_observations says what follows each row")
    if recorders is not None and np.count_nonzero(strays) > len(strays) / 2:
        raise DataError(
            f"{name}: recorders={recorders} does not fit: most rows do not lead to those {recorders} rows on"
        )


def hint(observation: Rows, next_observation: Rows, ends: np.ndarray) -> str:
    """For rows in no order of time: how many recorders may have written them side by side; empty if none is likely."""
    part = slice(0, 2 * lags.ANCHORS)
    lag = _stated_lag(observation[part], next_observation[part], ends[part])
    return "" if lag is None else f"; successors stand {lag} rows on: {lag} recorders side by side? (--recorders {lag})"


def _stated_lag(observation: np.ndarray, next_observation: np.ndarray, ends: np.ndarray) -> int | None:
    """How many rows after a row its stated successor stands, where that is the same number, above 1, for most rows.

    Rows that are ``ends`` (rows,) bool do not count. None if there is no such number.
    """
    rows = len(observation)
    inside = np.flatnonzero(~ends)
    for lag in range(2, min(lags.MOST, rows // 2) + 1):
        here = inside[inside < rows - lag]
        if len(here) < lags.LEAST:
            return None
        # The first hundred rule out most distances.
        if all(_follow(observation, next_observation, some, lag) for some in (here[:: max(1, len(here) // 100)], here)):
            # Constant observations follow each other at any distance.
            return lag if (observation[here] != observation[here + lag]).any(axis=1).mean() > 0.1 else None
    return None


def _follow(observation: np.ndarray, next_observation: np.ndarray, rows: np.ndarray, lag: int) -> bool:
    return (~differing_rows(next_observation[rows], observation[rows + lag])).mean() > 0.5

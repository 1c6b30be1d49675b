"""Columns that are no flags, but show where episodes end: counters that begin anew, lengths, row numbers."""

import numpy as np

from prudent.data.columns import counted
from prudent.data.readers._keys import plain
from prudent.errors import DataError


def listed_ends(column: np.ndarray, rows: int, *, starts: bool) -> np.ndarray | None:
    """(rows,) bool: the last rows of episodes, from the row number of each end or start; None if it is no such list.

    An end is the last row of an episode, or the row after it: the list ends with the last row of the file, or with the
    number of rows.
    """
    numbers = _whole(column)
    if numbers is None or (np.diff(numbers) <= 0).any():
        return None
    if starts:
        if numbers[0] != 0 or numbers[-1] >= rows:
            return None
        last = np.append(numbers[1:], rows) - 1
    elif numbers[0] >= 0 and numbers[-1] in (rows - 1, rows):
        last = numbers - (numbers[-1] - (rows - 1))
    else:
        return None
    return None if last[0] < 0 else _at(last, rows)


def ends_of_lengths(column: np.ndarray, rows: int, key: str, name: str) -> np.ndarray | None:
    """(rows,) bool: the last rows of episodes, from the length of each; None if the column holds something else.

    Raises:
        DataError: the lengths do not add up to the rows.
    """
    lengths = _whole(column)
    if lengths is None or len(lengths) == rows or (lengths <= 0).any():
        return None
    if lengths.sum() != rows:
        raise DataError(
            f"{name}: {plain(key)} adds up to {int(lengths.sum()):,} rows, observations has {rows:,}: correct it, "
            "or remove it"
        )
    return _at(np.cumsum(lengths) - 1, rows)


def restarts(column: np.ndarray, *, at_same: bool) -> np.ndarray | None:
    """(rows,) bool: the rows after which a counter begins anew, and the last row; None if it never does.

    It has to rise from row to row otherwise, and with ``at_same`` by one, from the same number each time.
    """
    values = np.ravel(column).astype(np.float64)
    if len(values) < 3 or not np.isfinite(values).all():
        return None
    rise = np.diff(values)
    anew = rise <= 0
    if not anew.any() or anew.mean() > 0.5:
        return None
    if at_same and not ((rise[~anew] == 1).all() and (values[1:][anew] == values[0]).all()):
        return None
    return np.append(anew, True)


def outcome_note(key: str, column: np.ndarray, ends: np.ndarray) -> str | None:
    """A question about a column that is set in last rows of episodes, ``ends`` (rows,) bool, and nowhere else."""
    if not np.isin(column, (0, 1)).all():
        return None
    found = np.ravel(column) == 1
    if not found.any() or found.all() or (found & ~ends).any():
        return None
    return (
        f"{plain(key)} is set in {counted(int(found.sum()), 'last row')} of episodes, nowhere else, and was not read: "
        "does value end there? then rename it to terminals"
    )


def _whole(column: np.ndarray) -> np.ndarray | None:
    """A list of whole numbers as int64; None if it is something else."""
    numbers = np.ravel(column)
    if not len(numbers) or numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all():
        return None
    whole = (numbers == np.floor(numbers)).all() and np.abs(numbers).max() < 2**53
    return numbers.astype(np.int64) if whole else None


def _at(last: np.ndarray, rows: int) -> np.ndarray:
    ends = np.zeros(rows, dtype=bool)
    ends[last] = True
    return ends

"""Single columns: checks and figures. Each check raises ``DataError``: one line with dataset, key and reason."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from prudent.errors import DataError, EpisodeError
from prudent.progress import Wait
from prudent.types import Spec

COLUMNS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")
"""The columns that every dataset has."""

Bound = Sequence[float] | float | np.ndarray
"""Action bounds in the units of the log: one number per action feature, or one for all."""

BLOCK = 1 << 16
"""Rows in a block: enough to be fast, few enough that columns on disk need little memory."""

CACHED = BLOCK // 4
"""Rows in a block of columns that are read twice: few enough for a processor's cache."""


class Rows(Protocol):
    """A column (rows, features) that is read in blocks: an array, or a column that is still on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, block: slice, /) -> np.ndarray: ...


def blocks(rows: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover the rows 0 to ``rows - 1``, in order; a long loop over them says how far it is."""
    with Wait("going through the rows", rows, "rows") as wait:
        for start in range(0, rows, size):
            end = min(start + size, rows)
            yield slice(start, end)
            wait.update(end)


def fingerprint(table: Mapping[str, np.ndarray], first_action: int = 0) -> str:
    """SHA-256 of names, types, shapes and content of columns of equal length, 16 hexadecimal digits.

    What the numbers of discrete actions mean depends on ``first_action``: it counts too, unless it is 0.
    """
    digest = hashlib.sha256(f"first_action{first_action}".encode() if first_action else b"")
    for key, column in table.items():
        digest.update(f"{key}{column.dtype}{column.shape}".encode())
        for block in blocks(len(column)):
            digest.update(np.ascontiguousarray(column[block]).data)
    return digest.hexdigest()[:16]


MOST_ACTIONS = 1 << 20
"""The largest number of discrete actions that is accepted: a typing error must not fill the memory."""


def counted(count: int, what: str) -> str:
    """A number and its noun: ``counted(2, "row") == "2 rows"``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def floats(
    column: np.ndarray, key: str, name: str, ndim: int, finite: bool = False, dtype: type = np.float32
) -> np.ndarray:
    """The column as ``dtype`` with ``ndim`` axes and finite values; ``finite`` skips that check, if it was done."""
    column = np.asarray(column)
    if column.dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {column.dtype}, not numbers")
    if ndim == 1 and column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    check_shape(column.shape, key, name, ndim)
    with np.errstate(over="ignore"):
        column = np.ascontiguousarray(column, dtype=dtype)
    rows = np.zeros(0, dtype=np.int64) if finite else not_finite_rows(column)
    if len(rows):
        raise EpisodeError(
            f"{name}: {key} has {counted(len(rows), 'row')} with NaN or infinity, the first is row {rows[0]}",
            rows,
            f"{key} is NaN or infinite",
        )
    return column


def check_shape(shape: tuple[int, ...], key: str, name: str, ndim: int) -> None:
    """Refuse a column without ``ndim`` axes, or without features."""
    if len(shape) != ndim or 0 in shape[1:]:
        wanted = "(rows,)" if ndim == 1 else "(rows, features)"
        raise DataError(f"{name}: {key} has shape {shape}, expected {wanted}")


def not_finite_rows(column: np.ndarray) -> np.ndarray:
    """Numbers of the rows of a column (rows, ...) that hold NaN or infinity."""
    numbers = []
    for block in blocks(len(column)):
        part = column[block]
        if _surely_finite(part):
            continue
        finite = np.isfinite(part)
        if not finite.all():
            numbers.append(np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1)) + block.start)
    return np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)


def _surely_finite(part: np.ndarray) -> bool:
    """True if a fast check proves that every number is finite; False proves nothing."""
    # The sum of squares is finite only if every number is.
    return bool(np.isfinite(np.vdot(part, part)))


def actions(column: np.ndarray, discrete: bool, name: str, first_action: int = 0) -> np.ndarray:
    """The actions as (rows, A) float32, discrete ones as (rows,) int64, numbered from ``first_action`` on."""
    if not discrete:
        column = np.asarray(column)
        if column.ndim == 1:
            raise DataError(
                f"{name}: actions has shape {column.shape}, expected (rows, features); "
                "reshape to (rows, 1) if there is one continuous action, or declare the actions discrete"
            )
        return floats(column, "actions", name, ndim=2)
    column = np.asarray(column)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.dtype.kind == "f" and len(rows := not_finite_rows(column)):
        raise EpisodeError(
            f"{name}: actions has {counted(len(rows), 'row')} with NaN or infinity, the first is row {rows[0]}",
            rows,
            "action is NaN or infinite",
        )
    is_whole = column.dtype.kind in "iub" or (
        column.dtype.kind == "f" and bool((np.isfinite(column) & (column == np.floor(column))).all())
    )
    lowest, highest = (int(column.min()), int(column.max())) if is_whole and column.size else (first_action,) * 2
    if -MOST_ACTIONS <= lowest < first_action:
        raise DataError(
            f"{name}: discrete actions go down to {lowest}, but are numbered from {first_action}: "
            f"declare the number of the first one (first_action={lowest}, --first-action {lowest})"
        )
    last = first_action + MOST_ACTIONS - 1
    if is_one_hot(column):
        raise DataError(
            f"{name}: each row of actions has a single 1 among {column.shape[1]} features: "
            "store the numbers of the choices (actions.argmax(axis=1))"
        )
    if not is_whole or column.ndim != 1 or not first_action <= lowest <= highest <= last:
        raise DataError(
            f"{name}: discrete actions must be whole numbers from {first_action} to {last}, of shape (rows,)"
        )
    return column.astype(np.int64)


def ask_whether_discrete(action: np.ndarray, name: str) -> None:
    """Refuse undeclared actions that may be discrete or continuous: one whole number of 0 or more in each row.

    A row of several features of which one is 1 and the others are 0 stands for a choice as well. Whole numbers below 0
    ask the same question if their type is one of whole numbers.

    Raises:
        DataError: the line asks for a declaration.
    """
    if action.ndim == 2 and is_one_hot(action):
        raise DataError(
            f"{name}: each row of actions has a single 1 among {action.shape[1]} features: choices? then "
            "store their numbers (actions.argmax(axis=1)) and say discrete=True, else discrete=False (--discrete no)"
        )
    if action.ndim > 2 or (action.ndim == 2 and action.shape[1] != 1) or action.size == 0:
        return
    low, high = np.inf, -np.inf
    for block in blocks(len(action)):
        part = np.asarray(action[block])
        if part.dtype.kind not in "iubf" or not (np.isfinite(part).all() and (part == np.floor(part)).all()):
            return
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    # A constant float is as likely a motor at rest, and floats around 0 a motor that turns both ways.
    if action.dtype.kind == "f" and (low < 0 or low == high):
        return
    first = f", and first_action={low:g} if they count from {low:g}" if low != 0 else ""
    raise DataError(
        f"{name}: actions are whole numbers from {low:g} to {high:g}: choices, or amounts? "
        f"say discrete=True (with n_actions, if the log may lack some{first}) or discrete=False; --discrete yes or no"
    )


def is_one_hot(action: np.ndarray) -> bool:
    """Whether every row of a column (rows, A) has a single 1 and is 0 elsewhere, not always in the same feature."""
    if len(action.shape) != 2 or action.shape[1] < 2 or action.shape[0] == 0:
        return False
    seen = np.zeros(action.shape[1], dtype=bool)
    for block in blocks(len(action)):
        part = np.asarray(action[block])
        if part.dtype.kind not in "iubf" or not (((part == 0) | (part == 1)).all() and (part.sum(axis=1) == 1).all()):
            return False
        seen |= (part == 1).any(axis=0)
    return bool(seen.sum() > 1)


def declared_discrete(
    user: bool | None, user_n: int | None, file: bool | None, file_n: int | None, name: str
) -> tuple[bool | None, int | None]:
    """Whether actions are discrete (None: unknown) and how many there are: as the user says, else as the file says.

    Raises:
        DataError: a number of actions although they are declared continuous, or one that is out of range.
    """
    discrete = file if user is None else user
    n_actions = file_n if user_n is None else user_n
    if user is False and user_n is None:
        n_actions = None
    if n_actions is None:
        return discrete, None
    if discrete is False:
        raise DataError(f"{name}: n_actions is for discrete actions, and these are declared continuous")
    check_count(n_actions, name)
    return True, n_actions


def check_count(n_actions: int, name: str) -> None:
    """Refuse a number of discrete actions that is out of range."""
    if not 1 <= n_actions <= MOST_ACTIONS:
        raise DataError(f"{name}: n_actions must be from 1 to {MOST_ACTIONS}, got {n_actions}")


def flags(column: np.ndarray, key: str, name: str) -> np.ndarray:
    """The column as (rows,) bool; not a copy if it is bool already.

    Raises:
        DataError: it has another shape, or a value other than true/false or 0/1.
    """
    column = np.asarray(column)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise DataError(f"{name}: {key} has shape {column.shape}, expected (rows,)")
    if column.dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {column.dtype}, expected true/false or 0/1")
    if column.dtype.kind == "b":
        return column
    wrong = ~np.isin(column, (0, 1))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{name}: {key} must be true/false or 0/1, row {row} is {column[row]}")
    return column.astype(bool)


def bounds(bound: Bound | None, action: np.ndarray, key: str, name: str) -> tuple[float, ...] | None:
    """A bound as one finite number per action feature; None stays None."""
    if bound is None:
        return None
    values = tuple(float(v) for v in np.ravel(np.asarray(bound, dtype=np.float64)))
    if len(values) == 1 and action.ndim == 2:
        values = values * action.shape[1]
    if action.ndim != 2 or len(values) != action.shape[1] or not np.isfinite(values).all():
        raise DataError(f"{name}: {key} must be one finite number per action feature, got {values}")
    return values


def differing_rows(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(rows,) bool: where two (rows, features) columns of one type differ by more than rounding."""
    differs = np.zeros(len(a), dtype=bool)
    for block in blocks(len(a), CACHED):
        x, y = a[block], b[block]
        # Few rows differ, so the arithmetic is only for them. Each is listed once per differing feature: drop repeats.
        unequal = np.flatnonzero((x != y).ravel()) // x.shape[1]
        unequal = unequal[np.diff(unequal, prepend=-1) > 0]
        x, y = x[unequal], y[unequal]
        # A fixed tolerance is not enough: one unit in the last place of a large number is more.
        tolerance = 1e-6 + 4 * np.finfo(x.dtype).eps * np.maximum(np.abs(x), np.abs(y))
        differs[block.start + unequal] = (np.abs(x - y) > tolerance).any(axis=1)
    return differs


def strays_of(observation: Rows, next_observation: Rows) -> np.ndarray:
    """(rows,) bool: ``next_observation`` differs from the next row's observation; False in the last row."""
    strays = np.zeros(len(observation), dtype=bool)
    for block in blocks(len(observation) - 1):
        strays[block] = differing_rows(next_observation[block], observation[slice(block.start + 1, block.stop + 1)])
    return strays


def finite_strays_of(observation: np.ndarray, next_observation: np.ndarray) -> np.ndarray | None:
    """:func:`strays_of` two (rows, features) float32 columns that a fast check proves finite; None for other columns.

    Both checks share one pass: reading the columns from memory takes longer than checking them.
    """
    for column in (observation, next_observation):
        if not isinstance(column, np.ndarray) or column.dtype != np.float32 or column.ndim != 2 or column.size == 0:
            return None
    if next_observation.shape != observation.shape:
        return None
    strays = np.zeros(len(observation), dtype=bool)
    for block in blocks(len(observation), CACHED):
        stated, after = next_observation[block], observation[slice(block.start + 1, block.stop + 1)]
        if not (_surely_finite(observation[block]) and _surely_finite(stated)):
            return None
        strays[slice(block.start, block.start + len(after))] = differing_rows(stated[: len(after)], after)
    return strays


def check_bounds(action: np.ndarray, spec: Spec, name: str) -> None:
    """Refuse a single bound, a low bound that is not below the high one, and actions outside the bounds."""
    if spec.action_low is None or spec.action_high is None:
        if (spec.action_low is None) != (spec.action_high is None):
            raise DataError(
                f"{name}: action_low and action_high must be declared together (--action-low, --action-high)"
            )
        return
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    if (low >= high).any():
        raise DataError(f"{name}: action_low must lie below action_high, got {spec.action_low} and {spec.action_high}")
    # float32 logs of float64 bounds differ in the last digit.
    slack = 1e-5 * (high - low)
    rows = rows_outside(action, low - slack, high + slack)
    if len(rows):
        row, count = int(rows[0]), len(rows)
        raise DataError(
            f"{name}: {counted(count, 'action')} {'lies' if count == 1 else 'lie'} outside the declared bounds, "
            f"the first in row {row}: "
            f"{action[row].tolist()} not within {list(spec.action_low)} to {list(spec.action_high)}"
        )


def rows_outside(action: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Numbers of the rows of (rows, A) with a feature below ``low`` or above ``high``."""
    numbers = []
    for block in blocks(len(action)):
        outside = (action[block] < low) | (action[block] > high)
        if outside.any():
            numbers.append(np.flatnonzero(outside.any(axis=1)) + block.start)
    return np.concatenate(numbers) if numbers else np.zeros(0, dtype=np.int64)


Dones = Literal["terminated", "truncated"]
"""What end flags mean when the file does not say: the task ended, or only the recording stopped."""

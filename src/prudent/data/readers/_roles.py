"""The columns of a table by role, checked: numbers, flags, labels and times."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from prudent.data import terminal
from prudent.data.columns import counted
from prudent.data.episodes.order import Labels, Times
from prudent.data.exact import exact_power, whole
from prudent.data.readers._arrow import Column, Kind, Table
from prudent.data.readers.mapping import TableMap
from prudent.errors import DataError, EpisodeError, shown

_TRUE, _FALSE = ("true", "t", "yes", "1", "1.0"), ("false", "f", "no", "0", "0.0")

_WORDS = {
    "action": ": give each choice a number in the table, or list them in action_labels of the mapping",
    "observation": ": list them in categories of the mapping",
}
"""What to do about words in a column of numbers."""


class RoleColumns:
    """The columns that ``roles`` names, as arrays of one value per row.

    Every method raises DataError, naming column, role and row, if a column does not fit its role: EpisodeError if only
    some of its rows do not.
    """

    def __init__(self, table: Table, roles: TableMap, name: str):
        self.table, self.roles, self.name = table, roles, name

    def take(self, rows: np.ndarray) -> "RoleColumns":
        """The same columns with these rows (rising row numbers) alone."""
        return RoleColumns({key: column.take(rows) for key, column in self.table.items()}, self.roles, self.name)

    def numbers(self, role: str) -> np.ndarray:
        """The columns of a role side by side, (rows, columns); integers if all of them are."""
        return np.stack([self.number(name, role) for name in self._names(role)], axis=1)

    def successors(self, terminated: np.ndarray) -> np.ndarray:
        """The next observations side by side, (rows, columns); NaN where terminal rows, ``terminated``, lack one."""
        role = "next_observation"
        return np.stack([self.number(name, role, terminated) for name in self._names(role)], axis=1)

    def _names(self, role: str) -> Sequence[str]:
        value = getattr(self.roles, role)
        return value if isinstance(value, tuple) else (value,)

    def number(self, name: str, role: str, optional: np.ndarray | None = None) -> np.ndarray:
        """A column of finite numbers; NaN in those rows that are ``optional`` (rows,) and have none."""
        column = self.column(name, "number")
        if optional is None or column.kind != "number":
            return self._checked(column, name, role)
        values = column.values
        gaps = np.union1d(column.missing, np.flatnonzero(~np.isfinite(values)))
        wrong = gaps[~optional[gaps]]
        what = f"column {shown(name)} for {role} is empty or not finite in {counted(len(wrong), 'row')}"
        terminal.check(wrong, what, self.name)
        if len(gaps):
            values = values.astype(np.float64)
            values[gaps] = np.nan
        return values

    def gappy(self, name: str, role: str) -> tuple[np.ndarray, np.ndarray]:
        """A column of numbers and which of its rows, (rows,) bool, have none: an empty cell or NaN."""
        column = self.column(name, "number")
        missing = np.zeros(len(column.values), dtype=bool)
        missing[column.missing] = True
        if column.values.dtype.kind == "f":
            missing |= np.isnan(column.values)
        sound = replace(column, values=np.where(missing, 0, column.values), missing=column.missing[:0])
        return self._checked(sound, name, role), missing

    def _checked(self, column: Column, name: str, role: str) -> np.ndarray:
        """The values of a column of finite numbers, none of which is missing."""
        where = f"{self.name}: column {shown(name)} for {role}"
        if column.kind != "number":
            words = _WORDS.get(role, "")
            raise DataError(f"{where} holds {column.type}, expected numbers{words}")
        values = column.values
        lacking, bad = column.missing, np.flatnonzero(~np.isfinite(values))
        if len(lacking):
            count = counted(len(lacking), "row")
            raise EpisodeError(
                f"{where} is empty in {count}, the first is row {lacking[0]}",
                lacking,
                f"{role} is empty or no number",
                self.fill_advice(name, role),
            )
        if len(bad):
            raise EpisodeError(
                f"{where} is NaN or infinite in {counted(len(bad), 'row')}, the first is row {bad[0]}",
                bad,
                f"{role} is {'NaN' if np.isnan(values[bad[0]]) else 'infinite'}",
                self.fill_advice(name, role) if np.isnan(values[bad]).all() else "",
            )
        return values

    def fill_advice(self, name: str, role: str) -> str:
        """What to do about missing cells of a column of observations; empty for other roles, which are not filled."""
        roles = self.roles
        if role not in ("observation", "next_observation"):
            return ""
        column = name if role == "observation" else roles.observation[roles.next_observation.index(name)]
        what = "one of its categories" if column in roles.categories else "a number"
        is_listed = isinstance(roles.categories.get(column), list | tuple | Mapping)
        new = '; list a further one, such as "none", if none of them fits' if is_listed else ""
        return f"say in the mapping what such a cell counts as ([fill], {shown(column)} = {what}{new})"

    def column(self, name: str, kind: Kind) -> Column:
        """A column as it was read for a kind of use."""
        return self.table[name, kind]

    def flag(self, role: str) -> np.ndarray | None:
        """The column of a role as (rows,) bool; None if the role has no column."""
        name = getattr(self.roles, role)
        return None if name is None else self.flags_of(name, role)

    def flags_of(self, name: str, role: str, optional: np.ndarray | None = None) -> np.ndarray:
        """A column of true/false, 0/1 or yes/no as (rows,) bool.

        With ``optional`` (rows,) bool: as (rows,) float32, with NaN in those rows that are optional and empty.
        """
        column = self.column(name, "flag" if (name, "flag") in self.table else "number")
        gaps = np.zeros(0, dtype=np.int64)
        if optional is not None:
            column, gaps = _filled(column, optional)
        if column.kind == "text":
            codes, words = self._texts(column, name, role)
            meaning = np.array([_truth(word) for word in words], dtype=np.int8)
            bad = np.flatnonzero(meaning[codes] < 0)
            values, word = meaning[codes] == 1, shown(words[codes[bad[0]]]) if len(bad) else ""
        else:
            numbers = self._checked(column, name, role)
            bad = np.flatnonzero(~np.isin(numbers, (0, 1)))
            values, word = numbers == 1, str(numbers[bad[0]]) if len(bad) else ""
        if len(bad):
            raise EpisodeError(
                f"{self.name}: column {shown(name)} for {role} must be true/false or 0/1, row {bad[0]} is {word}",
                bad,
                f"{role} is {word}",
            )
        if optional is None:
            return values
        values = values.astype(np.float32)
        values[gaps] = np.nan
        return values

    def labels(self, role: str) -> Labels | None:
        """The column of a role as numbers from 0, and what each stands for; None if the role has no column.

        Different labels have different numbers, or the column is refused.
        """
        name = getattr(self.roles, role)
        if name is None:
            return None
        column = self.column(name, "label")
        if column.kind != "text":
            numbers = self._checked(column, name, role)
            if numbers.dtype.kind == "f" and (np.abs(numbers) >= 2.0 ** exact_power(numbers.dtype)).any():
                raise DataError(
                    f"{self.name}: column {shown(name)} for {role} holds {column.type} of 2^"
                    f"{exact_power(numbers.dtype)} and more, which may stand for several: store whole numbers or text"
                )
            values, codes = np.unique(numbers, return_inverse=True)
            return codes.astype(np.int64), values.tolist()
        codes, texts = self._texts(column, name, role)
        if (name, "number") in self.table:
            # By their numbers, as in other formats; but two texts may have one number.
            numbers = self.number(name, role)
            values, inverse = np.unique(numbers, return_inverse=True)
            if len(values) == len(texts):
                return inverse.astype(np.int64), values.tolist()
        return codes, texts

    def _texts(self, column: Column, name: str, role: str) -> Labels:
        """A column of texts as numbers from 0, (rows,) int64, and the texts in order; decimals by their size."""
        where = f"{self.name}: column {shown(name)} for {role}"
        empty = column.missing
        blank = [code for code, text in enumerate(column.names) if not text.strip()]
        empty = np.union1d(empty, np.flatnonzero(np.isin(column.values, blank)))
        if len(empty):
            raise EpisodeError(f"{where} is empty in row {empty[0]}", empty, f"{role} is empty")
        used, codes = np.unique(column.values, return_inverse=True)
        names = [column.names[code] for code in used]
        if column.type.startswith("decimal"):
            rank = sorted(range(len(names)), key=lambda code: Decimal(names[code]))
        else:
            rank = sorted(range(len(names)), key=names.__getitem__)
        number_of = np.empty(len(names), dtype=np.int64)
        number_of[rank] = np.arange(len(names))
        return number_of[codes], [names[code] for code in rank]

    def steps(self) -> np.ndarray | None:
        """(rows,) int64, exact; None if there is no such column."""
        name = self.roles.step
        if name is None:
            return None
        column = self.column(name, "whole")
        values = self._checked(column, name, "step")
        if column.scale <= 0:
            return whole(values * 10**-column.scale, "step", self.name)
        fractions = np.flatnonzero(values % 10**column.scale)
        if len(fractions):
            shown_value = Decimal(int(values[fractions[0]])).scaleb(-column.scale)
            raise DataError(f"{self.name}: step must be whole numbers, row {fractions[0]} is {shown_value}")
        return whole(values // 10**column.scale, "step", self.name)

    def time(self) -> Times | None:
        """The times, exact: those of timestamps count from the first of them; None if there is no such column."""
        name = self.roles.time
        if name is None:
            return None
        column = self.column(name, "time")
        where = f"{self.name}: column {shown(name)} for time"
        if column.kind != "time":
            values = self._checked(column, name, "time")
            if values.dtype.kind == "f":
                if values.itemsize < 8 and np.abs(values).max() >= 2.0 ** exact_power(values.dtype):
                    raise DataError(
                        f"{where} holds {column.type}, too coarse for numbers like {np.abs(values).max():g}"
                    )
                whole_numbers = bool((values == np.floor(values)).all())
                spacing = 0.0 if whole_numbers else float(np.spacing(np.abs(values).max()))
                return Times(values.astype(np.float64), spacing=spacing)
            return Times(_differences(values, where), 10.0**column.scale)
        if len(column.missing):
            count = counted(len(column.missing), "row")
            raise EpisodeError(
                f"{where} is empty in {count}, the first is row {column.missing[0]}", column.missing, "time is empty"
            )
        nanoseconds = column.values
        if int(nanoseconds.max()) - int(nanoseconds.min()) >= 1 << 62:
            raise DataError(f"{where} spans more than a century")
        return Times(nanoseconds - nanoseconds.min(), 1e9, in_seconds=True)


def _differences(values: np.ndarray, where: str) -> np.ndarray:
    """Whole numbers as (rows,) int64 whose differences do not overflow: as they are, or counted from the least."""
    low, high = int(values.min()), int(values.max())
    if high - low >= 1 << 62:
        raise DataError(f"{where} ranges from {low} to {high}, too far apart to reckon with")
    if low > -(1 << 62) and high < 1 << 62:
        return values.astype(np.int64)
    return (values - values.min()).astype(np.int64)


def _filled(column: Column, optional: np.ndarray) -> tuple[Column, np.ndarray]:
    """A column of flags with "true" in the rows that are ``optional`` and empty, and the numbers of those rows."""
    empty = column.missing
    if column.kind == "text" and "" in column.names:
        empty = np.union1d(empty, np.flatnonzero(column.values == column.names.index("")))
    if column.values.dtype.kind == "f":
        empty = np.union1d(empty, np.flatnonzero(np.isnan(column.values)))
    gaps = empty[optional[empty]]
    if not len(gaps):
        return column, gaps
    values = column.values.copy()
    values[gaps] = len(column.names) if column.kind == "text" else 1
    missing = np.setdiff1d(column.missing, gaps)
    return replace(column, values=values, names=[*column.names, "true"], missing=missing), gaps


def _truth(word: object) -> int:
    text = str(word).strip().lower()
    return 1 if text in _TRUE else 0 if text in _FALSE else -1

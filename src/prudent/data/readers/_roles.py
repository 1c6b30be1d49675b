"""The columns of a table by role, checked: numbers, flags, labels and times."""

import numpy as np

from prudent.data import columns
from prudent.data.columns import counted
from prudent.data.episodes.order import Labels
from prudent.data.readers._arrow import Column
from prudent.data.readers.mapping import TableMap
from prudent.errors import DataError, shown

_TRUE, _FALSE = ("true", "t", "yes", "1", "1.0"), ("false", "f", "no", "0", "0.0")


class RoleColumns:
    """The columns that ``roles`` names, as arrays of one value per row.

    Every method raises DataError, naming column, role and row, if a column does not fit its role.
    """

    def __init__(self, table: dict[str, Column], roles: TableMap, name: str):
        self.table, self.roles, self.name = table, roles, name

    def numbers(self, role: str) -> np.ndarray:
        """The columns of a role side by side, (rows, columns); integers if all of them are."""
        value = getattr(self.roles, role)
        names = value if isinstance(value, tuple) else (value,)
        return np.stack([self._number(name, role) for name in names], axis=1)

    def _number(self, name: str, role: str) -> np.ndarray:
        column = self.table[name]
        where = f"{self.name}: column {shown(name)} for {role}"
        if column.kind != "number":
            raise DataError(f"{where} holds {column.type}, expected numbers")
        if column.missing:
            rows = counted(column.missing, "row")
            raise DataError(f"{where} is empty in {rows}, the first is row {column.first_missing}")
        bad = np.flatnonzero(~np.isfinite(column.values))
        if len(bad):
            raise DataError(f"{where} is NaN or infinite in {counted(len(bad), 'row')}, the first is row {bad[0]}")
        return column.values

    def flag(self, role: str) -> np.ndarray | None:
        """The column of a role as (rows,) bool; None if the role has no column."""
        name = getattr(self.roles, role)
        return None if name is None else self.flags_of(name, role)

    def flags_of(self, name: str, role: str) -> np.ndarray:
        """A column of true/false, 0/1 or yes/no as (rows,) bool."""
        if self.table[name].kind != "text":
            return columns.flags(self._number(name, role), f"column {shown(name)} for {role}", self.name)
        codes, words = self._labels(name, role)
        meaning = np.array([_truth(word) for word in words], dtype=np.int8)
        bad = np.flatnonzero(meaning[codes] < 0)
        if len(bad):
            word = shown(words[codes[bad[0]]])
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} must be true/false or 0/1, row {bad[0]} is {word}"
            )
        return meaning[codes] == 1

    def labels(self, role: str) -> Labels | None:
        """The column of a role as numbers from 0, and what each stands for; None if the role has no column."""
        name = getattr(self.roles, role)
        return None if name is None else self._labels(name, role)

    def _labels(self, name: str, role: str) -> Labels:
        """A column of names or whole numbers as numbers from 0, (rows,) int64, and what each stands for, sorted."""
        column = self.table[name]
        where = f"{self.name}: column {shown(name)} for {role}"
        if column.missing:
            raise DataError(f"{where} is empty in row {column.first_missing}")
        if column.kind != "text":
            numbers, codes = np.unique(self._number(name, role), return_inverse=True)
            return codes.astype(np.int64), numbers.tolist()
        rank = np.argsort(np.argsort(np.array(column.names, dtype=object)))
        codes = rank[column.values].astype(np.int64)
        names = sorted(column.names)
        if "" in names:
            raise DataError(f"{where} is empty in row {np.flatnonzero(codes == 0)[0]}")
        return codes, names

    def time(self) -> np.ndarray | None:
        """(rows,) float64: timestamps as seconds since the first of them, numbers as they are."""
        name = self.roles.time
        if name is None:
            return None
        column = self.table[name]
        if column.kind != "time":
            return self._number(name, "time").astype(np.float64)
        where = f"{self.name}: column {shown(name)} for time"
        if column.missing:
            raise DataError(f"{where} is empty in {column.missing} rows")
        nanoseconds = column.values
        if int(nanoseconds.max()) - int(nanoseconds.min()) >= 1 << 62:
            raise DataError(f"{where} spans more than a century")
        # float64 cannot hold nanoseconds since 1970 exactly, but it holds differences within a log.
        return (nanoseconds - nanoseconds.min()).astype(np.float64) / 1e9


def _truth(word: object) -> int:
    text = str(word).strip().lower()
    return 1 if text in _TRUE else 0 if text in _FALSE else -1

"""The observations and actions of a table whose columns hold categories, labels or missing cells, as numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prudent.data.columns import counted
from prudent.data.encoding import MOST_VALUES, Column, Encoding, listed, texts_of
from prudent.data.meanings import in_order
from prudent.data.readers import _arrow
from prudent.data.readers._budget import Budget
from prudent.data.readers._roles import RoleColumns
from prudent.data.readers.declared import Declared
from prudent.data.readers.mapping import TableMap, columns_of
from prudent.errors import ConfigError, DataError, EpisodeError, shown


def kind_of(roles: TableMap, role: str, column: str, usual: _arrow.Kind) -> _arrow.Kind:
    """How a column is read for a role: as labels if the mapping gives it categories or labels."""
    if role == "action" and roles.action_labels is not None:
        return "label"
    if role == "observation" and column in roles.categories:
        return "label"
    if role == "next_observation" and roles.observation[roles.next_observation.index(column)] in roles.categories:
        return "label"
    return usual


def declared_by(roles: TableMap, user: Declared, name: str) -> Declared:
    """What a mapping says about actions, with what its labels say.

    Raises:
        ConfigError: the user says otherwise.
    """
    count = None if roles.action_labels is None else len(roles.action_labels)
    if count is not None:
        if user.discrete is False or user.action_low is not None or user.action_high is not None:
            raise ConfigError(f"{name}: action_labels are for choices, and these are declared amounts")
        if user.n_actions not in (None, count) or user.first_action not in (None, 0):
            raise ConfigError(f"{name}: {count} action_labels number the actions 0 to {count - 1}; declare no others")
    return Declared(
        action_low=roles.action_low,
        action_high=roles.action_high,
        discrete=roles.discrete if count is None else True,
        n_actions=roles.n_actions if count is None else count,
        first_action=roles.first_action,
    )


class EncodedColumns:
    """Observations and actions of a table; ``encoding`` says what they stand for, ``notes`` what was done to them.

    ``stored`` are the bytes of the file: categories may not make it grow out of proportion.

    Raises:
        DataError: a column does not fit its role, naming column, role and row: EpisodeError if only some rows do not.
            Or the features take too much memory.
        ConfigError: the mapping's fill value is none of a column's categories.
    """

    def __init__(self, table: RoleColumns, rows: int, stored: int):
        self.table, self.roles, self.name = table, table.roles, table.name
        columns = [self._with_values(column) for column in columns_of(self.roles, self.name)]
        self.encoding = Encoding(tuple(columns), self.roles.action, self.roles.action_labels)
        self.notes = self.encoding.notes()
        if not self.is_plain:
            # float64 while they are put together, then float32 here and next.
            taken, budget = 16 * rows * len(self.encoding.features), Budget()
            budget.spend(taken, stored=taken, key="categories", name=self.name)
            budget.proportion(taken, stored, self.name)

    @property
    def is_plain(self) -> bool:
        """Whether observations are the numbers of the table, as they stand."""
        return all(column.kind == "number" and column.fill is None for column in self.encoding.columns)

    def action(self) -> np.ndarray:
        """The actions side by side, (rows, columns); labelled ones as their numbers, (rows, 1) int64."""
        if self.encoding.labels is None:
            return self.table.numbers("action")
        labels = Column("action", "index", self.encoding.labels)
        places, missing = self._places(self.roles.action[0], "action", labels)
        self._refuse_missing(missing, self.roles.action[0], "action")
        return places[:, None]

    def observation(self) -> np.ndarray:
        """The observations, (rows, features)."""
        if self.is_plain:
            return self.table.numbers("observation")
        return self._features("observation", self.roles.observation, None)

    def successors(self, terminated: np.ndarray) -> np.ndarray:
        """The next observations, (rows, features); NaN where terminal rows, ``terminated``, lack one."""
        if self.is_plain:
            return self.table.successors(terminated)
        return self._features("next_observation", self.roles.next_observation, terminated)

    def _features(self, role: str, names: Sequence[str], optional: np.ndarray | None) -> np.ndarray:
        parts = []
        for name, column in zip(names, self.encoding.columns, strict=True):
            if column.kind != "number":
                numbers, missing = self._places(name, role, column)
            elif column.fill is not None:
                numbers, missing = self.table.gappy(name, role)
            else:
                numbers, missing = self.table.number(name, role, optional), None
            if missing is None:
                missing = np.zeros(len(numbers), dtype=bool)
            elif optional is not None:
                # After a termination nothing is known, and no value depends on it: nothing is made up.
                numbers, gone = numbers.astype(np.float64), missing & optional
                numbers[gone], missing = np.nan, missing & ~optional
            if column.fill is None:
                self._refuse_missing(missing, name, role)
            elif missing.any():
                count = counted(int(missing.sum()), "missing cell")
                fill = f"{column.fill:g}" if isinstance(column.fill, float) else column.fill
                self.notes.append(f"{role} {shown(name)}: {count} filled with {fill}")
            parts.append(column.encoded(numbers, missing))
        return np.concatenate(parts, axis=1)

    def _refuse_missing(self, missing: np.ndarray, name: str, role: str) -> None:
        rows = np.flatnonzero(missing)
        if len(rows):
            raise EpisodeError(
                f"{self.name}: column {shown(name)} for {role} is empty in {counted(len(rows), 'row')}, "
                f"the first is row {rows[0]}",
                rows,
                f"{role} is empty",
                self.table.fill_advice(name, role),
            )

    def _places(self, name: str, role: str, column: Column) -> tuple[np.ndarray, np.ndarray]:
        """The place of each row's category, (rows,) int64, and which rows have none, (rows,) bool."""
        codes, cells, missing = self._cells(name, role)
        places = np.array([-1 if place is None else place for place in column.places(cells)], dtype=np.int64)
        values = np.where(missing, 0, places[codes] if len(cells) else 0)
        rows = np.flatnonzero((values < 0) & ~missing)
        if len(rows):
            cell = cells[codes[rows[0]]]
            what = column.unknown(cell, "action_labels" if role == "action" else "its categories")
            listing = "action_labels" if role == "action" else f"the categories of {shown(column.name)}"
            raise EpisodeError(
                f"{self.name}: column {shown(name)} for {role} holds in row {rows[0]} {what}",
                rows,
                f"{role} is {shown(cell)}",
                f"mend the cell, or add it to {listing} in the mapping",
            )
        return values, missing

    def _with_values(self, column: Column) -> Column:
        """The column with its categories, from the log if the mapping does not list them."""
        if column.kind == "number" or column.values:
            return column
        names = [(column.name, "observation")]
        if self.roles.next_observation:
            at = self.roles.observation.index(column.name)
            names.append((self.roles.next_observation[at], "next_observation"))
        texts: dict[str, None] = {}
        for name, role in names:
            _, cells, _ = self._cells(name, role)
            if not 1 <= max(len(cells), len(texts)) <= MOST_VALUES:
                raise DataError(
                    f"{self.name}: column {shown(name)} has {len(cells):,} different values, "
                    f"and categories may be 1 to {MOST_VALUES:,}: leave it out, or group its values"
                )
            texts |= dict.fromkeys(text for cell in cells for text in texts_of(cell)[:1])
        values = tuple(sorted(texts, key=in_order))
        if column.fill is not None and column.fill not in values:
            raise ConfigError(
                f"{self.name}: the fill value of {shown(column.name)} is {shown(column.fill)}, which is none of its "
                f"values in the log ({listed(values)}): list the categories in the mapping"
            )
        return replace(column, values=values)

    def _cells(self, name: str, role: str) -> tuple[np.ndarray, list[Any], np.ndarray]:
        """A column of labels: the number of each row's cell, the different cells, and which rows have none."""
        column = self.table.column(name, "label")
        rows = len(column.values)
        missing = np.zeros(rows, dtype=bool)
        missing[column.missing] = True
        if column.kind == "text":
            blank = [code for code, text in enumerate(column.names) if not text.strip()]
            missing |= np.isin(column.values, blank)
            used, codes = np.unique(np.where(missing, -1, column.values), return_inverse=True)
            cells: list[Any] = ["" if code < 0 else column.names[code] for code in used]
        elif column.kind == "number":
            if column.values.dtype.kind == "f":
                missing |= np.isnan(column.values)
            used, codes = np.unique(np.where(missing, 0, column.values), return_inverse=True)
            cells = [bool(value) for value in used] if column.type == "bool" else used.tolist()
        else:
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} holds {column.type}, expected text or numbers"
            )
        # Cells of missing rows alone are no values.
        present = np.unique(codes[~missing])
        number_of = np.zeros(len(cells), dtype=np.int64)
        number_of[present] = np.arange(len(present))
        return number_of[codes.ravel()], [cells[code] for code in present], missing

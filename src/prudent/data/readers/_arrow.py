"""The columns of CSV and Parquet files. A child process parses the files; the bytes are counted here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prudent.data.readers import _process
from prudent.data.readers._budget import Budget
from prudent.errors import DataError, shown
from prudent.progress import Wait

Kind = Literal["number", "flag", "label", "time", "whole"]
"""How a column is read: as numbers, true/false, labels (names or numbers), points in time, or exact whole numbers."""

Table = dict[tuple[str, Kind], "Column"]
"""The columns of a table by name and kind: a column that is used in two ways is there twice."""

MOST_COLUMNS = 16_384


@dataclass
class Column:
    """A column of a table, (rows,).

    ``values`` depend on ``kind``: numbers for "number", indices into ``names`` (int32) for "text", nanoseconds since
    1970 (int64) for "time", none for "other". Numbers count units of ``10 ** -scale``. ``type`` is pyarrow's name of
    the type. ``missing`` are the numbers of the rows without a value, (rows without one,) int64.
    """

    type: str = ""
    kind: str = "other"
    names: list[str] = field(default_factory=list)
    scale: int = 0
    missing: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def take(self, rows: np.ndarray) -> "Column":
        """The column with these rows (rising row numbers) alone."""
        missing = np.flatnonzero(np.isin(rows, self.missing))
        return replace(self, missing=missing, values=self.values[rows] if len(self.values) else self.values)


class TableFile:
    """A table that has been opened; :func:`opened` makes one."""

    def __init__(self, child: _process.Child, path: Path, budget: Budget, names: list[str]):
        self.child, self.path, self.budget, self.names = child, path, budget, names

    def read(self, kinds: Mapping[str, Sequence[Kind]], lenient: bool = False) -> tuple[int, Table]:
        """The number of rows, and every column in ``kinds``, once for each of its kinds.

        If ``lenient``, cells of a CSV file that are no numbers or points in time count as missing. The bytes are
        counted twice: before reading, as the footer declares them (Parquet), and while they arrive.

        Raises:
            DataError: the file is damaged, a column is of another kind, or they take more memory than allowed.
        """
        declared = self.child.ask(kinds=dict(kinds), lenient=lenient)["declared"]
        size = self.path.stat().st_size
        total = 0
        for column, rows, unpacked in declared:
            taken = 8 * rows * len(kinds[column])
            total += unpacked + taken
            self.budget.spend(taken, stored=size, key=f"column {shown(column)}", name=self.path.name)
            self.budget.proportion(total, size, self.path.name)
        rows = 0
        wanted: list[tuple[str, Kind]] = [(name, kind) for name, several in kinds.items() for kind in several]
        columns: Table = {key: Column() for key in wanted}
        parts: dict[tuple[str, Kind], list[np.ndarray]] = {key: [] for key in wanted}
        lacking: dict[tuple[str, Kind], list[np.ndarray]] = {key: [] for key in wanted}
        arrived = Budget()
        message = self.child.ask(go=True)
        expected = max((rows for _, rows, _ in declared), default=0)
        with Wait(f"reading {self.path.name}", 1.0) as wait:
            while "rows" in message:
                wait.update(rows / expected if expected else message["position"] / max(size, 1))
                for key, about in zip(wanted, message["columns"], strict=True):
                    parts[key].append(self.child.array(about["values"], about["dtype"]))
                    lacking[key].append(self.child.array(about["missing"], "<i8") + rows)
                    _extend(columns[key], about)
                    count = parts[key][-1].nbytes + lacking[key][-1].nbytes + sum(map(len, about["names"]))
                    arrived.spend(count, stored=count, key="the rows so far", name=self.path.name)
                if declared:
                    arrived.proportion(arrived.spent, size, self.path.name)
                rows += message["rows"]
                message = self.child.receive()
        for key, column in columns.items():
            column.values = np.concatenate(parts.pop(key)) if rows else column.values
            column.missing = np.concatenate(lacking.pop(key)) if rows else column.missing
        return rows, columns


def _extend(column: Column, about: Mapping[str, Any]) -> None:
    """Add to a column what the child says ``about`` its part in a batch."""
    column.type, column.kind, column.scale = about["type"], about["kind"], about["scale"]
    column.names += about["names"]


@contextmanager
def opened(path: Path) -> Iterator[TableFile]:
    """A table, opened in a child process.

    Raises:
        DataError: the file is damaged, has no columns or too many, or one of them twice.
    """
    budget = Budget()
    with _process.start(path.name, path.stat().st_size, budget) as child:
        names = child.ask(task="read table", path=str(path), memory=child.memory, seconds=child.seconds)["columns"]
        if len(names) > MOST_COLUMNS:
            raise DataError(f"{path.name}: {len(names)} columns, {MOST_COLUMNS} are the most")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{path.name}: column {shown(twice)} is there twice")
        yield TableFile(child, path, budget, names)


def check_arrow_files(paths: Sequence[Path], name: str, budget: Budget) -> None:
    """Have a child process read the Arrow files of a dataset called ``name``, before Minari reads them in this one.

    Raises:
        DataError: one of them is damaged, or packed (it may then have any size), or has extension types.
    """
    files = [(path, f"{path.parent.name}/{path.name}") for path in paths]
    for path, key in files:
        size = path.stat().st_size
        budget.spend(size, stored=size, key=key, name=name)
    with _process.start(name, sum(path.stat().st_size for path in paths), budget) as child:
        child.ask(
            task="check arrow files",
            files=[(str(path), key) for path, key in files],
            memory=child.memory,
            seconds=child.seconds,
        )

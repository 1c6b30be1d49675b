"""The columns of CSV and Parquet files. A child process parses the files; the bytes are counted here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prudent.data.readers import _process
from prudent.data.readers._budget import Budget
from prudent.errors import DataError, shown
from prudent.progress import Wait

Kind = Literal["number", "flag", "label", "time"]
"""How a column is read: as numbers, true/false, labels (names or numbers), or points in time."""

MOST_COLUMNS = 16_384


@dataclass
class Column:
    """A column of a table, (rows,).

    ``values`` depend on ``kind``: numbers for "number", indices into ``names`` (int32) for "text", nanoseconds since
    1970 (int64) for "time", none for "other". ``type`` is pyarrow's name of the type. ``missing`` counts the rows
    without a value; ``first_missing`` is the first of them.
    """

    type: str = ""
    kind: str = "other"
    names: list[str] = field(default_factory=list)
    missing: int = 0
    first_missing: int = 0
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))


class TableFile:
    """A table that has been opened; :func:`opened` makes one."""

    def __init__(self, child: _process.Child, path: Path, budget: Budget, names: list[str]):
        self.child, self.path, self.budget, self.names = child, path, budget, names

    def read(self, kinds: Mapping[str, Kind]) -> tuple[int, dict[str, Column]]:
        """The number of rows, and the columns in ``kinds`` by name.

        Their bytes are counted twice: before reading, as the footer declares them (Parquet), and while they arrive.

        Raises:
            DataError: the file is damaged, a column is of another kind, or they take more memory than allowed.
        """
        declared = self.child.ask(kinds=dict(kinds))["declared"]
        size = self.path.stat().st_size
        total = 0
        for column, rows, unpacked in declared:
            total += unpacked + 8 * rows
            self.budget.spend(8 * rows, stored=size, key=f"column {shown(column)}", name=self.path.name)
            self.budget.proportion(total, size, self.path.name)
        rows = 0
        columns = {name: Column() for name in kinds}
        parts: dict[str, list[np.ndarray]] = {name: [] for name in kinds}
        arrived = Budget()
        message = self.child.ask(go=True)
        expected = max((rows for _, rows, _ in declared), default=0)
        with Wait(f"reading {self.path.name}", 1.0) as wait:
            while "rows" in message:
                wait.update(rows / expected if expected else message["position"] / max(size, 1))
                for name, about in zip(kinds, message["columns"], strict=True):
                    parts[name].append(self.child.array(about["values"], about["dtype"]))
                    _extend(columns[name], about, rows)
                    count = parts[name][-1].nbytes + sum(map(len, about["names"]))
                    arrived.spend(count, stored=count, key="the rows so far", name=self.path.name)
                if declared:
                    arrived.proportion(arrived.spent, size, self.path.name)
                rows += message["rows"]
                message = self.child.receive()
        for name, column in columns.items():
            column.values = np.concatenate(parts.pop(name)) if rows else column.values
        return rows, columns


def _extend(column: Column, about: Mapping[str, Any], row: int) -> None:
    """Add to a column what the child says ``about`` its part in a batch; the batch begins in ``row``."""
    column.type, column.kind = about["type"], about["kind"]
    column.names += about["names"]
    if about["missing"] and not column.missing:
        column.first_missing = row + about["first"]
    column.missing += about["missing"]


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

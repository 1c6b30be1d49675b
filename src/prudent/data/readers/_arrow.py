"""Columns of CSV and Parquet files that someone else wrote, read with pyarrow under a budget."""

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prudent.data.readers import _parquet
from prudent.data.readers._budget import Budget
from prudent.data.readers._damage import guarded, shown
from prudent.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["number", "flag", "label", "time"]
"""What a column is read as: numbers, true/false, names or numbers of something, or points in time."""

PARQUET = (".parquet", ".pq")
MOST_COLUMNS = 16_384
_HEADER_BYTES = 1 << 20
_BLOCK = 4 << 20
_NOT_CONVERTED = re.compile(
    r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\w+).*: invalid value '(.*)'", re.S
)
# What tables of numbers never reach; deflate itself goes up to 1032.
_GZIP_RATIO, _GZIP_FLOOR = 200, 32 << 20


def column_names(path: Path) -> list[str]:
    """The columns that a table declares.

    Raises:
        DataError: the file is damaged, has none or too many, or one of them twice.
    """
    names = _parquet.names(path) if path.suffix.lower() in PARQUET else _header(path)
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path.name}: {len(names)} columns, {MOST_COLUMNS} are the most")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise DataError(f"{path.name}: column {shown(twice)} is there twice")
    return names


def read_columns(path: Path, kinds: Mapping[str, Kind]) -> "pa.Table":
    """The named columns as an arrow table, the bytes they take counted before (Parquet) or while (CSV) reading.

    Raises:
        DataError: the file is damaged, a column is of another kind, or they take more memory than allowed.
    """
    budget = Budget()
    if path.suffix.lower() in PARQUET:
        table = guarded(path.name, lambda: _parquet.read(path, kinds, budget))
    else:
        table = guarded(path.name, lambda: _csv(path, kinds, budget))
    # Arrow takes numbers of dictionary entries as they are, also those that point beyond its end.
    guarded(path.name, lambda: table.validate(full=True))
    return table


# --- CSV ----------------------------------------------------------------------------------------------------


def _opened(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _header(path: Path) -> list[str]:
    def first_row() -> list[str]:
        with _opened(path) as file:
            line = file.readline(_HEADER_BYTES + 1)
        if len(line) > _HEADER_BYTES:
            raise DataError(f"{path.name}: its first line is longer than {_HEADER_BYTES} bytes, expected column names")
        if b"\0" in line:
            raise DataError(f"{path.name}: its first line is not text, expected column names")
        try:
            return next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")]), [])
        except csv.Error as error:
            raise DataError(f"{path.name}: its first line holds no column names ({error})") from error

    names = guarded(path.name, first_row)
    if not names:
        raise DataError(f"{path.name}: its first line is empty, expected column names")
    return names


def _csv(path: Path, kinds: Mapping[str, Kind], budget: Budget) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    labels = pa.dictionary(pa.int32(), pa.string())
    types: dict[str, Any] = {"number": pa.float64(), "flag": labels, "label": labels}
    wanted = {name: types[kind] for name, kind in kinds.items() if kind in types}
    for name, kind in kinds.items():
        if kind == "time":
            wanted[name] = _type_of_time(path, name)
    with _stream(path) as file, _values_named(path):
        reader = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=False),
            convert_options=arrow_csv.ConvertOptions(column_types=wanted, include_columns=list(kinds)),
        )
        batches = []
        for batch in reader:
            budget.spend(batch.nbytes, stored=batch.nbytes, key="the rows so far", name=path.name)
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


@contextmanager
def _values_named(path: Path) -> Iterator[None]:
    """A value that is none of its column's kind is said as in any other table: by the column's name, rows from 0.

    Raises:
        DataError: there is one.
    """
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        found = _NOT_CONVERTED.match(str(error))
        if found is None:
            raise
        column, row = column_names(path)[int(found[1])], int(found[2]) - 2
        expected = "numbers" if found[3] == "double" else "points in time"
        raise DataError(
            f"{path.name}: column {shown(column)} holds {shown(found[4])} in row {row}, expected {expected}"
        ) from error


def _type_of_time(path: Path, name: str) -> Any:
    """Numbers or timestamps: what the first rows look like."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    with _stream(path) as file:
        reader = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            convert_options=arrow_csv.ConvertOptions(include_columns=[name]),
        )
        found = reader.schema.field(name).type
    if pa.types.is_timestamp(found):
        return pa.timestamp("ns", found.tz)
    if pa.types.is_date(found):
        return pa.timestamp("s")
    return pa.float64()


@contextmanager
def _stream(path: Path) -> Iterator["pa.NativeFile"]:
    """The table's text. Arrow's threads read ahead, so a Python file will not do: after an error they would call back
    into an interpreter that is shutting down, which aborts the process.

    Raises:
        DataError: a gzip file grows out of proportion.
    """
    import pyarrow as pa

    if path.suffix.lower() != ".gz":
        with pa.OSFile(str(path)) as file:
            yield file
        return
    _check_proportion(path)
    with pa.CompressedInputStream(pa.OSFile(str(path)), "gzip") as file:
        yield file


def _check_proportion(path: Path) -> None:
    stored, inflated = path.stat().st_size, 0
    with _opened(path) as file:
        while block := file.read(_BLOCK):
            inflated += len(block)
            if inflated > _GZIP_FLOOR and inflated > _GZIP_RATIO * stored:
                raise DataError(f"{path.name}: its {stored} bytes inflate to more than {inflated}, which no table does")

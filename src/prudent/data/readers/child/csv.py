"""CSV, gzipped or not, read block by block."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from prudent.data.readers.child import cells
from prudent.errors import DataError, EpisodeError, shown

_HEADER_BYTES = 1 << 20
_BLOCK = 4 << 20
_NOT_CONVERTED = re.compile(
    r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\w+).*: invalid value '(.*)'", re.S
)
# Tables of numbers never shrink this far; deflate itself reaches 1032.
_GZIP_RATIO, _GZIP_FLOOR = 200, 32 << 20


class CsvTable:
    """A CSV file, gzipped or not, read block by block."""

    def __init__(self, path: Path):
        self.path = path
        self._file: Any = None
        self.gzipped = path.suffix.lower() == ".gz"
        with self._text() as file:
            line = file.readline(_HEADER_BYTES + 1)
        if len(line) > _HEADER_BYTES:
            raise DataError(f"its first line is longer than {_HEADER_BYTES} bytes, expected column names")
        if b"\0" in line:
            raise DataError("its first line is not text, expected column names")
        try:
            self.names = next(csv.reader([line.decode("utf-8-sig").rstrip("\r\n")]), [])
        except csv.Error as error:
            raise DataError(f"its first line holds no column names ({error})") from error
        if not self.names:
            raise DataError("its first line is empty, expected column names")

    @property
    def position(self) -> int:
        """Bytes of the file that were read so far."""
        return 0 if self._file is None else self._file.tell()

    def declared(self, kinds: Mapping[str, Sequence[str]]) -> list[tuple[str, int, int]]:  # noqa: ARG002 - as ParquetTable
        """A CSV file declares nothing."""
        return []

    def batches(self, kinds: Mapping[str, Sequence[str]], lenient: bool) -> Iterator[dict[tuple[str, str], Any]]:
        """The wanted columns by name and kind, block by block.

        Raises:
            DataError: a gzip file grows out of proportion, or a value is not of its column's kind; if ``lenient``, it
                is missing instead.
        """
        if self.gzipped:
            self._check_proportion()
        # One reader gives a column one type. A column that is used in several ways is read by as many readers.
        turns = [
            {name: several[turn] for name, several in kinds.items() if turn < len(several)}
            for turn in range(max(map(len, kinds.values())))
        ]
        try:
            types = [{name: self._type(name, kind, lenient) for name, kind in turn.items()} for turn in turns]
            readers = [self._read(wanted, lenient) for wanted in types]
            # All readers divide the file into the same blocks.
            for batches in zip(*readers, strict=True):
                columns: dict[tuple[str, str], Any] = {}
                for turn, wanted, batch in zip(turns, types, batches, strict=True):
                    batch.validate(full=True)
                    for name, kind in turn.items():
                        cell = batch.column(name)
                        columns[name, kind] = cells.convert(cell, wanted[name]) if lenient else cell
                yield columns
        except pa.ArrowInvalid as error:
            match = _NOT_CONVERTED.match(str(error))
            if match is None:
                raise
            # Arrow counts columns, and rows from 1 with the header.
            column, row = self.names[int(match[1])], int(match[2]) - 2
            expected = {"double": "numbers", "int64": "whole numbers"}.get(match[3], "points in time")
            if match[3] != "int64" and "time" in kinds[column]:
                expected = "numbers, or points in time as 2024-05-31T13:45:00, all with a time zone or none"
            words = "; if it holds words throughout, give each word a number in the table, or list them in the mapping"
            words = f"{words} (categories, action_labels)" if row == 0 else ""
            raise EpisodeError(
                f"column {shown(column)} holds {shown(match[4])} in row {row}, expected {expected}{words}"
            ) from error

    def _read(self, types: Mapping[str, Any], lenient: bool) -> Any:
        """A reader of the columns as these types; if ``lenient``, as text."""
        columns = {name: pa.string() for name in types} if lenient else dict(types)
        return self._reader(
            parse_options=arrow_csv.ParseOptions(newlines_in_values=False),
            convert_options=arrow_csv.ConvertOptions(column_types=columns, include_columns=list(types)),
        )

    def _type(self, name: str, kind: str, lenient: bool) -> Any:
        """The type for a kind; where the file decides, what the first rows look like."""
        if kind == "number":
            return pa.float64()
        if kind in ("flag", "label"):
            return pa.dictionary(pa.int32(), pa.string())
        options = {"column_types": {name: pa.string()}} if lenient else {}
        reader = self._reader(convert_options=arrow_csv.ConvertOptions(include_columns=[name], **options))
        first = next((batch.column(name) for batch in reader if batch.num_rows), None)
        if first is None:
            return pa.float64()
        return cells.guess(first) if lenient else cells.exact_type(first)

    def _reader(self, **options: Any) -> Any:
        self._file = pa.OSFile(str(self.path))
        source = pa.CompressedInputStream(self._file, "gzip") if self.gzipped else self._file
        reading = arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False)
        return arrow_csv.open_csv(source, read_options=reading, **options)

    def _text(self) -> Any:
        return gzip.open(self.path, "rb") if self.gzipped else self.path.open("rb")

    def _check_proportion(self) -> None:
        stored, inflated = self.path.stat().st_size, 0
        with self._text() as file:
            while block := file.read(_BLOCK):
                inflated += len(block)
                if inflated > _GZIP_FLOOR and inflated > _GZIP_RATIO * stored:
                    raise DataError(f"its {stored} bytes inflate to more than {inflated}, which no table does")

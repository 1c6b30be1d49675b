"""CSV, gzipped or not, read block by block."""

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from prudent.errors import DataError, shown

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

    def declared(self, kinds: Mapping[str, str]) -> list[tuple[str, int, int]]:  # noqa: ARG002 - as ParquetTable
        """A CSV file declares nothing."""
        return []

    def batches(self, kinds: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """The wanted columns.

        Raises:
            DataError: a gzip file grows out of proportion, or a value is not of its column's kind.
        """
        if self.gzipped:
            self._check_proportion()
        labels = pa.dictionary(pa.int32(), pa.string())
        types: dict[str, Any] = {"number": pa.float64(), "flag": labels, "label": labels}
        try:
            wanted = {name: types[kind] if kind in types else self._type_of_time(name) for name, kind in kinds.items()}
            yield from self._reader(
                parse_options=arrow_csv.ParseOptions(newlines_in_values=False),
                convert_options=arrow_csv.ConvertOptions(column_types=wanted, include_columns=list(kinds)),
            )
        except pa.ArrowInvalid as error:
            match = _NOT_CONVERTED.match(str(error))
            if match is None:
                raise
            # Arrow counts columns, and rows from 1 with the header.
            column, row = self.names[int(match[1])], int(match[2]) - 2
            expected = "numbers" if match[3] == "double" else "points in time"
            raise DataError(
                f"column {shown(column)} holds {shown(match[4])} in row {row}, expected {expected}"
            ) from error

    def _type_of_time(self, name: str) -> Any:
        """Numbers or timestamps: what the first rows look like."""
        reader = self._reader(convert_options=arrow_csv.ConvertOptions(include_columns=[name]))
        arrow_type = reader.schema.field(name).type
        if pa.types.is_timestamp(arrow_type):
            return pa.timestamp("ns", arrow_type.tz)
        return pa.timestamp("s") if pa.types.is_date(arrow_type) else pa.float64()

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

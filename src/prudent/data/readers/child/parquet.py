"""Parquet, read batch by batch."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from prudent.data.readers.child.columns import kind_of, type_text
from prudent.errors import DataError, shown

BATCH_ROWS = 1 << 16
_FOOTER_BYTES = 32 << 20
_SIGNATURE_BYTES = 28


def _is_encrypted(path: Path, metadata: Any) -> bool:
    """Whether columns are encrypted: the footer, though readable, then ends with a signature.

    pyarrow does not say so, and ends the process where such a column is touched.
    """
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
    return length - metadata.serialized_size == _SIGNATURE_BYTES


class ParquetTable:
    """A Parquet file, read batch by batch."""

    def __init__(self, path: Path):
        self.path = path
        self.file = pq.ParquetFile(
            path, thrift_string_size_limit=_FOOTER_BYTES, thrift_container_size_limit=1_000_000, pre_buffer=False
        )
        if _is_encrypted(path, self.file.metadata):
            raise DataError("the table is encrypted (Parquet encryption): write it without, keys are not asked for")
        self.names: list[str] = list(self.file.schema_arrow.names)

    @property
    def position(self) -> int:
        """Not known: how far the reading is follows from the rows."""
        return 0

    def declared(self, kinds: Mapping[str, Sequence[str]]) -> list[tuple[str, int, int]]:
        """Name, rows and unpacked bytes of every wanted column, per row group, as the footer declares them.

        Raises:
            DataError: the footer contradicts itself, or a column lies in another file.
        """
        metadata: Any = self.file.metadata
        paths = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        wanted = [index for index, path in enumerate(paths) if path in kinds]
        declared = []
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for index in wanted:
                column = group.column(index)
                where = f"column {shown(paths[index])}"
                if column.path_in_schema != paths[index]:
                    raise DataError("the columns of a row group are not those of the file")
                if column.file_path:
                    raise DataError(f"{where} lies in another file, which is never followed")
                if group.num_rows < 0 or column.num_values != group.num_rows:
                    raise DataError(f"{where} declares {column.num_values} values for {group.num_rows} rows")
                if column.total_uncompressed_size < 0:
                    raise DataError(f"{where} declares {column.total_uncompressed_size} bytes")
                declared.append((paths[index], group.num_rows, column.total_uncompressed_size))
        return declared

    def batches(
        self,
        kinds: Mapping[str, Sequence[str]],
        lenient: bool,  # noqa: ARG002 - as CsvTable; here every value of a column has its type
    ) -> Iterator[dict[tuple[str, str], Any]]:
        """The wanted columns by name and kind, batch by batch.

        Raises:
            DataError: one of them is nested, or neither number, name nor time.
        """
        types = {name: self.file.schema_arrow.field(name).type for name in kinds}
        for name, arrow_type in types.items():
            # Dictionaries of numbers pass: the error about their role comes later, and names the role.
            if kind_of(arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type) == "other":
                raise DataError(
                    f"column {shown(name)} holds {type_text(arrow_type)}, expected one number or name per row"
                )
        # Text stays a dictionary: a long name in every row would otherwise be copied into every row.
        text = [
            name for name, arrow_type in types.items() if kind_of(arrow_type) == "text" and kinds[name] != ["number"]
        ]
        file = pq.ParquetFile(
            self.path,
            metadata=self.file.metadata,
            read_dictionary=text,
            pre_buffer=False,
            buffer_size=1 << 20,
            page_checksum_verification=True,
        )
        return _by_kind(file.iter_batches(BATCH_ROWS, columns=list(kinds), use_threads=False), kinds)


def _by_kind(
    batches: Iterator[pa.RecordBatch], kinds: Mapping[str, Sequence[str]]
) -> Iterator[dict[tuple[str, str], Any]]:
    for batch in batches:
        # Without this, numbers of dictionary entries may point beyond the dictionary.
        batch.validate(full=True)
        yield {(name, kind): batch.column(name) for name, several in kinds.items() for kind in several}

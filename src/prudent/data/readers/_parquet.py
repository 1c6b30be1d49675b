"""Parquet files that someone else wrote: what a file declares is counted, page by page, before pyarrow reads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from prudent.data.readers import _thrift
from prudent.data.readers._budget import Budget
from prudent.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_FOOTER_BYTES = 32 << 20
_MOST_PAGES = 100_000


def _open(path: Path) -> Any:
    import pyarrow.parquet as pq

    _footer(path)
    return pq.ParquetFile(
        path,
        thrift_string_size_limit=_FOOTER_BYTES,
        thrift_container_size_limit=1_000_000,
        pre_buffer=False,
        page_checksum_verification=True,
    )


def _footer(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 8))
        tail = file.read(8)
        if size < 12 or tail[4:] != b"PAR1":
            raise DataError(f"{path.name}: a truncated or damaged Parquet file (its last bytes are {tail[4:]!r})")
        declared = int.from_bytes(tail[:4], "little")
        if declared > min(_FOOTER_BYTES, size - 12):
            raise DataError(f"{path.name}: its footer declares {declared} bytes, the file has {size}")
        file.seek(size - 8 - declared)
        return file.read(declared)


def names(path: Path) -> list[str]:
    """The top-level columns of the schema."""
    from prudent.data.readers._damage import guarded

    def declared() -> list[str]:
        with _open(path) as file:
            return list(file.schema_arrow.names)

    return guarded(path.name, declared)


def read(path: Path, kinds: Mapping[str, str], budget: Budget) -> "pa.Table":
    """The columns in ``kinds``, after every page header of theirs was looked at.

    Raises:
        DataError: a column is nested, lies in another file, or declares more than is stored or allowed.
    """
    import pyarrow.parquet as pq

    with _open(path) as file:
        schema = file.schema_arrow
        for name in kinds:
            _check_type(schema.field(name).type, name, path.name)
        labels = [name for name, kind in kinds.items() if _is_text(schema.field(name).type) and kind != "number"]
        paths = [file.schema.column(index).path for index in range(len(file.schema))]
        _look_over(path, paths, set(kinds), budget)
    # Text stays a dictionary: a long name in every row would otherwise be copied into every row.
    with pq.ParquetFile(path, read_dictionary=labels, pre_buffer=False, page_checksum_verification=True) as file:
        table = file.read(columns=list(kinds), use_threads=False)
    return table.select(list(kinds))


def _check_type(found: "pa.DataType", name: str, file: str) -> None:
    import pyarrow as pa

    plain = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal),
        *(pa.types.is_timestamp, pa.types.is_date, pa.types.is_string, pa.types.is_large_string),
    )
    inner = found.value_type if pa.types.is_dictionary(found) else found
    if not any(is_kind(inner) for is_kind in plain):
        from prudent.data.readers._damage import shown

        raise DataError(f"{file}: column {shown(name)} holds {str(found)[:60]}, expected one number or name per row")


def _is_text(found: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_dictionary(found)


def _look_over(path: Path, paths: list[str], wanted: set[str], budget: Budget) -> None:
    """Spend what the wanted columns declare: a row takes 8 bytes of each, and pages what their headers say.

    ``paths`` are those of the schema: by its order, not by the names in a row group, columns are read.
    """
    size = path.stat().st_size
    spent = 0
    groups = _thrift.row_groups(_footer(path), path.name)
    with path.open("rb") as file:
        for rows, chunks in groups:
            if [chunk.path for chunk in chunks] != paths:
                raise DataError(f"{path.name}: the columns of a row group are not those of the file")
            for chunk in chunks:
                if chunk.path not in wanted:
                    continue
                where = f"column {chunk.path!r}"
                if chunk.file:
                    raise DataError(f"{path.name}: {where} lies in another file, which is never followed")
                if rows < 0 or chunk.values != rows:
                    raise DataError(f"{path.name}: {where} declares {chunk.values} values for {rows} rows")
                spent += _pages(file, chunk, path.name, size) + 8 * rows
                budget.spend(8 * rows, stored=size, key=where, name=path.name)
                budget.proportion(spent, size, path.name)


def _pages(file: BinaryIO, chunk: _thrift.Chunk, name: str, size: int) -> int:
    """The bytes that the pages of a column chunk inflate to, of the largest one at a time."""
    start = chunk.data_page
    if chunk.dictionary_page > 0:
        start = min(start, chunk.dictionary_page)
    end = start + chunk.stored
    where = f"column {chunk.path!r}"
    if start < 4 or chunk.stored < 0 or end > size:
        raise DataError(f"{name}: {where} lies outside the file")
    inflated = pages = 0
    while start < end:
        file.seek(start)
        header = _thrift.page_header(file.read(min(1 << 16, end - start)), name, where)
        pages += 1
        if pages > _MOST_PAGES:
            raise DataError(f"{name}: {where} has more than {_MOST_PAGES} pages in a chunk")
        if header.stored < 0 or header.inflated < 0 or start + header.size + header.stored > end:
            raise DataError(f"{name}: {where} has a page that reaches beyond its place")
        inflated += header.inflated
        start += header.size + header.stored
    return inflated

"""Arrow files (IPC) that someone else wrote: looked over, without unpacking a buffer, before they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.data.readers._budget import Budget
from prudent.data.readers._damage import guarded
from prudent.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_MAGIC = b"ARROW1\0\0"
_MOST_BATCHES = 10_000
# Positions of two fields in their tables: Message.fbs, apache/arrow.
_HEADER, _COMPRESSION = 2, 3


def check(path: Path, key: str, name: str, budget: Budget) -> None:
    """Count what an arrow file holds, and refuse one that is packed or that holds types of its own.

    Raises:
        DataError: it is so, or it is damaged.
    """
    import pyarrow as pa

    size = path.stat().st_size
    budget.spend(size, stored=size, key=key, name=name)
    with path.open("rb") as file:
        if file.read(8) != _MAGIC:
            raise DataError(f"{name}: {key} is not an arrow file")

    def messages() -> None:
        with pa.OSFile(str(path)) as source:
            source.seek(8)
            reader = pa.ipc.MessageReader.open_stream(source)
            for count in range(_MOST_BATCHES):
                try:
                    message = reader.read_next_message()
                except StopIteration:
                    return
                if count == 0:
                    _check_schema(pa.ipc.read_schema(message), key, name)
                elif message.type == "dictionary":
                    raise DataError(f"{name}: {key} has dictionaries, which no log of numbers needs")
                elif _is_packed(message.metadata.to_pybytes()):
                    raise DataError(f"{name}: {key} is packed, and may be of any size: only plain arrow files are read")
        raise DataError(f"{name}: {key} has more than {_MOST_BATCHES} batches")

    guarded(f"{name}: {key}", messages)


def _check_schema(schema: "pa.Schema", key: str, name: str) -> None:
    import pyarrow as pa

    def visit(kind: Any) -> None:
        if isinstance(kind, pa.BaseExtensionType):
            raise DataError(f"{name}: {key} has a type of its own, {str(kind)[:60]}, which is never loaded")
        for index in range(kind.num_fields):
            visit(kind.field(index).type)

    for field in schema:
        visit(field.type)


def _is_packed(metadata: bytes) -> bool:
    """Whether a record batch's flatbuffer says that its buffers are compressed."""
    root = int.from_bytes(metadata[:4], "little")
    header = _field(metadata, root, _HEADER)
    if header is None:
        raise ValueError("a message without a header")
    return _field(metadata, header + int.from_bytes(metadata[header : header + 4], "little"), _COMPRESSION) is not None


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies, None where the table does not have it."""
    places = table - int.from_bytes(content[table : table + 4], "little", signed=True)
    entry = places + 4 + 2 * number
    if not 0 <= places <= len(content) - 4:
        raise ValueError("a damaged flatbuffer")
    if entry + 2 > places + int.from_bytes(content[places : places + 2], "little"):
        return None
    offset = int.from_bytes(content[entry : entry + 2], "little")
    return table + offset if offset else None

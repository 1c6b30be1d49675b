"""Arrow files (IPC) of Minari: read here first, as Minari will read them in the parent process."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from prudent.data.readers.child.columns import type_text
from prudent.errors import DataError

_MAGIC = b"ARROW1\0\0"
_MOST_BATCHES = 10_000
_TAIL = 10
"""Bytes behind the footer: its length, and the name of the format."""


def check(path: Path, key: str) -> None:
    """Read an Arrow file and refuse one that is packed or that holds types of its own.

    Raises:
        DataError: it is so.
    """
    with path.open("rb") as file:
        if file.read(8) != _MAGIC:
            raise DataError(f"{key} is not an arrow file")
    with pa.OSFile(str(path)) as source:
        source.seek(8)
        reader = pa.ipc.MessageReader.open_stream(source)
        schema, batches, rows = None, 0, 0
        for _ in range(_MOST_BATCHES):
            try:
                message = reader.read_next_message()
            except StopIteration:
                _check_footer(path, source.tell(), batches, rows, key)
                return
            if schema is None:
                schema = pa.ipc.read_schema(message)
                _check_types(schema, key)
            elif message.type == "dictionary":
                raise DataError(f"{key} has dictionaries, which no log of numbers needs")
            else:
                rows += _check_batch(message, schema, key)
                batches += 1
    raise DataError(f"{key} has more than {_MOST_BATCHES} batches")


def _check_batch(message: Any, schema: pa.Schema, key: str) -> int:
    """The rows of a batch, which must be plain."""
    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    start, size = message.body.address, message.body.size
    for buffer in (buffer for column in batch.columns for buffer in column.buffers() if buffer is not None):
        # A buffer that is not a part of the message was unpacked from it.
        if buffer.size and not start <= buffer.address < start + size:
            raise DataError(f"{key} is packed, and may be of any size: only plain arrow files are read")
    return batch.num_rows


def _check_footer(path: Path, end: int, batches: int, rows: int, key: str) -> None:
    """Refuse a footer that leads to other batches than those in the stream before it: Minari reads by the footer."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - _TAIL, 0))
        footer = int.from_bytes(file.read(4), "little", signed=True)
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_file(source)
        found = [reader.get_batch(index).num_rows for index in range(min(reader.num_record_batches, batches + 1))]
    if end != size - _TAIL - footer or len(found) != batches or sum(found) != rows:
        raise DataError(f"{key} has a footer that does not fit what is before it")


def _check_types(types: Any, key: str) -> None:
    for field in types:
        if isinstance(field.type, pa.BaseExtensionType):
            raise DataError(f"{key} has a type of its own, {type_text(field.type)}, which is never loaded")
        _check_types([field.type.field(index) for index in range(field.type.num_fields)], key)

"""Arrow files (IPC) of Minari: read here first, as Minari will read them in the parent process."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from prudent.data.readers.child.columns import type_text
from prudent.errors import DataError

_MAGIC = b"ARROW1\0\0"
_MOST_BATCHES = 10_000


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
        schema = None
        for _ in range(_MOST_BATCHES):
            try:
                message = reader.read_next_message()
            except StopIteration:
                return
            if schema is None:
                schema = pa.ipc.read_schema(message)
                _check_types(schema, key)
            elif message.type == "dictionary":
                raise DataError(f"{key} has dictionaries, which no log of numbers needs")
            else:
                _check_batch(message, schema, key)
    raise DataError(f"{key} has more than {_MOST_BATCHES} batches")


def _check_batch(message: Any, schema: pa.Schema, key: str) -> None:
    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    start, size = message.body.address, message.body.size
    for buffer in (buffer for column in batch.columns for buffer in column.buffers() if buffer is not None):
        # A buffer that is not a part of the message was unpacked from it.
        if buffer.size and not start <= buffer.address < start + size:
            raise DataError(f"{key} is packed, and may be of any size: only plain arrow files are read")


def _check_types(types: Any, key: str) -> None:
    for field in types:
        if isinstance(field.type, pa.BaseExtensionType):
            raise DataError(f"{key} has a type of its own, {type_text(field.type)}, which is never loaded")
        _check_types([field.type.field(index) for index in range(field.type.num_fields)], key)

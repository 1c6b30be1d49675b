"""Reads what Weights & Biases writes offline: protobuf records in LevelDB's log format, after a header of 7 bytes."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> list[Any]:
    """The records of a ``.wandb`` file, as W&B's own message type."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for data in _chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.append(record)
    return found


def _chunks(content: bytes) -> Iterator[bytes]:
    assert content[:4] == b":W&B"
    place, whole = HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # a block ends with zeros where no header fits
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + HEADER])
        part = content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            yield whole


def history(path: Path) -> list[dict[str, Any]]:
    """The rows of figures: from names to values, W&B's own ``_step`` among them."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records(path)
        if record.WhichOneof("record_type") == "history"
    ]


def of_kind(path: Path, kind: str) -> list[Any]:
    """The records of one kind, such as ``run``, ``artifact`` or ``exit``."""
    return [getattr(record, kind) for record in records(path) if record.WhichOneof("record_type") == kind]

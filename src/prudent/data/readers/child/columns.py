"""Columns of pyarrow as plain arrays."""

from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa


class Labels:
    """Numbers from 0 for the names of a text column, in the order in which they appear."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def encode(self, array: Any) -> tuple[np.ndarray, list[str]]:
        """The numbers of an array of names, (rows,) int32 with -1 for a missing name, and the list of new names."""
        known = len(self.numbers)
        array = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        indices = array.drop_null().indices.to_numpy(zero_copy_only=False)
        used = np.flatnonzero(np.bincount(indices, minlength=len(array.dictionary)))
        names = array.dictionary.take(pa.array(used)).to_pylist()
        number_of = np.zeros(len(array.dictionary), dtype=np.int32)
        number_of[used] = [self.numbers.setdefault(str(name), len(self.numbers)) for name in names]
        codes = np.full(len(array), -1, dtype=np.int32)
        codes[array.is_valid().to_numpy(zero_copy_only=False)] = number_of[indices]
        return codes, list(islice(self.numbers, known, None))


def plain(array: Any, labels: Labels) -> tuple[dict[str, Any], np.ndarray]:
    """A column of a batch: a message about it, and its values; no values if it is neither number, text nor time."""
    kind, names = kind_of(array.type), []
    missing = array.null_count
    first = int(np.argmax(array.is_null().to_numpy(zero_copy_only=False))) if missing else 0
    if kind == "text":
        values, names = labels.encode(array)
    elif kind == "time":
        values = array.cast(pa.timestamp("ns")).cast(pa.int64()).fill_null(0).to_numpy()
    elif kind == "number":
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.int8())
        elif pa.types.is_decimal(array.type):
            array = array.cast(pa.float64(), safe=False)
        values = array.to_numpy(zero_copy_only=False)
    else:
        values = np.zeros(0)
    about = {"kind": kind, "type": type_text(array.type), "missing": missing, "first": first, "names": names}
    return about | {"dtype": values.dtype.str, "values": len(values)}, values


def type_text(arrow_type: Any) -> str:
    """A type in one line: names of nested fields come from the file."""
    return " ".join(str(arrow_type).split())[:60]


def kind_of(arrow_type: Any) -> str:
    """A type of pyarrow as "number", "text", "time" or "other"."""
    kinds = pa.types
    if (
        kinds.is_integer(arrow_type)
        or kinds.is_floating(arrow_type)
        or kinds.is_boolean(arrow_type)
        or kinds.is_decimal(arrow_type)
    ):
        return "number"
    if kinds.is_timestamp(arrow_type) or kinds.is_date(arrow_type):
        return "time"
    inner = arrow_type.value_type if kinds.is_dictionary(arrow_type) else arrow_type
    return "text" if kinds.is_string(inner) or kinds.is_large_string(inner) else "other"

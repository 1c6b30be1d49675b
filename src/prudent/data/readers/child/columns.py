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
        """The numbers (rows,) int32 of an array of names, -1 where one is missing, and the names that are new."""
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
    """A column of a batch: what it is, and its values; none where the type is neither number, text nor time."""
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


def type_text(found: Any) -> str:
    """A type in one line: names of nested fields come from the file."""
    return " ".join(str(found).split())[:60]


def kind_of(found: Any) -> str:
    kinds = pa.types
    if kinds.is_integer(found) or kinds.is_floating(found) or kinds.is_boolean(found) or kinds.is_decimal(found):
        return "number"
    if kinds.is_timestamp(found) or kinds.is_date(found):
        return "time"
    inner = found.value_type if kinds.is_dictionary(found) else found
    return "text" if kinds.is_string(inner) or kinds.is_large_string(inner) else "other"

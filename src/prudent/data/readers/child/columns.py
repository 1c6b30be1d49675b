"""Columns of pyarrow as plain arrays."""

from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from prudent.errors import DataError


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


def plain(array: Any, wanted: str, labels: Labels) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """A column of a batch: a message about it, its values, and the row numbers in the batch that have none.

    ``wanted`` is how the column is used. There are no values if it is neither number, text nor time. Numbers and times
    stay exact: only decimals that are used as plain numbers become float64.
    """
    kinds = pa.types
    type_name = type_text(array.type.value_type if kinds.is_dictionary(array.type) else array.type)
    if kinds.is_dictionary(array.type) and kind_of(array.type) == "other":
        array = array.dictionary_decode()
    kind, names, scale = kind_of(array.type), [], 0
    lacking = np.zeros(0, dtype=np.int64)
    if array.null_count:
        lacking = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))
    if wanted == "label" and (kind == "time" or kinds.is_decimal(array.type)):
        kind, array = "text", _as_text(array)
    if kind == "text":
        values, names = labels.encode(array)
    elif kind == "time":
        values = array.cast(pa.timestamp("ns")).cast(pa.int64()).fill_null(0).to_numpy()
    elif kind == "number":
        if kinds.is_boolean(array.type):
            array = array.cast(pa.int8())
        if kinds.is_decimal(array.type) and wanted in ("time", "whole"):
            scale = array.type.scale
            values = _unscaled(array)
        elif kinds.is_decimal(array.type):
            values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        elif kinds.is_integer(array.type):
            # As floats, which have NaN for a missing number, large integers would lose digits.
            values = array.fill_null(0).to_numpy(zero_copy_only=False)
        else:
            values = array.to_numpy(zero_copy_only=False)
    else:
        values = np.zeros(0)
    about = {"kind": kind, "type": type_name, "names": names, "scale": scale}
    about |= {"dtype": values.dtype.str, "values": len(values), "missing": len(lacking)}
    return about, values, lacking


def _as_text(array: Any) -> Any:
    """Decimals and points in time as text: different ones have different texts."""
    if pa.types.is_date64(array.type):
        array = array.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp(array.type.unit))  # without the zone: one text per moment
    return array.cast(pa.string())


def _unscaled(array: Any) -> np.ndarray:
    """The digits of decimals without the point, (rows,) int64: exact, in units of their last digit.

    Raises:
        DataError: they have more digits than int64 holds.
    """
    array = array.cast(pa.decimal256(76, array.type.scale))
    words = np.frombuffer(array.buffers()[1], dtype="<i8").reshape(-1, 4)[array.offset : array.offset + len(array)]
    values = words[:, 0].copy()
    present = array.is_valid().to_numpy(zero_copy_only=False)
    values[~present] = 0
    if (words[present, 1:] != (values[present, None] >> 63)).any():
        raise DataError(f"a column of {type_text(array.type)} holds more than the 18 digits that stay exact")
    return values


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

"""Cells of a CSV file: which type keeps them exact, and texts as that type where some cells cannot be read."""

from contextlib import suppress
from typing import Any

import pyarrow as pa

_EXACT = 2**53
"""From this number on, float64 skips whole numbers."""
_TYPES = (pa.int64(), pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC"))
_LOOKED_AT = 100


def exact_type(array: Any) -> Any:
    """The type for a column of times or steps of which the first rows are in ``array``, with the type Arrow gave them.

    Whole numbers are float64 as long as it tells them apart: fractions may come later in the file.
    """
    if pa.types.is_timestamp(array.type):
        return pa.timestamp("ns", array.type.tz)
    if pa.types.is_date(array.type):
        return pa.timestamp("s")
    if pa.types.is_integer(array.type):
        numbers = array.drop_null().to_numpy(zero_copy_only=False)
        return pa.int64() if ((numbers >= _EXACT) | (numbers <= -_EXACT)).any() else pa.float64()
    return pa.float64()


def guess(texts: Any) -> Any:
    """:func:`exact_type` of a column of texts, some of which may be no value at all."""
    sample = [text for text in texts.to_pylist() if text and text.strip()][:_LOOKED_AT]
    for arrow_type in _TYPES:
        values = [value for text in sample if (value := _cell(text, arrow_type)) is not None]
        if 2 * len(values) > len(sample):
            return exact_type(pa.array(values, arrow_type))
    return pa.float64()


def convert(texts: Any, arrow_type: Any) -> Any:
    """Texts as a type; those that cannot be read are missing."""
    if pa.types.is_dictionary(arrow_type):
        return texts.dictionary_encode()
    with suppress(pa.ArrowInvalid):
        return texts.cast(arrow_type)
    encoded = texts.dictionary_encode()
    values = pa.array([_cell(text, arrow_type) for text in encoded.dictionary.to_pylist()], arrow_type)
    return values.take(encoded.indices)


def _cell(text: str, arrow_type: Any) -> Any:
    try:
        value = pa.scalar(text.strip()).cast(arrow_type)
    except pa.ArrowInvalid:
        return None
    return value.value if pa.types.is_timestamp(arrow_type) else value.as_py()

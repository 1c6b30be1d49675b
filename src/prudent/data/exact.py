"""Whole numbers that stay exact: steps, and the numbers of groups."""

import numpy as np

from prudent.data.columns import check_shape
from prudent.errors import DataError


def whole(column: np.ndarray, key: str, name: str) -> np.ndarray:
    """The column of whole numbers as (rows,) int64; integers stay exact.

    Raises:
        DataError: it has another shape, or a number is not whole, or is so large that floats of its type skip numbers
            (float64: from 2^53 on), or that differences may overflow (integers: from 2^62 on).
    """
    check_shape(column.shape, key, name, ndim=1)
    if column.dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {column.dtype}, not numbers")
    if column.dtype.kind == "f":
        power = exact_power(column.dtype)
        wrong = (column != np.floor(column)) | ~(np.abs(column) < 2.0**power)
    else:
        power = 62
        wrong = (column >= 2**62) | (column <= -(2**62))
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(f"{name}: {key} must be whole numbers up to 2^{power}, row {rows[0]} is {column[rows[0]]}")
    return column.astype(np.int64)


def exact_power(dtype: np.dtype) -> int:
    """Floats of a type tell all whole numbers below 2 to this power apart; from there on they skip some."""
    return min(np.finfo(dtype).nmant + 1, 62)

"""Observations, actions and masks as a caller hands them in: checked, and with one row per state."""

from typing import Any

import numpy as np
from torch import Tensor

from prudent.errors import PrudentError
from prudent.types import Spec


def feature_rows(values: Any, size: int, what: str) -> tuple[np.ndarray, bool]:
    """``values`` (size,) or (B, size) as floats (B, size), and whether there was a single row.

    float64 stays: the scaling of the observations may need its digits.

    Raises:
        PrudentError: the shape is another one, or a number is NaN or infinite.
    """
    array = np.asarray(_on_cpu(values))
    array = array.astype(np.float64 if array.dtype.kind not in "fb" or array.dtype.itemsize > 4 else np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != size:
        raise PrudentError(f"{what} has shape {array.shape}, expected ({size},) or (rows, {size})")
    rows = np.atleast_2d(array)
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        where = "" if array.ndim == 1 else f" in {len(broken)} of {len(rows)} rows, the first is row {broken[0]}"
        raise PrudentError(f"{what} is NaN or infinite{where}: a policy has no answer to that")
    return rows, array.ndim == 1


def action_numbers(values: Any, spec: Spec) -> np.ndarray:
    """Discrete actions, () or (B,), as int64 (B,).

    Raises:
        PrudentError: they are no whole numbers, or no actions of ``spec``.
    """
    numbers, first, last = np.atleast_1d(np.asarray(_on_cpu(values))), spec.first_action, spec.last_action
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not ((numbers >= first) & (numbers <= last)).all():
        raise PrudentError(f"actions must be whole numbers from {first} to {last}, of shape () or (rows,)")
    return numbers.astype(np.int64)


def mask_rows(values: Any, rows: int, spec: Spec) -> np.ndarray:
    """An action mask (A,) or (B, A) as bool (B, A).

    Raises:
        PrudentError: it has another shape, actions are continuous, or a row forbids every action.
    """
    mask = np.atleast_2d(np.asarray(_on_cpu(values))).astype(bool)
    if not spec.discrete or mask.shape != (rows, spec.action_size):
        expected = f"({rows}, {spec.action_size})" if spec.discrete else "none: actions are continuous"
        raise PrudentError(f"mask has shape {mask.shape}, expected {expected}")
    forbidden = np.flatnonzero(~mask.any(axis=1))
    if len(forbidden):
        raise PrudentError(f"the mask of row {forbidden[0]} forbids every action")
    return mask


def _on_cpu(values: Any) -> Any:
    return values.cpu() if isinstance(values, Tensor) else values

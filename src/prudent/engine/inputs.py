"""Observations, actions and masks as a caller hands them in: checked, and with one row per state."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent.errors import PrudentError, in_one_line
from prudent.types import Spec


def feature_rows(values: Any, size: int, what: str) -> tuple[np.ndarray, bool]:
    """``values`` (size,) or (B, size) as floats (B, size), and whether there was a single row.

    float64 stays: the scaling of the observations may need its digits.

    Raises:
        PrudentError: the shape is another one, or a number is NaN or infinite.
    """
    array = numbers(values, what)
    array = array.astype(np.float64 if array.dtype.kind not in "fb" or array.dtype.itemsize > 4 else np.float32)
    if array.ndim not in (1, 2) or array.shape[-1] != size:
        raise PrudentError(f"{what} has shape {array.shape}, expected ({size},) or (rows, {size})")
    rows = np.atleast_2d(array)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite for the networks
        broken = np.flatnonzero(~np.isfinite(rows.astype(np.float32)).all(axis=1))
    if len(broken):
        where = "" if array.ndim == 1 else f" in {len(broken)} of {len(rows)} rows, the first is row {broken[0]}"
        raise PrudentError(f"{what} is NaN or infinite{where}: a policy has no answer to that")
    return rows, array.ndim == 1


def action_numbers(values: Any, spec: Spec, advice: str = "") -> np.ndarray:
    """Discrete actions, () or (B,), as int64 (B,). ``advice`` ends the line that refuses others.

    Raises:
        PrudentError: they are no whole numbers, or no actions of ``spec``.
    """
    actions, first, last = np.atleast_1d(numbers(values, "action")), spec.first_action, spec.last_action
    if actions.ndim != 1 or actions.dtype.kind not in "iu" or not ((actions >= first) & (actions <= last)).all():
        raise PrudentError(f"actions must be whole numbers from {first} to {last}, of shape () or (rows,){advice}")
    return actions.astype(np.int64)


def mask_rows(values: Any, rows: int, spec: Spec) -> np.ndarray:
    """An action mask (A,) or (B, A) as bool (B, A).

    Raises:
        PrudentError: it has another shape, actions are continuous, a value is neither true nor false, or a row forbids
            every action.
    """
    given = np.atleast_2d(numbers(values, "mask"))
    if not np.isin(given, (0, 1)).all():
        raise PrudentError("mask must be true or false, or 1 and 0, for each action")
    mask = given.astype(bool)
    if not spec.discrete or mask.shape != (rows, spec.action_size):
        expected = f"({rows}, {spec.action_size})" if spec.discrete else "none: actions are continuous"
        raise PrudentError(f"mask has shape {mask.shape}, expected {expected}")
    forbidden = np.flatnonzero(~mask.any(axis=1))
    if len(forbidden):
        raise PrudentError(f"the mask of row {forbidden[0]} forbids every action")
    return mask


def member_index(member: Any, size: int) -> int:
    """The index of a member, below ``size``.

    Raises:
        PrudentError: there is no such member.
    """
    if not isinstance(member, int | np.integer) or isinstance(member, bool) or not 0 <= member < size:
        raise PrudentError(f"member {member!r} does not exist: give a whole number below {size}, counted from 0")
    return int(member)


def numbers(values: Any, what: str) -> np.ndarray:
    """An array of numbers from whatever holds some: lists, arrays, tensors, data frames; ``what`` names it in messages.

    Raises:
        PrudentError: it holds something else, rows of different lengths, or masked or missing values.
    """
    if isinstance(values, tuple) and values and isinstance(values[-1], Mapping):
        call, parts = {2: ("reset", "(observation, info)")}.get(len(values), ("step", "all that it returned"))
        raise PrudentError(f"{what} is what env.{call}() returns, {parts}: hand over its first part, the observation")
    if isinstance(values, Mapping | str | bytes | set | None):
        raise PrudentError(f"{what} is {_kind(values)}, expected numbers")
    if np.ma.is_masked(values):
        raise PrudentError(f"{what} has masked values: fill them first")
    try:
        array = np.asarray(_on_cpu(values) if isinstance(values, Tensor) else values)
        if array.dtype.kind == "O":
            array = _plain(array)
        elif array.dtype.kind == "V" and array.dtype.names is None:
            array = array.astype(np.float32)  # JAX's bfloat16, which NumPy does not know itself
    # What NumPy, PyTorch and others raise for content that is no array of numbers.
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise PrudentError(f"{what} is no array of numbers ({in_one_line(error)[:120]})") from error
    if array.dtype.kind not in "fiub":
        kind = {"U": "str", "S": "bytes"}.get(array.dtype.kind, array.dtype.name)
        raise PrudentError(f"{what} holds {kind}, expected numbers")
    return array


def _on_cpu(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.float() if tensor.dtype is torch.bfloat16 else tensor


def _plain(array: np.ndarray) -> np.ndarray:
    """An array of Python objects as floats, if all of them are numbers."""
    for value in array.flat:
        if not isinstance(value, Real | np.bool_):
            raise TypeError(f"it holds {_kind(value)}")
    return array.astype(np.float64)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"

"""The target policy's probabilities in a log: the optional columns ``target_prob`` and ``next_target_prob``.

``target_prob`` is (rows, n_actions), a probability per discrete action, or (rows,): the probability (continuous: the
density, in the units of the log) of the logged action alone. ``next_target_prob`` (rows, n_actions) belongs to the next
state; it is only needed where that is no state of the log.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prudent.data.columns import counted, floats
from prudent.errors import DataError
from prudent.types import Spec

KEY, NEXT_KEY = "target_prob", "next_target_prob"
_SUM = 1e-3
_FORBIDDEN = 1e-6


def check(
    extra: Mapping[str, np.ndarray], spec: Spec, masks: Mapping[str, np.ndarray], terminated: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """The columns as float32; empty where there are none.

    Raises:
        DataError: a shape is wrong; probabilities are negative, above 1, do not sum to 1 or choose what a mask forbids;
            a density is negative; or there is ``next_target_prob`` without a table ``target_prob``.
    """
    if NEXT_KEY in extra and (KEY not in extra or np.ndim(extra[KEY]) != 2):
        raise DataError(f"{name}: {NEXT_KEY} without a column of {KEY} for every action")
    checked = {}
    for key, mask_key in ((KEY, "mask"), (NEXT_KEY, "next_mask")):
        if key not in extra:
            continue
        column = np.asarray(extra[key])
        if column.ndim == 1:
            checked[key] = _of_the_logged(column, spec, key, name)
        else:
            checked[key] = _table(column, spec, masks.get(mask_key), key, name, terminated if key == NEXT_KEY else None)
    return checked


def _of_the_logged(column: np.ndarray, spec: Spec, key: str, name: str) -> np.ndarray:
    values = floats(column, key, name, ndim=1)
    _refuse(values < 0, f"{key} is negative", name)
    if spec.discrete:
        _refuse(values > 1 + _SUM, f"{key} is above 1", name)
    return values


def _table(
    column: np.ndarray, spec: Spec, mask: np.ndarray | None, key: str, name: str, terminated: np.ndarray | None
) -> np.ndarray:
    if not spec.discrete:
        raise DataError(f"{name}: {key} of continuous actions is one column, the density of the logged action")
    if column.ndim != 2 or column.shape[1] != spec.action_size:
        raise DataError(
            f"{name}: {key} has shape {column.shape}, expected a column for each of {spec.action_size} actions, or one "
            "for the logged action"
        )
    values = floats(column, key, name, ndim=2)
    counts = np.ones(len(values), dtype=bool) if terminated is None else ~terminated
    _refuse(counts & (values < 0).any(axis=1), f"{key} is negative", name)
    _refuse(counts & (values > 1 + _SUM).any(axis=1), f"{key} is above 1", name)
    _refuse(counts & (np.abs(values.sum(axis=1, dtype=np.float64) - 1) > _SUM), f"{key} does not sum to 1", name)
    if mask is not None:
        _refuse(counts & ((values > _FORBIDDEN) & ~mask).any(axis=1), f"{key} takes actions that are forbidden", name)
    return values


def _refuse(wrong: np.ndarray, problem: str, name: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        raise DataError(f"{name}: {problem} in {counted(len(rows), 'row')}, the first is row {rows[0]}")


def check_widths(parts: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> None:
    """Refuse to join logs whose columns differ in shape.

    Raises:
        DataError: they do.
    """
    for key in (KEY, NEXT_KEY):
        shapes = [(name, extra[key].shape[1:]) for name, extra in parts if key in extra]
        for name, shape in shapes[1:]:
            if shape != shapes[0][1]:
                raise DataError(f"{name} has {key} of shape (rows, *{shape}), {shapes[0][0]} (rows, *{shapes[0][1]})")

"""Action masks: which discrete actions were allowed at a row, and at what followed it.

All raise ``DataError``, one line with dataset, key and row. Masks are (rows, n_actions) bool and live in
``Dataset.extra`` as ``mask`` and ``next_mask``, both or neither.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prudent.data.columns import counted
from prudent.errors import DataError

KEYS = {"mask": "action_masks", "next_mask": "next_action_masks"}
"""Names of the columns in ``extra``, and in files."""


def check(
    extra: Mapping[str, np.ndarray], action: np.ndarray, terminated: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """The masks among ``extra`` as (rows, n_actions) bool, or nothing where there are none.

    ``action`` is (rows,) int64 for discrete data. Behind a termination nothing is chosen, so nothing counts as
    forbidden there.

    Raises:
        DataError: there is only one of the two, the data are continuous, the shape or a value is wrong, or a
            mask forbids every action, or the one that was taken.
    """
    found = [key for key in KEYS if key in extra]
    if not found:
        return {}
    if len(found) == 1:
        missing = next(KEYS[key] for key in KEYS if key not in extra)
        raise DataError(f"{name}: {KEYS[found[0]]} without {missing}")
    if action.ndim != 1:
        raise DataError(f"{name}: action_masks are for discrete actions, and these are continuous")
    masks = {key: _as_bool(extra[key], KEYS[key], len(action), name) for key in KEYS}
    if masks["mask"].shape != masks["next_mask"].shape:
        shapes = f"{masks['mask'].shape}, next_action_masks {masks['next_mask'].shape}"
        raise DataError(f"{name}: action_masks has shape {shapes}")
    masks["next_mask"] = masks["next_mask"] | terminated[:, None]
    for key, mask in masks.items():
        shut = np.flatnonzero(~mask.any(axis=1))
        if len(shut):
            raise DataError(
                f"{name}: {KEYS[key]} forbids every action in {counted(len(shut), 'row')}, the first is row {shut[0]}"
            )
    if action.max() < masks["mask"].shape[1]:  # else the number of actions is wrong, which is said elsewhere
        broken = np.flatnonzero(~masks["mask"][np.arange(len(action)), action])
        if len(broken):
            raise DataError(
                f"{name}: action_masks forbids the action taken in {counted(len(broken), 'row')}, "
                f"the first is row {broken[0]} with action {action[broken[0]]}"
            )
    return masks


def _as_bool(column: np.ndarray, key: str, rows: int, name: str) -> np.ndarray:
    column = np.asarray(column)
    if column.ndim != 2 or column.shape[1] == 0 or len(column) != rows:
        raise DataError(f"{name}: {key} has shape {column.shape}, expected ({rows}, number of actions)")
    if column.dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {column.dtype}, expected true/false or 0/1")
    wrong = np.flatnonzero(~np.isin(column, (0, 1)).all(axis=1))
    if len(wrong):
        raise DataError(f"{name}: {key} must be true/false or 0/1, row {wrong[0]} is not")
    return column.astype(bool)


def count(masks: Mapping[str, np.ndarray], declared: int | None, name: str) -> int | None:
    """The number of actions: a mask declares it by its width.

    Raises:
        DataError: it was declared otherwise.
    """
    if not masks:
        return declared
    width = masks["mask"].shape[1]
    if declared is not None and declared != width:
        raise DataError(f"{name}: action_masks has {width} columns, but {declared} actions are declared")
    return width


def from_file(table: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The raw columns ``mask`` and ``next_mask`` of a file's table; all allowed next where it does not say.

    Raises:
        DataError: there are only masks of what follows.
    """
    if "next_action_masks" in table and "action_masks" not in table:
        raise DataError(f"{name}: next_action_masks without action_masks")
    if "action_masks" not in table:
        return {}
    mask = table["action_masks"]
    return {"mask": mask, "next_mask": table.get("next_action_masks", np.ones_like(mask))}


Extra = Mapping[str, np.ndarray]
"""The optional columns of a dataset, by name."""


def join(parts: Sequence[tuple[str, int, Extra]], n_actions: int) -> tuple[list[Extra], list[str]]:
    """The extra columns of several datasets, all with masks if one has them, and a note per dataset that had none.

    ``parts`` has the name, the rows and the extra columns of each. A dataset without masks allows every action.

    Raises:
        DataError: masks are not of ``n_actions`` columns.
    """
    widths = [(name, extra["mask"].shape[1]) for name, _, extra in parts if "mask" in extra]
    for name, width in widths:
        if width != n_actions:
            raise DataError(f"{name} has masks of {width} actions, but there are {n_actions} actions in all")
    filled, notes = [], []
    for name, rows, extra in parts:
        if widths and "mask" not in extra:
            every = np.ones((rows, n_actions), dtype=bool)
            notes.append(f"{name}: no action masks, so every action counts as allowed there")
            extra = {**extra, "mask": every, "next_mask": every}
        filled.append(extra)
    return filled, notes

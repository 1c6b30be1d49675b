"""Action masks: which discrete actions are allowed in a row's state, and in its next state.

Masks are (rows, n_actions) bool. ``Dataset.extra`` holds them as ``mask`` and ``next_mask``, both or neither. Each
function raises ``DataError``: one line with dataset, key and row.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prudent.data.columns import counted
from prudent.errors import DataError, EpisodeError

KEYS = {"mask": "action_masks", "next_mask": "next_action_masks"}
"""Name of each column in ``Dataset.extra``, and its name in files."""


def check(
    extra: Mapping[str, np.ndarray], action: np.ndarray, terminated: np.ndarray, name: str, first_action: int = 0
) -> dict[str, np.ndarray]:
    """The masks in ``extra`` as (rows, n_actions) bool; empty where there are none.

    ``action`` is (rows,) int64 if the actions are discrete; column j is action ``first_action + j``. No action is
    chosen after a termination, so the next mask allows every action there.

    Raises:
        DataError: there is only one of the two; the actions are continuous; a shape or value is wrong; or a mask
            forbids every action, or the one that was taken.
    """
    present = [key for key in KEYS if key in extra]
    if not present:
        return {}
    if len(present) == 1:
        missing = next(KEYS[key] for key in KEYS if key not in extra)
        raise DataError(f"{name}: {KEYS[present[0]]} without {missing}")
    if action.ndim != 1:
        raise DataError(f"{name}: action_masks are for discrete actions, and these are continuous")
    masks = {key: _as_bool(extra[key], KEYS[key], len(action), name) for key in KEYS}
    if masks["mask"].shape != masks["next_mask"].shape:
        shapes = f"{masks['mask'].shape}, next_action_masks {masks['next_mask'].shape}"
        raise DataError(f"{name}: action_masks has shape {shapes}")
    masks["next_mask"] = masks["next_mask"] | terminated[:, None]
    for key, mask in masks.items():
        empty = np.flatnonzero(~mask.any(axis=1))
        if len(empty):
            raise DataError(
                f"{name}: {KEYS[key]} forbids every action in {counted(len(empty), 'row')}, the first is row {empty[0]}"
            )
    index = action - first_action
    if index.max() < masks["mask"].shape[1]:  # else the number of actions is wrong: count_actions reports it
        broken = np.flatnonzero(~masks["mask"][np.arange(len(action)), index])
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
        line = f"{name}: {key} must be true/false or 0/1, row {wrong[0]} is not"
        if not np.isfinite(column[wrong]).all(axis=1).any():  # missing in all of these rows
            raise EpisodeError(line, wrong, f"{key.removesuffix('s').replace('_', ' ')} is missing")
        raise DataError(line)
    return column.astype(bool)


def count(masks: Mapping[str, np.ndarray], declared: int | None, name: str) -> int | None:
    """The number of actions: the width of the masks, or without masks the ``declared`` number.

    Raises:
        DataError: the two differ.
    """
    if not masks:
        return declared
    width = masks["mask"].shape[1]
    if declared is not None and declared != width:
        raise DataError(f"{name}: action_masks has {width} columns, but {declared} actions are declared")
    return width


def from_file(table: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The raw columns ``mask`` and ``next_mask`` of a file's table; without ``next_mask`` every action is allowed next.

    Raises:
        DataError: the file has ``next_action_masks`` only.
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
    """The extra columns of several datasets: if one has masks, all have them. Each dataset that had none adds a note.

    ``parts`` holds the name, the number of rows and the extra columns of each. A dataset without masks allows every
    action.

    Raises:
        DataError: masks have more or fewer than ``n_actions`` columns.
    """
    widths = [(name, extra["mask"].shape[1]) for name, _, extra in parts if "mask" in extra]
    for name, width in widths:
        if width != n_actions:
            raise DataError(f"{name} has masks of {width} actions, but there are {n_actions} actions in all")
    filled, notes = [], []
    for name, rows, extra in parts:
        if widths and "mask" not in extra:
            all_allowed = np.ones((rows, n_actions), dtype=bool)
            notes.append(f"{name}: no action masks, so every action counts as allowed there")
            extra = {**extra, "mask": all_allowed, "next_mask": all_allowed}
        filled.append(extra)
    return filled, notes

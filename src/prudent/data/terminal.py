"""What follows a terminal row: no value depends on it, so logs may lack it. It is filled in."""

from collections.abc import Mapping

import numpy as np

from prudent.data.columns import Rows, counted, not_finite_rows
from prudent.errors import EpisodeError


def filled(
    next_observation: np.ndarray, observation: np.ndarray, terminated: np.ndarray, name: str
) -> tuple[np.ndarray, list[str]]:
    """The next observations (rows, S), where terminal rows without one have their own observation; and a note.

    Raises:
        EpisodeError: a row that did not terminate has NaN or infinity: its value goes on from there.
    """
    rows = not_finite_rows(next_observation)
    wrong = rows[~terminated[rows]]
    check(wrong, f"next_observations has {counted(len(wrong), 'row')} with NaN or infinity", name)
    if not len(rows):
        return next_observation, []
    next_observation = next_observation.copy()
    next_observation[rows] = observation[rows]
    return next_observation, [note(len(rows))]


def check(rows: np.ndarray, what: str, name: str) -> None:
    """Refuse ``rows`` that did not terminate and lack what comes next; ``what`` begins the line.

    Raises:
        EpisodeError: there is such a row.
    """
    if len(rows):
        raise EpisodeError(
            f"{name}: {what}, the first is row {rows[0]}; "
            "it did not terminate, so its value is reckoned from what comes next",
            rows,
            "its next observation is missing or infinite",
        )


def note(count: int) -> str:
    """The note on so many terminal rows without a next observation."""
    return (
        f"{counted(count, 'terminal row')} without a next observation; "
        "replaced by the row's own, which no value depends on"
    )


def filled_masks(extra: Mapping[str, np.ndarray], terminated: np.ndarray) -> tuple[Mapping[str, np.ndarray], list[str]]:
    """The optional columns, where terminal rows whose next mask has NaN in it allow everything next; and a note."""
    mask = np.asarray(extra.get("next_mask", False))
    if mask.dtype.kind != "f" or mask.ndim != 2 or len(mask) != len(terminated):
        return extra, []  # nothing is missing, or masks.check refuses it
    rows = np.flatnonzero(~np.isfinite(mask).all(axis=1) & terminated)
    if not len(rows):
        return extra, []
    mask = mask.copy()
    mask[rows] = 1
    return {**extra, "next_mask": mask}, [mask_note(len(rows))]


def mask_note(count: int) -> str:
    """The note on so many terminal rows without a next action mask."""
    return f"{counted(count, 'terminal row')} without a next action mask: no action is chosen there"


class Filled:
    """The next observations of a file, read block by block and :func:`filled`; other rows are as in the file."""

    def __init__(self, following: Rows, observation: Rows, terminated: np.ndarray):
        self.following, self.observation, self.terminated = following, observation, terminated

    def __len__(self) -> int:
        return len(self.following)

    def __getitem__(self, block: slice, /) -> np.ndarray:
        values = self.following[block]
        rows = not_finite_rows(values)
        rows = rows[self.terminated[block][rows]]
        if len(rows):
            values = values.copy()
            values[rows] = self.observation[block][rows]
        return values


def count_missing(column: Rows, terminated: np.ndarray, blocks: list[slice]) -> int:
    """How many terminal rows of a column on disk, read in ``blocks``, hold NaN or infinity."""
    count = 0
    for block in blocks:
        ends = terminated[block]
        if ends.any():
            count += len(not_finite_rows(column[block][ends]))
    return count

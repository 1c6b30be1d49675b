"""Episodes that are left out because of bad rows, as the user asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import Rows, blocks, not_finite_rows
from prudent.data.episodes.dropped import Ends
from prudent.errors import DataError, shown

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset

NONE = "no episode had to be left out"
"""The note on a dataset where the user asked for it and every episode is sound."""

_AFTER = ("next_observations", "next_action_masks")
_WORDS = {
    "observations": "observation",
    "next_observations": "next observation",
    "actions": "action",
    "rewards": "reward",
    "action_masks": "action mask",
    "next_action_masks": "next action mask",
}


@dataclass(frozen=True)
class LeftOut:
    """How many of a dataset's episodes are left out, and what is wrong with the first: its label, row and reason."""

    count: int
    total: int
    label: object
    row: int
    reason: str

    def note(self) -> str:
        """The line for the notes of the dataset."""
        return (
            f"{self.count:,} of {self.total:,} episodes left out because of bad rows; "
            f"the first: episode {shown(self.label)}, row {self.row}: {self.reason}"
        )

    def check(self, name: str) -> None:
        """Refuse a dataset of which nothing is left.

        Raises:
            DataError: all of its episodes are left out.
        """
        if self.count == self.total:
            raise DataError(
                f"{name}: nothing is left, all {self.total:,} episodes have bad rows; "
                f"the first: episode {shown(self.label)}, row {self.row}: {self.reason}"
            )


class BadRows:
    """The rows of a flat file with NaN or infinity where a value depends on it.

    ``columns`` are those of the file, under their names there; they may be on disk. Terminal rows need no successor.
    So that the ends of all episodes are found, :meth:`mended` gives stand-ins for the bad values; afterwards
    :meth:`left_out` says which rows belong to the episodes of bad rows.
    """

    def __init__(self, columns: Mapping[str, Rows], terminated: np.ndarray, name: str):
        self.columns, self.name = columns, name
        self.mask = np.zeros(len(terminated), dtype=bool)
        self.moved = np.zeros(len(terminated), dtype=bool)  # in the observation or the next one
        self.first: tuple[int, str] | None = None
        for key, column in columns.items():
            for block in blocks(len(terminated)):
                self._look(key, column[block], block, terminated)
        self._sound = np.flatnonzero(~self.mask)
        self._seen = np.flatnonzero(~self.moved)
        if not len(self._sound) and self.first is not None:
            raise DataError(f"{name}: no row is sound; the first, row {self.first[0]}: {self.first[1]}")

    def _look(self, key: str, values: np.ndarray, block: slice, terminated: np.ndarray) -> None:
        if values.dtype.kind != "f":
            return
        with np.errstate(over="ignore"):
            rows = not_finite_rows(values.astype(np.float32, copy=False))
        rows = rows[rows < len(terminated) - block.start]
        if key in _AFTER:
            rows = rows[~terminated[block][rows]]
        if not len(rows):
            return
        self.mask[block.start + rows] = True
        if key in ("observations", "next_observations"):
            self.moved[block.start + rows] = True
        row = int(block.start + rows[0])
        if self.first is None or row < self.first[0]:
            what = "NaN" if np.isnan(values[rows[0]]).any() else "infinite"
            self.first = row, f"{_WORDS.get(key, key.removeprefix('extra/'))} is {what}"

    def mended(self, key: str, values: np.ndarray, block: slice) -> np.ndarray:
        """The ``values`` of a column in a block of rows, with stand-ins where a row is bad.

        Observations stand still there, so that they do not look like the start of an episode.
        """
        if key in ("observations", "next_observations"):
            rows = np.flatnonzero(self.moved[block][: len(values)])
            return self._standing(rows, values, block) if len(rows) else values
        rows = np.flatnonzero(self.mask[block])
        if len(rows) and len(values) == len(self.mask[block]):
            values = values.copy()
            sound = int(self._sound[0])
            values[rows] = self.columns[key][sound : sound + 1]
        return values

    def _standing(self, rows: np.ndarray, values: np.ndarray, block: slice) -> np.ndarray:
        """The values, where ``rows`` have the observation that was last seen before them."""
        values = values.copy()
        last = np.searchsorted(self._seen, block.start + rows, side="right") - 1
        source = self._seen[np.maximum(last, 0)]
        observation = self.columns["observations"]
        for row in np.unique(source):
            values[rows[source == row]] = observation[slice(int(row), int(row) + 1)]
        return values

    def without(self, strays: np.ndarray, flagged: np.ndarray) -> np.ndarray:
        """``strays`` (rows,) without those that a stand-in may make; ``flagged`` (rows,) are ends without them."""
        doubtful = self.moved.copy()
        doubtful[:-1] |= self.moved[1:]
        return strays & ~(doubtful & ~flagged)

    def without_episodes(self, dataset: "Dataset", ends: Ends, inferred: bool) -> "Dataset":
        """The sound episodes of a dataset, which has the rows that ``ends`` keep; ``inferred`` as in :meth:`left_out`.

        Raises:
            DataError: nothing is left.
        """
        keep, note = self.left_out(ends, inferred)
        sound = keep[ends.keep][dataset.episode_bounds[:-1]]
        return dataset.episodes(np.flatnonzero(sound)).relabelled(notes=(*dataset.notes, note))

    def left_out(self, ends: Ends, inferred: bool) -> tuple[np.ndarray, str]:
        """The rows to keep, (rows,), that belong to sound episodes and that ``ends`` keep, and the note.

        ``inferred`` says that the file does not flag where recordings were cut: a bad observation at an end hides it,
        so the episodes of both neighbours are left out.

        Raises:
            DataError: nothing is left.
        """
        terminated, keep = ends.terminated, ends.keep
        if self.first is None:
            return keep, NONE
        bad = self.mask.copy()
        if inferred:
            bad[:-1] |= self.moved[1:]
            bad[1:] |= self.moved[:-1]
        last = terminated | ends.truncated
        # A row without a successor is not kept: the row before it is flagged in its place, and is of its episode.
        last[:-1] &= ~(keep[:-1] & ~keep[1:] & ~terminated[:-1])
        episode = np.concatenate([[0], np.cumsum(last[:-1])])
        is_bad = np.bincount(episode, bad) > 0
        summary = LeftOut(int(is_bad.sum()), len(is_bad), int(episode[self.first[0]]), *self.first)
        summary.check(self.name)
        return keep & ~is_bad[episode], summary.note()

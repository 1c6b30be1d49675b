"""The sound episodes of a table: those with a bad row are left out, as the user asked."""

from collections.abc import Callable

import numpy as np

from prudent.data.dataset import Dataset
from prudent.data.episodes.left_out import NONE, LeftOut
from prudent.data.episodes.order import Labels
from prudent.data.readers._roles import RoleColumns
from prudent.errors import DataError, EpisodeError


def sound_episodes(columns: RoleColumns, read: Callable[[RoleColumns, int], Dataset]) -> Dataset:
    """What ``read`` makes of a table's columns without the episodes that it refuses.

    Row numbers in other notes count without the rows left out.

    Raises:
        DataError: no episode is left, or the table is refused for another reason.
    """
    codes, labels = episodes_of(columns)
    bad = np.zeros(len(labels), dtype=bool)
    first: tuple[int, str] | None = None
    note = NONE
    while True:
        kept = np.flatnonzero(~bad[codes])
        try:
            dataset = read(columns if first is None else columns.take(kept), len(kept))
            return dataset.relabelled(notes=(note, *dataset.notes))
        except EpisodeError as error:
            at = kept[np.asarray(error.rows, dtype=np.int64)]
            if not len(at):
                raise DataError(str(error)) from error
            bad[codes[at]] = True
            # ``reason`` is about the first of the rows.
            if first is None or at[0] < first[0]:
                first = int(at[0]), error.reason
            left_out = LeftOut(int(bad.sum()), len(labels), labels[codes[first[0]]], *first)
            left_out.check(columns.name)
            note = left_out.note()


def episodes_of(columns: RoleColumns) -> Labels:
    """The episode of each row, as numbers from 0, and what each stands for; without such a column, as flags divide it.

    Raises:
        DataError: a row has no episode, or a flag cannot be read.
    """
    try:
        episode = columns.labels("episode")
        if episode is not None:
            return episode
        flags = [flag for role in ("terminated", "truncated") if (flag := columns.flag(role)) is not None]
    except EpisodeError as error:
        raise DataError(f"{error}; rows of unknown episode cannot be left out") from error
    ends = np.logical_or.reduce(flags)
    codes = np.concatenate([[0], np.cumsum(ends[:-1])])
    return codes, list(range(int(codes[-1]) + 1))

"""Pieces of a dataset: the rows that a reader keeps, and random parts of whole episodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import COLUMNS, blocks
from prudent.data.episodes.dropped import Dropped, Ends, notes_on
from prudent.errors import DataError

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset


def with_successors(
    dataset: "Dataset", ends: Ends, next_observation: np.ndarray, notes: Sequence[str], next_mask: np.ndarray | None
) -> "Dataset":
    """See :meth:`prudent.data.Dataset.with_successors`."""
    keep, keep_all = ends.keep, ends.keep.all()
    changed = replace(
        dataset,
        next_observation=next_observation,
        terminated=ends.terminated,
        truncated=ends.truncated & ~ends.terminated,
    )
    table = {key: getattr(changed, key) if keep_all else getattr(changed, key)[keep] for key in COLUMNS}
    table["truncated"][-1] |= not table["terminated"][-1]
    extra = dict(dataset.extra) if next_mask is None else {**dataset.extra, "next_mask": next_mask}
    extra = {key: column[keep] for key, column in extra.items()}
    dropped = Dropped.count((dataset.reward[block] for block in blocks(len(dataset))), keep)
    notes = (*dataset.notes, *notes, *ends.notes, *notes_on(dropped))
    return replace(changed, **table, extra=extra, notes=notes, dropped=dropped)


def split(dataset: "Dataset", fraction: float, seed: int) -> tuple["Dataset", "Dataset"]:
    """See :meth:`prudent.data.Dataset.split`."""
    unit_E, kind = dataset.units()
    size_U = np.bincount(unit_E)
    if len(size_U) < 2 or not 0 < fraction < 1:
        raise DataError(f"{dataset.name}: splitting needs two or more {kind}s and 0 < fraction < 1")
    order_U = np.random.default_rng(seed).permutation(len(size_U))
    taken_U = size_U[order_U].cumsum()[:-1]
    cut = int(np.abs(taken_U - fraction * dataset.n_episodes).argmin()) + 1
    first_E = np.isin(unit_E, order_U[:cut])
    return dataset.episodes(np.flatnonzero(first_E)), dataset.episodes(np.flatnonzero(~first_E))

"""Pieces of a dataset: the rows that a reader keeps, and random parts of whole episodes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import COLUMNS, blocks, counted
from prudent.data.episodes.dropped import Dropped, Ends, notes_on
from prudent.errors import DataError

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset

WORDS = {2: "two", 3: "three"}
_ROUNDING = 1e-6
"""How far fractions may be from a sum of 1: 0.1 has no exact float."""


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


def split(dataset: "Dataset", fractions: float | Sequence[float], seed: int) -> tuple["Dataset", ...]:
    """See :meth:`prudent.data.Dataset.split`."""
    unit_E, kind = dataset.units()
    shares = (fractions, 1 - fractions) if isinstance(fractions, int | float) else tuple(fractions)
    part_E = divide(unit_E, kind, shares, seed, dataset.name)
    return tuple(dataset.episodes(np.flatnonzero(part_E == part)) for part in range(len(shares)))


def divide(unit_E: np.ndarray, kind: str, fractions: Sequence[float], seed: int, name: str) -> np.ndarray:
    """The part of each episode, (episodes,) int64 from 0 on; every unit (``kind``: group or episode) stays whole.

    ``unit_E`` is that of :meth:`prudent.data.Dataset.units`. The units are put in a random order and cut where the
    episodes so far come nearest to the fractions. Each part gets a unit or more.

    Raises:
        DataError: the fractions are fewer than two, not above 0, or do not sum to 1; there are fewer units than parts;
            or a fraction of them is none.
    """
    check_fractions(fractions, name)
    rank_E, size_U = shuffled(unit_E, seed)
    taken_U, units, parts = size_U.cumsum(), len(size_U), len(fractions)
    if units < parts:
        raise DataError(f"{name}: splitting needs {WORDS.get(parts, parts)} or more {kind}s, it has {units}")
    if min(fractions) * units < 0.5:
        raise DataError(f"{name}: a share of {min(fractions):g} of {counted(units, kind)} is none: take larger shares")
    cuts: list[int] = []
    for left, target in zip(range(parts - 1, 0, -1), np.cumsum(fractions), strict=False):
        first = cuts[-1] + 1 if cuts else 0
        cuts.append(first + int(np.abs(taken_U[first : units - left] - target * len(unit_E)).argmin()))
    return np.searchsorted(cuts, rank_E)


def shuffled(unit_E: np.ndarray, seed: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """A random order of the units: the place of each episode's unit, (episodes,), and the number of episodes at each
    place, (units,). Equal seeds give equal orders."""
    order_U = np.random.default_rng(seed).permutation(int(unit_E.max()) + 1)
    rank_E = np.argsort(order_U)[unit_E]
    return rank_E, np.bincount(rank_E)


def check_fractions(fractions: Sequence[float], name: str) -> None:
    """Refuse shares of two or more parts that are not above 0, or that do not sum to 1.

    Raises:
        DataError: they are so; the line begins with ``name``.
    """
    text = " ".join(f"{fraction:g}" for fraction in fractions)
    if len(fractions) < 2:
        raise DataError(f"{name}: splitting needs the fractions of two or more parts, got {text or 'none'}")
    if not all(0 < fraction < 1 for fraction in fractions):
        raise DataError(f"{name}: every fraction has to lie between 0 and 1, got {text}")
    if abs(sum(fractions) - 1) > _ROUNDING:
        raise DataError(f"{name}: the fractions sum to {sum(fractions):g}, not to 1: {text}")

"""Several datasets as one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from prudent.data import masks, meanings, target_prob
from prudent.data.columns import COLUMNS, blocks
from prudent.data.episodes import dropped as drops
from prudent.errors import DataError
from prudent.types import Spec

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset


def join(datasets: Sequence["Dataset"], name: str | None) -> "Dataset":
    """See :meth:`prudent.data.Dataset.join`."""
    if not datasets:
        raise DataError("joining needs at least one dataset")
    first = datasets[0]
    if len(datasets) == 1:
        return first if name is None else first.relabelled(name=name)
    spec = first.spec
    for dataset in datasets[1:]:
        spec = merge_specs(spec, dataset.spec, first.name, dataset.name)
    extras, mask_notes = masks.join([(d.name, len(d), d.extra) for d in datasets], spec.action_size)
    target_prob.check_widths([(d.name, extra) for d, extra in zip(datasets, extras, strict=True)])
    shared = set.intersection(*(set(extra) for extra in extras))
    dropped = sorted(set().union(*extras) - shared)
    joined = meanings.join([(d.name, d.meanings, "group" in d.extra) for d in datasets])
    notes = [f"{d.name}: {note}" for d in datasets for note in notes_of(d.notes, d.meanings, joined)]
    notes += mask_notes + joined.notes
    if dropped:
        notes.append(f"columns not in every file were left out: {', '.join(dropped)}")
    extra = {key: np.concatenate([extra[key] for extra in extras]) for key in sorted(shared)}
    if "group" in shared:
        extra["group"] = np.concatenate([joined.renumbered(k, d.extra["group"]) for k, d in enumerate(datasets)])
    return replace(
        first,
        **{key: np.concatenate([getattr(d, key) for d in datasets]) for key in COLUMNS},
        spec=spec,
        name=name or "+".join(d.name for d in datasets),
        notes=tuple(notes),
        extra=extra,
        meanings=joined.meanings,
        dropped=drops.merge([(d.dropped, _rewards(d)) for d in datasets]),
    )


def notes_of(notes: Sequence[str], own: meanings.Meanings, joined: meanings.Joined) -> list[str]:
    """The notes of a part that still hold when it is joined with others: the numbers of its groups may be new."""
    stale = own.notes() if joined.meanings.groups is not None else []
    return [note for note in notes if note not in stale]


def _rewards(dataset: "Dataset") -> Iterator[np.ndarray]:
    return (dataset.reward[block] for block in blocks(len(dataset)))


def merge_specs(spec: Spec, other: Spec, name: str, other_name: str) -> Spec:
    """One spec for two parts of a dataset; for discrete actions with the larger number of actions.

    A part rarely takes every action: those that one part lacks, the other may have.

    Raises:
        DataError: the specs differ otherwise; the line has both names.
    """
    if spec.discrete and other.discrete:
        n_actions = max(spec.action_size, other.action_size)
        spec, other = replace(spec, action_size=n_actions), replace(other, action_size=n_actions)
    if spec != other:
        raise DataError(f"{other_name} does not fit {name}: it has {spec.difference_from(other)}")
    return spec

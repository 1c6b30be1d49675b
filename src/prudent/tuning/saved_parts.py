"""The parts of the log in a tuned folder, so that everybody can have them again (:func:`prudent.runs.tuned.part`)."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.data import Dataset
from prudent.data.mapped.index import KEY, NUMBER
from prudent.data.readers import stream
from prudent.data.split import PARTS, write
from prudent.errors import ConfigError, PrudentError, in_one_line
from prudent.runs import tuned
from prudent.runs.folder import read_json
from prudent.tuning.parts import NAMES, Parts

LARGEST_COPY = 256 << 20
"""Bytes of a log above which a tuned folder has the numbers of the episodes, and not the episodes themselves."""


def plain(sources: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Arguments of :func:`prudent.data.load_dataset` as JSON holds them.

    Raises:
        ConfigError: one of them is no text, number, path, or list or dictionary of these.
    """
    try:
        return None if sources is None else json.loads(json.dumps(dict(sources), default=os.fspath))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"tune: sources holds what no file can: {in_one_line(error)}") from error


def save(folder: Path, dataset: Dataset, parts: Parts, sources: Mapping[str, Any] | None) -> None:
    """Write ``folder/parts``: the numbers of each part's episodes, and the parts themselves where the log is small.

    ``sources`` are arguments of :func:`prudent.data.load_dataset` that load the log; None if nobody knows them. What is
    there already stays, unless it is of another division.

    Raises:
        DataError: it cannot be written.
    """
    place = folder / tuned.PARTS
    division = {"by": parts.by, "seed": list(parts.seed), "fingerprint": dataset.fingerprint}
    about = {**division, "sources": plain(sources)}
    if _is_saved(place, about):
        return
    shutil.rmtree(place, ignore_errors=True)
    note = f"a part of {dataset.name}, divided by {parts.by} for a tuning with seed {parts.seed[0]}"
    rows, copy = stream.of_dataset(dataset), _is_copied(dataset)
    write(rows, dataset.episode_bounds, place, NAMES, parts.of_each, about, [note], copy)


def _is_saved(place: Path, about: Mapping[str, Any]) -> bool:
    try:
        stored = read_json(place / PARTS)
    except PrudentError:  # it is not there, or damaged: it is written again
        return False
    return all(stored.get(key) == value for key, value in about.items())


def _is_copied(dataset: Dataset) -> bool:
    """Whether the log is small, and its columns can be stored: names of groups as text, for one, cannot."""
    columns = stream.rows_of(dataset, slice(None))
    storable = all(KEY.fullmatch(key) and NUMBER.fullmatch(column.dtype.str) for key, column in columns.items())
    return storable and sum(column.nbytes for column in columns.values()) <= LARGEST_COPY

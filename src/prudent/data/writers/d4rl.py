"""Flat HDF5 in the layout of D4RL (Fu et al. 2020), with a next observation for every row."""

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prudent import files
from prudent.data.dataset import Dataset
from prudent.data.readers._names import ENCODING
from prudent.data.readers.d4rl import EXTRA, EXTRA_COLUMNS
from prudent.errors import DataError

COLUMNS = {
    "observations": "observation",
    "actions": "action",
    "rewards": "reward",
    "next_observations": "next_observation",
    "terminals": "terminated",
    "timeouts": "truncated",
}
MASKS = {"action_masks": "mask", "next_action_masks": "next_mask"}


def check_target(path: Path) -> None:
    """Refuse a file that exists, or one in a folder that cannot be made or written.

    Raises:
        DataError: one line that says which.
    """
    if path.exists():
        raise DataError(f"{path} exists: choose another name, nothing is overwritten")
    if stray := files.stray_link(path):
        raise DataError(f"{path} cannot be written: {stray}")
    place = next(p for p in path.absolute().parents if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{path} cannot be written: {place} is no folder that may be written to")


def write(dataset: Dataset, path: Path, about: Mapping[str, Any]) -> None:
    """Write the columns and masks to ``path``, and under ``metadata/`` the bounds, ``n_actions``, ``first_action`` and
    ``about``.

    ``dt``, ``group``, ``step`` and the behaviour's log-probability of ``Dataset.extra`` go under ``extra/``.
    ``metadata/true_successors`` says that ``next_observations`` are real, at the end of an episode too;
    ``metadata/dropped`` what was lost with rows that could not be kept; ``metadata/encoding``, as JSON, what columns
    and actions are called (:class:`prudent.data.encoding.Encoding`). Columns are those of :data:`COLUMNS`, (N, ...)
    float32, flags (N,) bool, discrete actions (N,) int64; ``metadata/action_low`` and ``action_high`` are (A,).

    Raises:
        DataError: the file exists or cannot be made, or ``about`` has a name that the file needs for itself.
    """
    import h5py

    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A unique name: two processes may write the same file.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with h5py.File(os.fspath(aside), "w") as file:
            for key, column in _columns(dataset).items():
                file.create_dataset(key, data=column)
            for key, value in _metadata(dataset, about).items():
                file.create_dataset(f"metadata/{key}", data=value)
        _publish(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _publish(aside: Path, path: Path) -> None:
    """Give the complete file ``aside`` its name, unless the name is taken. The caller removes ``aside`` if it stays.

    Raises:
        DataError: the name is taken.
    """
    try:
        # Unlike a rename, a link never replaces a file that another process made meanwhile.
        os.link(aside, path)
    except FileExistsError:
        check_target(path)
        raise
    except OSError:
        # Some file systems have no links.
        check_target(path)
        os.rename(aside, path)


def _columns(dataset: Dataset) -> dict[str, np.ndarray]:
    columns = {key: getattr(dataset, name) for key, name in COLUMNS.items()}
    columns |= {key: dataset.extra[name] for key, name in MASKS.items() if name in dataset.extra}
    return columns | {f"{EXTRA}/{name}": dataset.extra[name] for name in EXTRA_COLUMNS if name in dataset.extra}


def _metadata(dataset: Dataset, about: Mapping[str, Any]) -> dict[str, Any]:
    spec = dataset.spec
    entries: dict[str, Any] = {"true_successors": 1} | ({"n_actions": spec.action_size} if spec.discrete else {})
    entries |= {"first_action": spec.first_action} if spec.first_action else {}
    if spec.action_low is not None and spec.action_high is not None:
        entries |= {"action_low": np.array(spec.action_low), "action_high": np.array(spec.action_high)}
    if dataset.dropped is not None:
        entries["dropped"] = np.array(dataset.dropped.numbers())
    if dataset.meanings.encoding is not None:
        entries[ENCODING] = json.dumps(dataset.meanings.encoding.to_json())
    taken = entries.keys() & about.keys()
    if taken:
        raise DataError(f"metadata/{sorted(taken)[0]} belongs to the file format: use another name")
    plain = (str, int, float, bool)
    return entries | {key: value if isinstance(value, plain) else json.dumps(value) for key, value in about.items()}

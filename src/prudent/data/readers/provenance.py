"""How an HDF5 file was made: the text and numbers below ``metadata``, as the writers of this library leave them."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

from prudent.data.readers import _hdf5

_COLUMN_KEYS = (
    *("true_successors", "dropped", "n_actions", "first_action", "discrete", "max_episode_steps"),
    *("action_low", "action_high", "encoding"),
)
"""Keys that belong to the columns; ``d4rl`` reads them."""
_MOST, _LONGEST = 40, 400


def read(path: Path) -> dict[str, Any]:
    """``notes`` as a list of lines, every other key as one line of text; empty if the file says nothing.

    Raises:
        DataError: the file is not HDF5, is damaged, or stores the entry outside the file.
    """
    import h5py

    entries: dict[str, Any] = {}
    with _hdf5.opened(path) as file, _hdf5.reading(path.name):
        group = _hdf5.child(file, "metadata", path.name)
        if not isinstance(group, h5py.Group):
            return {}
        keys = (key for key in group.keys() if key not in _COLUMN_KEYS)  # noqa: SIM118 - typed as str
        for key in islice(keys, _MOST):
            node = _hdf5.child(group, key, path.name, f"metadata/{key}")
            if not isinstance(node, h5py.Dataset) or node.shape != () or node.dtype.itemsize > 1 << 16:
                continue
            if h5py.check_string_dtype(node.dtype) is None and node.dtype.kind not in "iufb":
                continue
            value = node[()]
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            entries[_line(key)] = text
    notes = _lines(entries.pop("notes", "[]"))
    return {key: _line(text) for key, text in entries.items()} | ({"notes": notes} if notes else {})


def _lines(text: str) -> list[str]:
    """The lines of a JSON list; other text as one line."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = [text]
    return [_line(str(item)) for item in (content if isinstance(content, list) else [content])[:_MOST]]


def _line(text: str) -> str:
    """One line without control characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[: 2 * _LONGEST])
    plain = " ".join(plain.split())
    return plain if len(plain) <= _LONGEST else plain[:_LONGEST] + " ..."

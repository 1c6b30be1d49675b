"""What an HDF5 file says of how it came about: text and numbers below ``metadata``, as the writers here leave them."""

import json
from pathlib import Path
from typing import Any

from prudent.data.readers import _hdf5

_OWN = ("true_successors", "n_actions", "discrete", "max_episode_steps", "action_low", "action_high")
"""Keys that the reader of the columns understands."""
_MOST, _LONGEST = 40, 400


def read(path: Path) -> dict[str, Any]:
    """``notes`` as a list of lines, every other key as one line of text; empty where the file says nothing.

    Raises:
        DataError: the file is no HDF5, is damaged, or keeps what is asked for elsewhere.
    """
    import h5py

    found: dict[str, Any] = {}
    with _hdf5.opened(path) as file, _hdf5.reading(path.name):
        group = _hdf5.child(file, "metadata", path.name)
        if not isinstance(group, h5py.Group):
            return {}
        for key in [key for key in group.keys() if key not in _OWN][:_MOST]:  # noqa: SIM118 - typed as str
            node = _hdf5.child(group, key, path.name, f"metadata/{key}")
            if not isinstance(node, h5py.Dataset) or node.shape != () or node.dtype.itemsize > 1 << 16:
                continue
            if h5py.check_string_dtype(node.dtype) is None and node.dtype.kind not in "iufb":
                continue
            value = node[()]
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            found[_line(key)] = text
    notes = _lines(found.pop("notes", "[]"))
    return {key: _line(text) for key, text in found.items()} | ({"notes": notes} if notes else {})


def _lines(text: str) -> list[str]:
    """The lines of a JSON list, or the text itself where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = [text]
    return [_line(str(one)) for one in (content if isinstance(content, list) else [content])[:_MOST]]


def _line(text: str) -> str:
    """One line that does nothing to a terminal."""
    plain = "".join(c if c.isprintable() else " " for c in text[: 2 * _LONGEST])
    plain = " ".join(plain.split())
    return plain if len(plain) <= _LONGEST else plain[:_LONGEST] + " ..."

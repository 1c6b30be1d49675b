"""What a file of this library says that its columns and actions are called."""

import json
from typing import TYPE_CHECKING, Any

from prudent.data.encoding import Encoding
from prudent.data.meanings import UNKNOWN, Meanings
from prudent.data.readers import _hdf5
from prudent.errors import DataError, in_one_line
from prudent.types import Spec

if TYPE_CHECKING:
    import h5py

ENCODING = "encoding"
"""The key below ``metadata`` of an HDF5 file, or in a Minari dataset's description: an encoding as JSON."""


def in_hdf5(file: "h5py.File", name: str) -> Any:
    """What ``metadata/encoding`` holds, parsed; None if there is no such text.

    Raises:
        DataError: it is no JSON.
    """
    import h5py

    node = _hdf5.child(file, f"metadata/{ENCODING}", name)
    if not isinstance(node, h5py.Dataset) or node.shape != () or h5py.check_string_dtype(node.dtype) is None:
        return None
    with _hdf5.reading(name):
        text = node[()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: {ENCODING} in its metadata is damaged ({in_one_line(error)[:80]})") from error


def meanings(names: Any, spec: Spec, name: str) -> Meanings:
    """The names as meanings of a dataset with these spaces; None are unknown.

    Raises:
        DataError: they are damaged, or describe other spaces.
    """
    if names is None:
        return UNKNOWN
    try:
        return Meanings(encoding=Encoding.from_json(names, spec))
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: {ENCODING} in its metadata does not fit ({in_one_line(error)[:160]})") from error

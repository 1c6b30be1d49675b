"""Opening HDF5 files that someone else wrote."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.readers._budget import Budget
from prudent.errors import DataError, PrudentError

if TYPE_CHECKING:
    import h5py

_ATTRIBUTE_BYTES = 1024
MAGIC = b"\x89HDF\r\n\x1a\n"


@contextmanager
def opened(path: Path) -> "Iterator[h5py.File]":
    """The file, open for reading; what is read from it belongs inside :func:`reading`.

    Raises:
        DataError: it is not HDF5, or cut short.
    """
    import h5py

    with reading(path.name):
        file = h5py.File(os.fspath(path), "r")
    with file:
        yield file


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Tells of damage that reading comes upon; nothing else may happen inside, it would be told as damage too.

    Raises:
        DataError: the file is cut short, or damaged in a place that was read.
    """
    try:
        yield
    except PrudentError:
        raise
    # The HDF5 library reports damage as any of these, depending on where it stumbles.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: a truncated or damaged HDF5 file ({reason})") from error


def child(group: "h5py.Group", key: str, name: str, where: str | None = None) -> "h5py.Group | h5py.Dataset | None":
    """The object ``key`` (slashes allowed) below ``group``, or None; links are never followed.

    ``where`` is the key to speak of, if it is a longer one.

    Raises:
        DataError: the key is a soft or external link, or its storage lies outside the file.
    """
    import h5py

    where = where or key
    node: h5py.Group | h5py.Dataset = group
    for part in key.split("/"):
        if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118 - `in node` follows links
            return None
        link = node.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise DataError(f"{name}: {where} is an external link to another file, which is never followed")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{name}: {where} is a soft link, only data stored under its own key is read")
        found = node[part]
        if isinstance(found, h5py.Datatype):
            raise DataError(f"{name}: {where} is a type definition, not data")
        node = found
    if isinstance(node, h5py.Dataset):
        _check_storage(node, where, name)
    return node


def _check_storage(dataset: "h5py.Dataset", key: str, name: str) -> None:
    if dataset.is_virtual:
        raise DataError(f"{name}: {key} is a virtual dataset, which would read other files")
    if dataset.external:
        raise DataError(f"{name}: {key} keeps its bytes in external storage, outside the file")


def columns(group: "h5py.Group", keys: Iterable[str], name: str, budget: Budget) -> dict[str, np.ndarray]:
    """The arrays of :func:`nodes`, read."""
    return {key: node[()] for key, node in nodes(group, keys, name, budget).items()}


def nodes(group: "h5py.Group", keys: Iterable[str], name: str, budget: Budget) -> "dict[str, h5py.Dataset]":
    """The numeric arrays among ``keys`` that exist, checked for type, size and row count, to be read.

    Raises:
        DataError: a key is a group, an object or text type, larger than the budget or its stored bytes allow, or of
            another length than the first.
    """
    import h5py

    found: dict[str, h5py.Dataset] = {}
    for key in keys:
        node = child(group, key, name)
        if node is None:
            continue
        if not isinstance(node, h5py.Dataset):
            raise DataError(f"{name}: {key} is a group, expected an array")
        _check_array(node, key, name, budget)
        found[key] = node
    budget.settle(name)
    lengths = {key: node.shape[0] for key, node in found.items()}
    for key, rows in lengths.items():
        first = next(iter(lengths))
        if rows != lengths[first]:
            raise DataError(f"{name}: {key} has {rows} rows, {first} has {lengths[first]}")
    return found


def _check_array(dataset: "h5py.Dataset", key: str, name: str, budget: Budget) -> None:
    if dataset.dtype.kind not in "fiub":
        kind = "objects or text" if dataset.dtype.kind == "O" else str(dataset.dtype)
        raise DataError(f"{name}: {key} holds {kind}, not numbers")
    if dataset.shape is None or len(dataset.shape) == 0:
        raise DataError(f"{name}: {key} has no rows, expected an array")
    spend(dataset, key, name, budget)


def spend(dataset: "h5py.Dataset", key: str, name: str, budget: Budget) -> None:
    """Count an array: what it declares, and what it takes, as float32 or as one whole chunk.

    Raises:
        DataError: see :meth:`Budget.spend`.
    """
    count = int(np.prod(dataset.shape or (), dtype=object))
    width = dataset.dtype.itemsize
    chunk = int(np.prod(dataset.chunks, dtype=object)) * width if dataset.chunks else 0
    grown = count * max(width, 4 if dataset.dtype.kind in "iuf" else 1)
    stored = dataset.id.get_storage_size()
    budget.spend(count * width, stored=stored, key=key, name=name, taken=max(grown, chunk))


def attribute(node: "h5py.Group", key: str, name: str) -> np.ndarray | None:
    """An attribute of a few numbers, or None where there is none.

    Raises:
        DataError: it holds something else.
    """
    import h5py

    if key not in node.attrs:
        return None
    found = h5py.h5a.open(node.id, key.encode())
    if found.dtype.kind not in "iubf" or found.get_storage_size() > _ATTRIBUTE_BYTES:
        raise DataError(f"{name}: the attribute {key} holds something else than a few numbers")
    return np.asarray(node.attrs[key])

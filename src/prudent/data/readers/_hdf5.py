"""HDF5 files that someone else wrote: opened and read without following a link."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.readers._budget import Budget
from prudent.errors import DataError, PrudentError

if TYPE_CHECKING:
    import h5py

_ATTRIBUTE_BYTES = 1024


@contextmanager
def opened(path: Path) -> "Iterator[h5py.File]":
    """The file, open for reading; read from it inside :func:`reading`.

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
    """Turns the errors of the HDF5 library into one line. Do nothing else inside: its errors would count as damage.

    Raises:
        DataError: the file is cut short, or damaged where it was read.
    """
    try:
        yield
    except PrudentError:
        raise
    # The HDF5 library reports damage as any of these.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{name}: a truncated or damaged HDF5 file ({reason})") from error


def child(group: "h5py.Group", key: str, name: str, where: str | None = None) -> "h5py.Group | h5py.Dataset | None":
    """The object ``key`` (slashes allowed) below ``group``, or None; links are never followed.

    ``where`` is the key in messages, if it is a longer one.

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
        item = node[part]
        if isinstance(item, h5py.Datatype):
            raise DataError(f"{name}: {where} is a type definition, not data")
        node = item
    if isinstance(node, h5py.Dataset):
        _check_storage(node, where, name)
    return node


def _check_storage(dataset: "h5py.Dataset", key: str, name: str) -> None:
    if dataset.is_virtual:
        raise DataError(f"{name}: {key} is a virtual dataset, which would read other files")
    if dataset.external:
        raise DataError(f"{name}: {key} keeps its bytes in external storage, outside the file")


def columns(
    group: "h5py.Group", keys: Iterable[str], name: str, budget: Budget, lists: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """The arrays of :func:`nodes`, read."""
    return {key: node[()] for key, node in nodes(group, keys, name, budget, lists).items()}


def nodes(
    group: "h5py.Group", keys: Iterable[str], name: str, budget: Budget, lists: Collection[str] = ()
) -> "dict[str, h5py.Dataset]":
    """The numeric arrays among ``keys`` that exist, not yet read: their type, size and row count are checked.

    Those in ``lists`` may have another number of rows.

    Raises:
        DataError: one is a group, holds objects or text, is larger than the budget or its stored bytes allow, or has
            another number of rows than the first.
    """
    import h5py

    arrays: dict[str, h5py.Dataset] = {}
    for key in keys:
        node = child(group, key, name)
        if node is None:
            continue
        if not isinstance(node, h5py.Dataset):
            raise DataError(f"{name}: {key} is a group, expected an array")
        check_array(node, key, name, budget)
        arrays[key] = node
    budget.settle(name)
    lengths = {key: node.shape[0] for key, node in arrays.items()}
    for key, rows in lengths.items():
        first = next(iter(lengths))
        if rows != lengths[first] and key not in lists:
            raise DataError(f"{name}: {key} has {rows} rows, {first} has {lengths[first]}")
    return arrays


def check_array(dataset: "h5py.Dataset", key: str, name: str, budget: Budget) -> None:
    """Refuse an array that does not hold one row of numbers after the other; count its bytes.

    Raises:
        DataError: it does not, or see :func:`spend`.
    """
    if dataset.dtype.kind not in "fiub":
        kind = "objects or text" if dataset.dtype.kind == "O" else str(dataset.dtype)
        raise DataError(f"{name}: {key} holds {kind}, not numbers")
    if dataset.shape is None or len(dataset.shape) == 0:
        raise DataError(f"{name}: {key} has no rows, expected an array")
    spend(dataset, key, name, budget)


def spend(dataset: "h5py.Dataset", key: str, name: str, budget: Budget) -> None:
    """Count an array: the bytes it declares, and those it takes as float32 or as one chunk.

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
    stored = h5py.h5a.open(node.id, key.encode())
    if stored.dtype.kind not in "iubf" or stored.get_storage_size() > _ATTRIBUTE_BYTES:
        raise DataError(f"{name}: the attribute {key} holds something other than a few numbers")
    return np.asarray(node.attrs[key])

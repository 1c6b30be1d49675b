"""HDF5 files that someone else wrote: opened and read without following a link."""

import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.readers._budget import Budget
from prudent.errors import DataError, PrudentError, shown
from prudent.files import human_bytes
from prudent.progress import Wait

if TYPE_CHECKING:
    import h5py

_ATTRIBUTE_BYTES = 1024
_PART = 16 << 20
_SMALL_CHUNK = 192 << 10
"""Bytes of a packed chunk that may unpack to anything: deflate makes at most 1032 times as many of them."""
_LOCKED = ("unable to lock file", "file is already open for")
"""What the library says of a file that is open for writing, or was never closed."""
_FILTERS = {
    4: "szip",
    305: "lzo",
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32026: "blosc2",
}
"""Names of registered filters; the file itself may give any name."""


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
        if any(words in reason for words in _LOCKED):
            raise DataError(
                f"{name}: is open for writing elsewhere, or its writer never closed it: end that program, or close the "
                f"file with h5clear -s {name}"
            ) from error
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
    found = nodes(group, keys, name, budget, lists)
    with Wait(f"reading {name}", sum(node.nbytes for node in found.values())) as wait:
        return {key: _whole(node, wait) for key, node in found.items()}


def _whole(node: "h5py.Dataset", wait: Wait) -> np.ndarray:
    """An array, read in parts of some megabytes, each a whole number of the file's chunks."""
    array = np.empty(node.shape, node.dtype)
    rows = max(1, _PART * len(array) // max(array.nbytes, 1))
    chunk = node.chunks[0] if node.chunks else 1
    rows = max(chunk, rows // chunk * chunk)
    for start in range(0, len(array), rows):
        part = np.s_[start : start + rows]
        node.read_direct(array, part, part)
        wait.advance(array[part].nbytes)
    return array


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


def _check_filters(dataset: "h5py.Dataset", key: str, name: str) -> None:
    """Refuse an array that is packed by a filter that is not installed."""
    import h5py

    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, text = properties.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        # The package registers its filters when it is imported.
        with suppress(ImportError):
            import_module("hdf5plugin")
        if not h5py.h5z.filter_avail(code):
            said = text.decode("utf-8", "replace").split(";")[0].strip()
            words = _FILTERS.get(code) or (shown(said) if said else "of no registered name")
            raise DataError(
                f"{name}: {key} is packed by HDF5 filter {code} ({words}), which is not installed here: "
                "pip install hdf5plugin, or have h5repack -f GZIP=4 write a copy"
            )


def _check_chunks(dataset: "h5py.Dataset", key: str, name: str) -> None:
    """Refuse a chunk that unpacks to more than its rows take: the library makes room for all that comes out."""
    import h5py

    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    if dataset.chunks is None or h5py.h5z.FILTER_DEFLATE not in filters:
        return
    if filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
        raise DataError(f"{name}: {key} is packed twice, which only a file made to fill memory is")
    most = int(np.prod(dataset.chunks, dtype=object)) * dataset.dtype.itemsize
    packed = filters.index(h5py.h5z.FILTER_DEFLATE)
    suspicious: list[tuple[int, ...]] = []

    def look(chunk: "h5py.h5d.StoreInfo") -> None:
        # A set bit of the mask says that the filter was left out.
        if chunk.size > _SMALL_CHUNK and not chunk.filter_mask >> packed & 1:
            suspicious.append(chunk.chunk_offset)

    dataset.id.chunk_iter(look)
    for offset in suspicious:
        _, content = dataset.id.read_direct_chunk(offset)
        with suppress(zlib.error):  # damage is the library's to report
            if len(zlib.decompressobj().decompress(content, most + 1)) > most:
                raise DataError(
                    f"{name}: {key} has a chunk that unpacks to more than the {human_bytes(most)} of its rows"
                )


def spend(dataset: "h5py.Dataset", key: str, name: str, budget: Budget) -> None:
    """Count an array: the bytes it declares, and those it takes as float32 or as one chunk.

    Raises:
        DataError: see :meth:`Budget.spend`. Also if the file is shorter than what its arrays claim to store in it, or
            if they are packed in a way that cannot be undone here.
    """
    _check_filters(dataset, key, name)
    _check_chunks(dataset, key, name)
    count = int(np.prod(dataset.shape or (), dtype=object))
    width = dataset.dtype.itemsize
    chunk = int(np.prod(dataset.chunks, dtype=object)) * width if dataset.chunks else 0
    grown = count * max(width, 4 if dataset.dtype.kind in "iuf" else 1)
    stored = dataset.id.get_storage_size()
    size = dataset.file.id.get_filesize()
    if budget.stored + stored > size:
        raise DataError(
            f"{name}: {key} brings what its arrays store to {human_bytes(budget.stored + stored)}, the file has "
            f"{human_bytes(size)}: they share their bytes, in a file made to fill memory"
        )
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

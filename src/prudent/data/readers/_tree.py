"""What an HDF5 file holds: the names, shapes and types of its arrays. Nothing is read, no link is followed."""

from typing import TYPE_CHECKING

from prudent.data.end_names import meaning_of
from prudent.data.readers import _hdf5
from prudent.errors import DataError, shown

if TYPE_CHECKING:
    import h5py

_DEPTH, _MOST = 4, 10_000


def arrays(file: "h5py.File", name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and kind of type of every array, by its key; groups more than four deep are left out.

    Call it inside :func:`prudent.data.readers._hdf5.reading`.

    Raises:
        DataError: there are more than 10,000 objects; or a link has the name of a column that ends episodes.
    """
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    _collect(file, "", name, found, [0], _DEPTH)
    return found


def _collect(
    group: "h5py.Group",
    prefix: str,
    name: str,
    found: dict[str, tuple[tuple[int, ...], str]],
    seen: list[int],
    depth: int,
) -> None:
    import h5py

    seen[0] += len(group)
    # Before the names are listed: millions of them would take seconds and memory.
    if seen[0] > _MOST:
        raise DataError(f"{name}: holds more than {_MOST:,} objects; a log has a dozen")
    for key in names(group, name):
        where = prefix + key
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            if meaning_of(key) is not None and not where.startswith("metadata/"):
                _hdf5.child(group, key, name, where)
            continue
        node = group[key]
        if isinstance(node, h5py.Dataset):
            found[where] = node.shape or (), node.dtype.kind
        elif isinstance(node, h5py.Group) and depth > 1:
            _collect(node, f"{where}/", name, found, seen, depth - 1)


def check_once(node: "h5py.Group | h5py.Dataset", where: str, name: str, met: dict[tuple[int, int], str]) -> None:
    """Refuse an object that was met under another name; ``met`` holds where each was.

    It would be read once for each name: a few bytes would become gigabytes, and one episode many.

    Raises:
        DataError: it was.
    """
    from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue] - its types do not list it

    info = h5o.get_info(node.id)
    first = met.setdefault((info.fileno, info.addr), where)
    if first != where:
        raise DataError(f"{name}: {path_text(where)} and {path_text(first)} are one object (a hard link), not two")


def path_text(where: str) -> str:
    """A path inside the file for a message: as it is, or quoted if it is long or has control characters."""
    return where if where.isprintable() and len(where) <= 80 else shown(where)


def names(group: "h5py.Group", name: str) -> list[str]:
    """The keys of a group.

    Raises:
        DataError: one is no text.
    """
    keys: list[str | bytes] = list(group.keys())
    # The library returns bytes where it cannot decode a name.
    if not all(isinstance(key, str) for key in keys):
        raise DataError(f"{name}: {group.name} holds a name that is no text")
    return [str(key) for key in keys]

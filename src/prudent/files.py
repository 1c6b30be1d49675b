"""Files that are whole or not there: written aside, renamed into place, and flushed to disk where it matters."""

import os
from pathlib import Path


def replace(path: Path, content: bytes, durable: bool = True) -> Path:
    """Write a file so that a reader finds the old one or the new one, never half of it; returns its path.

    ``durable`` waits until the disk has it; what can be made again, or is renewed every moment, need not.

    Raises:
        OSError: it could not be written; the old one is as it was, and nothing lies beside it.
    """
    # A name of its own for every process: two writers would otherwise mix their halves.
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if durable:
            write(aside, content)
        else:
            aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _named(error, path) from None
    if durable:
        sync_folder(path.parent)
    return path


def write(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it; a kill meanwhile leaves a part of it."""
    try:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _named(error, path) from None


def _named(error: OSError, path: Path) -> OSError:
    """The error with the file it is about: writing to an open one does not say which."""
    return error if error.filename else OSError(error.errno, error.strerror or str(error), str(path))


def error_text(error: OSError) -> str:
    """``runs/first/status.json: No space left on device``."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def is_there(path: Path) -> bool:
    """Whether a path exists; one that no file can have (a name too long, say) does not."""
    try:
        return path.exists()
    except OSError:
        return False


def make_folder(path: Path) -> Path:
    """A folder and those above it, as far as they are missing, all of them on the disk; returns its path."""
    missing = [place for place in (path, *path.absolute().parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    # A new folder is an entry in the one above it, and on the disk when that one is.
    for place in missing:
        sync_folder(place.absolute().parent)
    return path


def sync_folder(folder: Path) -> None:
    """Wait until the disk has what is listed in a folder: a rename is safe from then on."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes left beside the files that :func:`replace` was to write in ``folder``."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


def human_bytes(count: float) -> str:
    """A number of bytes for people: ``human_bytes(2048) == "2.0 KiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def folder_name(text: str) -> str:
    """Any text as the name of a folder: letters, digits and ``-_+.`` stay, the rest becomes ``-``."""
    return "".join(c if c.isalnum() or c in "-_+." else "-" for c in text)[:100]

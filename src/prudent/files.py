"""Files that are complete or do not exist: written under a temporary name, flushed to disk, then renamed."""

import os
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, content: bytes | Iterable[bytes], durable: bool = True) -> Path:
    """Write a file so that a reader sees the old content or the new, never a part; returns its path.

    ``content`` may come in pieces, so that a long file is never in memory as a whole.
    ``durable`` waits until the content is on the disk. Switch it off for files that can be made again, or that are
    replaced all the time.

    Raises:
        OSError: the file could not be written; the old one is unchanged, and no temporary file remains.
    """
    # A different temporary name for every process, so that two writers do not mix their content.
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if durable:
            write(aside, content)
        else:
            with aside.open("wb") as file:
                file.writelines(_pieces(content))
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise _named(error, path) from None
    except Exception:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)
    return path


def write(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file and wait until it is on the disk; if the process is killed meanwhile, a part of it remains."""
    try:
        with path.open("wb") as file:
            file.writelines(_pieces(content))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _named(error, path) from None


def _pieces(content: bytes | Iterable[bytes]) -> Iterable[bytes]:
    return [content] if isinstance(content, bytes) else content


def _named(error: OSError, path: Path) -> OSError:
    """The error with its file: an error while writing to an open file does not name it."""
    return error if error.filename else OSError(error.errno, error.strerror or str(error), str(path))


def error_text(error: OSError) -> str:
    """An error in one line: ``runs/first/status.json: No space left on device``."""
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


def expand_user(path: "str | os.PathLike[str]") -> Path:
    """A path with ``~`` and ``~name`` replaced; as it stands if there is no such user, and so no such file."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def stray_link(path: Path) -> str:
    """Why a path cannot be a new file or folder although nothing is there: it is a link to nothing, or begins with a
    ``~`` that the shell left as it is. Empty if it can be."""
    if path.is_symlink() and not path.exists():
        return f"it is a link to {os.readlink(path)}, where nothing is"
    if path.parts and path.parts[0].startswith("~") and not Path(path.parts[0]).exists():
        return f"{path.parts[0]} is no home folder: write its full path"
    return ""


def is_there(path: Path) -> bool:
    """Whether a path exists; False, and no error, for names that no file can have (such as one that is too long)."""
    try:
        return path.exists()
    except OSError:
        return False


def make_folder(path: Path) -> Path:
    """Make a folder and its missing parents, and wait until they are on the disk; returns its path."""
    missing = [folder for folder in (path, *path.absolute().parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    # A new folder is an entry in its parent: it is on the disk once the parent is.
    for folder in missing:
        sync_folder(folder.absolute().parent)
    return path


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of files is on the disk: after that a rename cannot be lost."""
    if os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files in ``folder`` of processes that were killed during :func:`replace`."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_file():
            leftover.unlink(missing_ok=True)


def human_bytes(count: float) -> str:
    """A number of bytes in words: ``human_bytes(2048) == "2.0 KiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def folder_name(text: str) -> str:
    """Any text as the name of a folder: letters, digits and ``-_+.`` stay, all else becomes ``-``."""
    return "".join(c if c.isalnum() or c in "-_+." else "-" for c in text)[:100]

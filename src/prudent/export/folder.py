"""The folder of an export: written aside and renamed, with the SHA-256 of every file; and its check."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prudent import files
from prudent.errors import ConfigError, PrudentError
from prudent.export.formats import FILES
from prudent.runs.folder import check_free, read_json
from prudent.runs.foreign import read_bytes

ABOUT, CARD, ACT, SUMS = "policy.json", "README.md", "act.py", "SHA256SUMS"
ACTION = "action.onnx"
"""The graph of the action alone, for speed."""

KNOWN = {ABOUT, CARD, ACT, ACTION, *FILES.values()}
"""Every file that an export may have, apart from :data:`SUMS`."""

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")
_MOST_BYTES = 4 << 30


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A folder to write an export into, which becomes ``path`` at the end, with ``SHA256SUMS``; nothing on an error.

    Raises:
        ConfigError: ``path`` exists and is not empty, or cannot be made.
    """
    check_free(path, "choose another folder with --out")
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        files.make_folder(aside)
        yield aside
        sums = "".join(f"{_digest(file)}  {file.name}\n" for file in sorted(aside.iterdir()))
        files.write(aside / SUMS, sums.encode())
        files.sync_folder(aside)
        if path.is_dir():
            path.rmdir()
        aside.rename(path)
        files.sync_folder(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def verify(path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Compare every file of an export with its SHA-256; returns ``policy.json``.

    Raises:
        ConfigError: ``path`` is no export.
        PrudentError: a file was changed or is gone; the line says which.
    """
    if not (path / SUMS).is_file():
        raise ConfigError(f"{path} is no export: it has no {SUMS}")
    stored = _sums(path / SUMS)
    for name, digest in stored.items():
        if not (path / name).is_file():
            raise PrudentError(f"{path / name} is gone: the export is incomplete")
        if _digest(path / name) != digest:
            raise PrudentError(f"{path / name} was changed after the export: its SHA-256 is another one; export again")
    content = read_json(path / ABOUT)
    graph = content.get("graph")
    there = {name for name in KNOWN if (path / name).exists()}
    needed = {ABOUT, CARD, *there, *([str(graph.get("file"))] if isinstance(graph, dict) else [])}
    if missing := sorted(needed - stored.keys()):
        raise PrudentError(f"{path / SUMS} was changed after the export: it has no line for {missing[0]}; export again")
    say(f"{len(stored)} files are as they were written")
    return content


def listed(path: Path) -> list[str]:
    """The names of an export's files, apart from :data:`SUMS`."""
    return list(_sums(path / SUMS))


def _sums(path: Path) -> dict[str, str]:
    stored = {}
    for line in read_bytes(path).decode("utf-8", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] not in KNOWN or match[2] in stored:
            raise PrudentError(f"{path} was changed after the export: a line is no SHA-256 of its files; export again")
        stored[match[2]] = match[1]
    return stored


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(path, _MOST_BYTES)).hexdigest()
    except OSError as error:
        raise PrudentError(f"{path} cannot be read: {files.error_text(error)}") from error

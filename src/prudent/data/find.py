"""Looks up a dataset by name among local files."""

import os
import re
from pathlib import Path

from prudent import files
from prudent.errors import DataError

EXTENSIONS = (".hdf5", ".h5", ".npz")
_VERSION = re.compile(r"-v(\d+)$")
_SOURCES = {
    "bullet": "get it with d4rl-pybullet (github.com/takuseno/d4rl-pybullet)",
    "": "download the D4RL file (rail.eecs.berkeley.edu/datasets/offline_rl)",
}


def folders() -> list[Path]:
    """The folders to search, in this order: ``$PRUDENT_DATA``, ``data``, ``datasets``, ``~/.d4rl/datasets``."""
    configured = [files.expand_user(p) for p in os.environ.get("PRUDENT_DATA", "").split(os.pathsep) if p]
    return [*configured, Path("data"), Path("datasets"), files.expand_user("~/.d4rl/datasets")]


def find(name: str) -> list[Path]:
    """The files that make up the dataset ``name``, such as ``hopper-medium-expert-v2``.

    Dashes and underscores are the same. The file's name may lack the version, but not have another one. A
    ``medium-expert`` dataset without a file of its own is its medium file followed by its expert file.

    Raises:
        DataError: there is no such file; the line says which folders were searched and where to get it.
    """
    file = _file(name)
    if file is not None:
        return [file]
    task = re.fullmatch(r"(.+)[-_]medium[-_]expert(-v\d+)?", name)
    if task:
        version = task[2] or ""
        parts = [_file(f"{task[1]}-medium{version}"), _file(f"{task[1]}-expert{version}")]
        both = [part for part in parts if part is not None]
        if len(both) == 2:
            return both
    advice = next(text for word, text in _SOURCES.items() if word in name)
    searched = ", ".join(str(folder) for folder in folders())
    raise DataError(
        f"{name}: no built-in dataset and no file of that name ({', '.join(EXTENSIONS)}) in {searched}; "
        f"{advice} and put it there, set PRUDENT_DATA, or name a Minari dataset (minari:namespace/name-vN)"
    )


def _file(name: str) -> Path | None:
    full = _normalise(name)
    bare = _VERSION.sub("", full)
    versioned: list[tuple[int, Path]] = []
    unversioned: Path | None = None
    for folder in folders():
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.suffix.lower() not in EXTENSIONS or not path.is_file():
                continue
            stem = _normalise(path.stem)
            if stem == full:
                return path
            if stem == bare and unversioned is None:
                unversioned = path
            version = _VERSION.search(stem)
            if version and full == bare and _VERSION.sub("", stem) == bare:
                versioned.append((int(version[1]), path))
    if unversioned is not None:
        return unversioned
    return max(versioned, key=lambda item: item[0])[1] if versioned else None


def _normalise(name: str) -> str:
    return name.lower().replace("_", "-")

"""Finding a dataset by name among local files."""

import os
import re
from pathlib import Path

from prudent.errors import DataError

EXTENSIONS = (".hdf5", ".h5", ".npz")
_VERSION = re.compile(r"-v(\d+)$")
_HOW = {
    "bullet": "get it with d4rl-pybullet (github.com/takuseno/d4rl-pybullet)",
    "": "download the D4RL file (rail.eecs.berkeley.edu/datasets/offline_rl)",
}


def folders() -> list[Path]:
    """Where to look, in this order: ``$PRUDENT_DATA``, ``data``, ``datasets``, ``~/.d4rl/datasets``."""
    named = [Path(p).expanduser() for p in os.environ.get("PRUDENT_DATA", "").split(os.pathsep) if p]
    return [*named, Path("data"), Path("datasets"), Path("~/.d4rl/datasets").expanduser()]


def find(name: str) -> list[Path]:
    """The files that make up the dataset ``name``, such as ``hopper-medium-expert-v2``.

    Dashes and underscores are the same, the version may be missing from the file's name but never differ. A
    ``medium-expert`` set without a file of its own is its medium file followed by its expert file.

    Raises:
        DataError: there is no such file; the line says where it was looked for and how to obtain it.
    """
    found = _file(name)
    if found is not None:
        return [found]
    task = re.fullmatch(r"(.+)[-_]medium[-_]expert(-v\d+)?", name)
    if task:
        version = task[2] or ""
        parts = [_file(f"{task[1]}-medium{version}"), _file(f"{task[1]}-expert{version}")]
        both = [part for part in parts if part is not None]
        if len(both) == 2:
            return both
    how = next(text for word, text in _HOW.items() if word in name)
    looked = ", ".join(str(folder) for folder in folders())
    raise DataError(
        f"{name}: no built-in dataset and no file of that name ({', '.join(EXTENSIONS)}) in {looked}; "
        f"{how} and put it there, set PRUDENT_DATA, or name a Minari dataset (minari:namespace/name-vN)"
    )


def _file(name: str) -> Path | None:
    wanted = _plain(name)
    bare = _VERSION.sub("", wanted)
    versioned: list[tuple[int, Path]] = []
    unversioned: Path | None = None
    for folder in folders():
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.suffix.lower() not in EXTENSIONS or not path.is_file():
                continue
            stem = _plain(path.stem)
            if stem == wanted:
                return path
            if stem == bare and unversioned is None:
                unversioned = path
            version = _VERSION.search(stem)
            if version and wanted == bare and _VERSION.sub("", stem) == bare:
                versioned.append((int(version[1]), path))
    if unversioned is not None:
        return unversioned
    return max(versioned, key=lambda item: item[0])[1] if versioned else None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")

"""The files of a Minari dataset, checked before the ``minari`` package reads them: sizes, links, spaces, counts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.data.choices import declared_first
from prudent.data.columns import check_count, counted
from prudent.data.readers import _arrow, _hdf5, _tree
from prudent.data.readers._budget import Budget
from prudent.data.readers._tree import path_text
from prudent.errors import DataError, in_one_line, shown

if TYPE_CHECKING:
    import h5py

PARTS = ("observations", "actions", "rewards", "terminations", "truncations")
"""The arrays of an episode."""
_METADATA_LIMIT = 8 << 20
_DEPTH = 6
_OTHER_SPACES = ("Dict", "Tuple", "Discrete", "MultiBinary", "MultiDiscrete", "Text", "Graph", "Sequence", "OneOf")
_ADVICE = (
    "load it with Minari, turn every observation and action into a flat row of numbers, "
    "and pass the arrays to prudent.Dataset.from_columns"
)


def metadata_of(folder: Path, name: str) -> dict[str, Any]:
    """The content of ``metadata.json``; both spaces are declared there and can be read.

    Raises:
        DataError: it is damaged, or leaves a space open or nests it.
    """
    path = folder / "metadata.json"
    _check_links(folder, name)
    if path.stat().st_size > _METADATA_LIMIT:
        raise DataError(f"{name}: metadata.json has {path.stat().st_size} bytes, which no real one needs")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: metadata.json cannot be read ({reason(error)})") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{name}: metadata.json is not an object")
    for key in ("observation_space", "action_space"):
        # Without them Minari would build the environment named in the file, which may run anything.
        if not isinstance(metadata.get(key), str):
            raise DataError(f"{name}: metadata.json declares no {key}; the environment is not made to find out")
        _check_space(metadata[key], key, name)
    return metadata


def _check_links(folder: Path, name: str) -> None:
    """Refuse links that lead out of the dataset's folder, and anything that is neither file nor folder."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if not path.resolve().is_relative_to(root):
            raise DataError(f"{name}: {path.relative_to(folder)} is a link that leads out of the dataset's folder")
        if not path.is_file() and not path.is_dir():
            raise DataError(f"{name}: {path.relative_to(folder)} is no regular file")


def _check_space(text: str, key: str, name: str) -> None:
    """Refuse a space before Minari allocates its bounds."""
    try:
        space = json.loads(text)
        kind, shape = space["type"], space.get("shape", [])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{name}: {key} in metadata.json cannot be read ({reason(error)})") from error
    allowed = ("Box",) if key == "observation_space" else ("Box", "Discrete")
    if kind not in allowed:
        known = f"a {kind}" if kind in _OTHER_SPACES else f"of type {shown(kind)}"
        raise DataError(f"{name}: {key} is {known}, only {' and '.join(allowed)} can be read; {_ADVICE}")
    if kind == "Discrete":
        if type(space.get("n")) is not int or type(space.get("start")) is not int:
            raise DataError(f"{name}: {key} needs whole numbers n and start")
        check_count(space["n"], name)
        declared_first(space["start"], None, True, f"{name}: start of {key}")
    flat = isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int and 0 < shape[0] <= 1 << 20
    if kind == "Box" and not flat:
        raise DataError(f"{name}: {key} has shape {shown(shape)}, only flat vectors can be read; {_ADVICE}")


def check_files(folder: Path, metadata: dict[str, Any], name: str) -> list[str]:
    """Check size, type and links of everything that Minari will read; returns notes on what it will not read."""
    budget = Budget()
    kind = metadata.get("data_format", "hdf5")
    if kind not in ("hdf5", "arrow"):
        raise DataError(f"{name}: data_format is {str(kind)[:40]!r}, hdf5 and arrow can be read")
    if kind == "arrow":
        notes = _check_episodes(metadata, sum(path.is_dir() for path in folder.iterdir()), name)
        files = [path for path in sorted(folder.glob("*/*")) if not path.name.startswith((".", "_"))]
        files = [path for path in files if path.name != "metadata.json"]
        _check_distinct(files, folder, name)
        _arrow.check_arrow_files(files, name, budget)
        return notes
    path = folder / "main_data.hdf5"
    if not path.is_file():
        raise DataError(f"{name}: no main_data.hdf5 beside metadata.json")
    with _hdf5.opened(path) as file, _hdf5.reading(path.name):
        notes = _check_episodes(metadata, sum(key.startswith("episode_") for key in file.keys()), name)  # noqa: SIM118
        paths: dict[tuple[int, int], str] = {}
        for key in file.keys():  # noqa: SIM118 - typed as str, unlike iteration
            _walk(file, key, key, name, budget, paths)
    budget.settle(name)
    return notes


def _check_distinct(files: list[Path], folder: Path, name: str) -> None:
    """Refuse one file under two names: it would be read once for each."""
    places: dict[tuple[int, int], Path] = {}
    for path in files:
        found = path.stat()
        first = places.setdefault((found.st_dev, found.st_ino), path)
        if first != path:
            here, there = (path_text(str(place.relative_to(folder))) for place in (path, first))
            raise DataError(f"{name}: {here} and {there} are one file (a link), not two: copy it")


def _check_episodes(metadata: dict[str, Any], in_files: int, name: str) -> list[str]:
    count = metadata.get("total_episodes")
    # Minari makes a list of that many numbers before it looks for the first episode.
    if type(count) is not int or not 0 <= count <= in_files:
        raise DataError(f"{name}: metadata.json declares {str(count)[:40]} total_episodes, there are {in_files}")
    if count == in_files:
        return []
    return [f"metadata.json declares {counted(count, 'episode')}, the files hold {in_files:,}: the others are not read"]


def _walk(
    group: "h5py.Group",
    key: str,
    where: str,
    name: str,
    budget: Budget,
    paths: dict[tuple[int, int], str],
    depth: int = 0,
) -> None:
    """Check everything below ``group[key]``; ``paths`` holds where each object was met, and each may be met once."""
    import h5py

    node = _hdf5.child(group, key, name, where)
    if node is not None:
        _tree.check_once(node, where, name, paths)
    if isinstance(node, h5py.Group):
        if depth == _DEPTH:
            raise DataError(f"{name}: {path_text(where)} is nested more than {_DEPTH} deep")
        for inner in node.keys():  # noqa: SIM118
            _walk(node, inner, f"{where}/{inner}", name, budget, paths, depth + 1)
    elif isinstance(node, h5py.Dataset):
        if key in PARTS and node.dtype.kind not in "fiub":
            raise DataError(f"{name}: {path_text(where)} holds objects or text, not numbers")
        _hdf5.spend(node, where, name, budget)


def reason(error: BaseException) -> str:
    """What another library says, which may repeat a whole file."""
    text = in_one_line(error)
    return text if len(text) <= 200 else f"{text[:200]} ..."

"""Minari datasets: the files are checked first, then the ``minari`` package reads them."""

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.data.choices import declared_first
from prudent.data.columns import check_count, counted, flags
from prudent.data.dataset import Dataset
from prudent.data.readers import _arrow, _hdf5
from prudent.data.readers._bounds import with_user
from prudent.data.readers._budget import Budget
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError, in_one_line, shown

if TYPE_CHECKING:
    import h5py

ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_PARTS = ("observations", "actions", "rewards", "terminations", "truncations")
_METADATA_LIMIT = 8 << 20
_DEPTH = 6
_UNIT = {"observations": "feature", "actions": "feature", "masks": "action"}
_OTHER_SPACES = ("Dict", "Tuple", "Discrete", "MultiBinary", "MultiDiscrete", "Text", "Graph", "Sequence", "OneOf")
_ADVICE = (
    "load it with Minari, turn every observation and action into a flat row of numbers, "
    "and pass the arrays to prudent.Dataset.from_columns"
)


def read(source: str | Path, user: Declared = UNDECLARED) -> Dataset:
    """Read a local Minari dataset: an id such as ``mujoco/hopper/medium-v0``, or its folder.

    Observations carry T + 1 rows per episode and actions T, so every step has its own successor and none is
    dropped. Bounds come from the declared action space; what it leaves open, the user has to say. The environment
    named in the file is never made. Only ``Box`` observations of one dimension with ``Box`` or ``Discrete`` actions are
    read, both declared in the metadata. Discrete actions keep their numbers, from ``start`` on. Their
    ``infos/action_mask``, T + 1 rows per episode, becomes masks.

    Raises:
        DataError: one line naming the dataset, the key and the reason; if there is no such dataset, where it was
            looked for and how to obtain it.
    """
    folder, name = _locate(source)
    metadata = _metadata(folder, name)
    _check_files(folder, metadata, name)
    try:
        import minari
    except ImportError as error:
        raise DataError(f'{name}: Minari is not installed, try: pip install "prudent[minari]"') from error
    try:
        dataset = minari.MinariDataset(folder)
        spaces = _spaces(dataset.observation_space, dataset.action_space)
        episodes = [_episode(episode, spaces, name) for episode in dataset.iterate_episodes()]
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: Minari cannot read it ({_reason(error)})") from error
    if not episodes:
        raise DataError(f"{name}: the dataset has no episodes")
    return _assemble(episodes, spaces, name, user)


def datasets_folder() -> Path:
    """Where Minari keeps its datasets on this machine."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path("~/.minari/datasets").expanduser())


def _locate(source: str | Path) -> tuple[Path, str]:
    """The folder that holds the data, and a name for messages."""
    path = Path(source).expanduser()
    if path.is_dir():
        for folder in (path, path / "data"):
            if (folder / "metadata.json").is_file():
                return folder, path.name if path.name != "data" else path.parent.name
        raise DataError(f"{source}: a folder, but not of a Minari dataset (no data/metadata.json)")
    identifier = str(source)
    if not ID.fullmatch(identifier):
        raise DataError(f"{identifier}: not a Minari id (namespace/name-vN) and not a folder")
    root = datasets_folder()
    folder = root / identifier / "data"
    if not (folder / "metadata.json").is_file():
        raise DataError(
            f"{identifier}: no such Minari dataset in {root}; obtain it with: minari download {identifier} "
            "(MINARI_DATASETS_PATH sets another folder)"
        )
    return folder, identifier


def _metadata(folder: Path, name: str) -> dict[str, Any]:
    path = folder / "metadata.json"
    _check_links(folder, name)
    if path.stat().st_size > _METADATA_LIMIT:
        raise DataError(f"{name}: metadata.json has {path.stat().st_size} bytes, which no real one needs")
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{name}: metadata.json cannot be read ({_reason(error)})") from error
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
        raise DataError(f"{name}: {key} in metadata.json cannot be read ({_reason(error)})") from error
    allowed = ("Box",) if key == "observation_space" else ("Box", "Discrete")
    if kind not in allowed:
        known = f"a {kind}" if kind in _OTHER_SPACES else f"of type {shown(kind)}"
        raise DataError(f"{name}: {key} is {known}, only {' and '.join(allowed)} can be read; {_ADVICE}")
    if kind == "Discrete":
        if type(space.get("n")) is not int or type(space.get("start", 0)) is not int:
            raise DataError(f"{name}: {key} needs whole numbers n and start")
        check_count(space["n"], name)
        declared_first(space.get("start", 0), None, True, name)
    flat = isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int and 0 < shape[0] <= 1 << 20
    if kind == "Box" and not flat:
        raise DataError(f"{name}: {key} has shape {shown(shape)}, only flat vectors can be read; {_ADVICE}")


def _check_files(folder: Path, metadata: dict[str, Any], name: str) -> None:
    """Check size, type and links of everything that Minari will read."""
    budget = Budget()
    kind = metadata.get("data_format", "hdf5")
    if kind not in ("hdf5", "arrow"):
        raise DataError(f"{name}: data_format is {str(kind)[:40]!r}, hdf5 and arrow can be read")
    if kind == "arrow":
        _check_episodes(metadata, sum(path.is_dir() for path in folder.iterdir()), name)
        files = [path for path in sorted(folder.glob("*/*")) if not path.name.startswith((".", "_"))]
        _arrow.check_arrow_files([path for path in files if path.name != "metadata.json"], name, budget)
        return
    path = folder / "main_data.hdf5"
    if not path.is_file():
        raise DataError(f"{name}: no main_data.hdf5 beside metadata.json")
    with _hdf5.opened(path) as file, _hdf5.reading(path.name):
        _check_episodes(metadata, len(file), name)
        paths: dict[tuple[int, int], str] = {}
        for key in file.keys():  # noqa: SIM118 - typed as str, unlike iteration
            _walk(file, key, key, name, budget, paths)
    budget.settle(name)


def _check_episodes(metadata: dict[str, Any], in_files: int, name: str) -> None:
    count = metadata.get("total_episodes")
    # Minari makes a list of that many numbers before it looks for the first episode.
    if type(count) is not int or not 0 <= count <= in_files:
        raise DataError(f"{name}: metadata.json declares {str(count)[:40]} total_episodes, there are {in_files}")


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
    from h5py import h5o  # pyright: ignore[reportAttributeAccessIssue] - its types do not list it

    node = _hdf5.child(group, key, name, where)
    if node is not None:
        info = h5o.get_info(node.id)
        # An object under several names would be visited, and read, once for each: a few bytes would become gigabytes.
        first = paths.setdefault((info.fileno, info.addr), where)
        if first != where:
            raise DataError(f"{name}: {_path(where)} and {_path(first)} are one object (a hard link), not two")
    if isinstance(node, h5py.Group):
        if depth == _DEPTH:
            raise DataError(f"{name}: {_path(where)} is nested more than {_DEPTH} deep")
        for inner in node.keys():  # noqa: SIM118
            _walk(node, inner, f"{where}/{inner}", name, budget, paths, depth + 1)
    elif isinstance(node, h5py.Dataset):
        if key in _PARTS and node.dtype.kind not in "fiub":
            raise DataError(f"{name}: {_path(where)} holds objects or text, not numbers")
        _hdf5.spend(node, where, name, budget)


def _path(where: str) -> str:
    """A path inside the file for a message: as it is, or quoted if it is long or has control characters."""
    return where if where.isprintable() and len(where) <= 80 else shown(where)


def _reason(error: BaseException) -> str:
    """What another library says, which may repeat a whole file."""
    text = in_one_line(error)
    return text if len(text) <= 200 else f"{text[:200]} ..."


# --- content ------------------------------------------------------------------------------------------------


def _spaces(observation: Any, action: Any) -> dict[str, Any]:
    """Sizes and bounds of the declared spaces. They are Gymnasium's, which is not imported here."""
    if hasattr(action, "n"):
        return {
            "discrete": True,
            "n": int(action.n),
            "start": int(action.start),
            "size": observation.shape[0],
        }
    return {
        "discrete": False,
        "low": np.asarray(action.low, dtype=np.float64),
        "high": np.asarray(action.high, dtype=np.float64),
        "size": observation.shape[0],
        "features": action.shape[0],
    }


def _episode(episode: Any, spaces: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """The arrays of one episode of T steps: T + 1 observations, and T + 1 masks if they were recorded.

    Raises:
        DataError: a length, width or flag is not what the declared spaces and the rewards ask for.
    """
    parts = {key: np.asarray(getattr(episode, key)) for key in _PARTS}
    steps = len(parts["rewards"])
    infos = episode.infos if isinstance(episode.infos, dict) else {}
    if infos.get("action_mask") is not None:
        parts["masks"] = np.asarray(infos["action_mask"])
    for key, array in parts.items():
        expected = steps + 1 if key in ("observations", "masks") else steps
        if len(array) != expected:
            missing = ": the last observation is missing" if (key, len(array)) == ("observations", steps) else ""
            raise DataError(
                f"{name}: episode {episode.id} has {len(array)} {key} for {steps} rewards, expected {expected}{missing}"
            )
    where = f"{name}: episode {episode.id}"
    _check_width(parts["observations"], "observations", spaces["size"], "observation_space", where)
    if not spaces["discrete"]:
        _check_width(parts["actions"], "actions", spaces["features"], "action_space", where)
    elif parts["actions"].size != steps:
        raise DataError(f"{where} has actions of shape {parts['actions'].shape}, expected one number per step")
    elif "masks" in parts:
        _check_width(parts["masks"], "masks", spaces["n"], "action_space", where)
    if parts["rewards"].size != steps:
        raise DataError(f"{where} has rewards of shape {parts['rewards'].shape}, expected one number per step")
    ends = {key: flags(parts[key], key, where) for key in ("terminations", "truncations")}
    one_per_step = {key: parts[key].reshape(steps) for key in ("rewards", "actions")[: 1 + spaces["discrete"]]}
    return parts | ends | one_per_step


def _check_width(array: np.ndarray, key: str, width: int, space: str, where: str) -> None:
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(f"{where} has {key} of shape {array.shape}, but {space} declares {counted(width, _UNIT[key])}")


def _assemble(
    episodes: list[dict[str, np.ndarray]],
    spaces: dict[str, Any],
    name: str,
    user: Declared,
) -> Dataset:
    notes = []
    empty = sum(len(e["rewards"]) == 0 for e in episodes)
    episodes = [e for e in episodes if len(e["rewards"])]
    if empty:
        notes.append(f"{counted(empty, 'episode')} without a step left out")
    if not episodes:
        raise DataError(f"{name}: no episode has a step")
    terminated = np.concatenate([e["terminations"] for e in episodes])
    truncated = np.concatenate([e["truncations"] for e in episodes])
    last = np.cumsum([len(e["rewards"]) for e in episodes]) - 1
    unflagged = int((~(terminated | truncated)[last]).sum())
    if unflagged:
        notes.append(f"{counted(unflagged, 'episode')} without a flag at the end, read as truncated")
    truncated[last] |= ~terminated[last]
    low, high = with_user((user.action_low, user.action_high), (spaces.get("low"), spaces.get("high")), name)
    return Dataset.from_columns(
        observation=np.concatenate([e["observations"][:-1] for e in episodes]),
        action=np.concatenate([e["actions"] for e in episodes]),
        reward=np.concatenate([e["rewards"] for e in episodes]),
        next_observation=np.concatenate([e["observations"][1:] for e in episodes]),
        terminated=terminated,
        truncated=truncated,
        action_low=low,
        action_high=high,
        discrete=spaces["discrete"],
        n_actions=spaces.get("n"),
        first_action=spaces.get("start", 0),
        name=name,
        notes=notes,
        extra=_masks(episodes, name) if spaces["discrete"] else None,
    )


def _masks(episodes: list[dict[str, np.ndarray]], name: str) -> dict[str, np.ndarray]:
    masked = ["masks" in e for e in episodes]
    if not any(masked):
        return {}
    if not all(masked):
        raise DataError(f"{name}: infos/action_mask is in {sum(masked)} of {len(masked)} episodes, not in all")
    return {
        "mask": np.concatenate([e["masks"][:-1] for e in episodes]),
        "next_mask": np.concatenate([e["masks"][1:] for e in episodes]),
    }

"""Minari datasets: the files are checked first, then the ``minari`` package reads them."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent import files
from prudent.data.columns import check_count, counted
from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import Dropped
from prudent.data.readers import _arrow, _hdf5
from prudent.data.readers._budget import Budget
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError, in_one_line
from prudent.progress import watched

if TYPE_CHECKING:
    import h5py

ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_PARTS = ("observations", "actions", "rewards", "terminations", "truncations")
_METADATA_LIMIT = 8 << 20
_DEPTH = 6
DROPPED = "dropped"
"""The key of the description, as JSON, that holds what was lost with dropped rows."""


def read(source: str | Path, user: Declared = UNDECLARED) -> Dataset:
    """Read a local Minari dataset: an id such as ``mujoco/hopper/medium-v0``, or its folder.

    Observations carry T + 1 rows per episode and actions T, so every step has its own successor and none is
    dropped. Bounds come from the declared action space. The environment named in the file is never made. Only
    ``Box`` observations of one dimension with ``Box`` or ``Discrete`` actions are read, both declared in the
    metadata. ``infos/action_mask`` of discrete actions, T + 1 rows per episode, becomes masks.

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
        spaces = _spaces(dataset.observation_space, dataset.action_space, name)
        stored = watched(dataset.iterate_episodes(), f"reading {name}", "episodes", dataset.total_episodes)
        episodes = [_episode(episode, name) for episode in stored]
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: Minari cannot read it ({in_one_line(error)})") from error
    if not episodes:
        raise DataError(f"{name}: the dataset has no episodes")
    return replace(_assemble(episodes, spaces, name, user), dropped=_dropped(metadata, name))


def datasets_folder() -> Path:
    """Where Minari keeps its datasets on this machine."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or files.expand_user("~/.minari/datasets"))


def _locate(source: str | Path) -> tuple[Path, str]:
    """The folder that holds the data, and a name for messages."""
    path = files.expand_user(source)
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
        raise DataError(f"{name}: metadata.json cannot be read ({in_one_line(error)})") from error
    if not isinstance(metadata, dict):
        raise DataError(f"{name}: metadata.json is not an object")
    for key in ("observation_space", "action_space"):
        # Without them Minari would build the environment named in the file, which may run anything.
        if not isinstance(metadata.get(key), str):
            raise DataError(f"{name}: metadata.json declares no {key}; the environment is not made to find out")
        _check_space(metadata[key], key, name)
    return metadata


def _dropped(metadata: dict[str, Any], name: str) -> Dropped | None:
    """What was lost when this library wrote the dataset; it says so in the description."""
    try:
        description = json.loads(metadata.get("description", ""))
    except (ValueError, TypeError, RecursionError):
        return None  # written by hand, or by another tool
    numbers = description.get(DROPPED) if isinstance(description, dict) else None
    try:
        return None if numbers is None else Dropped.from_numbers(numbers)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: {DROPPED} in the description is damaged ({error})") from error


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
        raise DataError(f"{name}: {key} in metadata.json cannot be read ({in_one_line(error)})") from error
    allowed = ("Box",) if key == "observation_space" else ("Box", "Discrete")
    if kind not in allowed:
        raise DataError(f"{name}: {key} is a {kind}, only {' and '.join(allowed)} can be read")
    if kind == "Discrete":
        if type(space.get("n")) is not int or type(space.get("start", 0)) is not int:
            raise DataError(f"{name}: {key} needs whole numbers n and start")
        check_count(space["n"], name)
    flat = isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int and 0 < shape[0] <= 1 << 20
    if kind == "Box" and not flat:
        raise DataError(f"{name}: {key} has shape {shape}, only flat vectors can be read")


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
        for key in file.keys():  # noqa: SIM118 - typed as str, unlike iteration
            _walk(file, key, key, name, budget)
    budget.settle(name)


def _check_episodes(metadata: dict[str, Any], in_files: int, name: str) -> None:
    count = metadata.get("total_episodes")
    # Minari makes a list of that many numbers before it looks for the first episode.
    if type(count) is not int or not 0 <= count <= in_files:
        raise DataError(f"{name}: metadata.json declares {str(count)[:40]} total_episodes, there are {in_files}")


def _walk(group: "h5py.Group", key: str, where: str, name: str, budget: Budget, depth: int = 0) -> None:
    import h5py

    node = _hdf5.child(group, key, name, where)
    if isinstance(node, h5py.Group):
        if depth == _DEPTH:
            raise DataError(f"{name}: {where} is nested more than {_DEPTH} deep")
        for inner in node.keys():  # noqa: SIM118
            _walk(node, inner, f"{where}/{inner}", name, budget, depth + 1)
    elif isinstance(node, h5py.Dataset):
        if key in _PARTS and node.dtype.kind not in "fiub":
            raise DataError(f"{name}: {where} holds objects or text, not numbers")
        _hdf5.spend(node, where, name, budget)


# --- content ------------------------------------------------------------------------------------------------


def _spaces(observation: Any, action: Any, name: str) -> dict[str, Any]:
    """Sizes and bounds of the declared spaces. They are Gymnasium's, which is not imported here."""
    if hasattr(action, "n"):
        return {
            "discrete": True,
            "n": int(action.n),
            "start": int(action.start),
            "size": observation.shape[0],
        }
    low, high = np.asarray(action.low, dtype=np.float64), np.asarray(action.high, dtype=np.float64)
    bounded = bool(np.isfinite(low).all() and np.isfinite(high).all())
    if not bounded and (np.isfinite(low).any() or np.isfinite(high).any()):
        raise DataError(f"{name}: action_space is bounded on some sides only ({low.tolist()} to {high.tolist()})")
    return {
        "discrete": False,
        "low": low if bounded else None,
        "high": high if bounded else None,
        "size": observation.shape[0],
    }


def _episode(episode: Any, name: str) -> dict[str, np.ndarray]:
    """The arrays of one episode of T steps: T + 1 observations, and T + 1 masks if they were recorded."""
    parts = {key: np.asarray(getattr(episode, key)) for key in _PARTS}
    steps = len(parts["rewards"])
    infos = episode.infos if isinstance(episode.infos, dict) else {}
    if infos.get("action_mask") is not None:
        parts["masks"] = np.asarray(infos["action_mask"])
    for key, array in parts.items():
        expected = steps + 1 if key in ("observations", "masks") else steps
        if len(array) != expected:
            raise DataError(
                f"{name}: episode {episode.id} has {len(array)} {key} for {steps} rewards, expected {expected}"
            )
    return parts


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
    terminated = np.concatenate([e["terminations"] for e in episodes]).astype(bool)
    truncated = np.concatenate([e["truncations"] for e in episodes]).astype(bool)
    last = np.cumsum([len(e["rewards"]) for e in episodes]) - 1
    unflagged = int((~(terminated | truncated)[last]).sum())
    if unflagged:
        notes.append(f"{counted(unflagged, 'episode')} without a flag at the end, read as truncated")
    truncated[last] |= ~terminated[last]
    action = np.concatenate([e["actions"] for e in episodes])
    return Dataset.from_columns(
        observation=np.concatenate([e["observations"][:-1] for e in episodes]),
        action=action - spaces["start"] if spaces["discrete"] else action,
        reward=np.concatenate([e["rewards"] for e in episodes]),
        next_observation=np.concatenate([e["observations"][1:] for e in episodes]),
        terminated=terminated,
        truncated=truncated,
        action_low=spaces.get("low") if user.action_low is None else user.action_low,
        action_high=spaces.get("high") if user.action_high is None else user.action_high,
        discrete=spaces["discrete"],
        n_actions=spaces.get("n"),
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

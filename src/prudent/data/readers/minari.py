"""Minari datasets: the files are checked first, then the ``minari`` package reads them."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from prudent import files
from prudent.data.columns import counted, flags, not_finite_rows
from prudent.data.dataset import Dataset
from prudent.data.episodes.dropped import Dropped
from prudent.data.episodes.left_out import NONE, LeftOut
from prudent.data.readers import _names
from prudent.data.readers._bounds import with_user
from prudent.data.readers._minari_files import PARTS, check_files, metadata_of, reason
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError, EpisodeError
from prudent.progress import watched

ID = re.compile(r"(?:[-\w]+/)*[-\w]+-v\d+")
_UNIT = {"observations": "feature", "actions": "feature", "masks": "action"}
DROPPED = "dropped"
"""The key of the description, as JSON, that holds what was lost with dropped rows."""


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
    metadata = metadata_of(folder, name)
    notes = check_files(folder, metadata, name)
    try:
        import minari
    except ImportError as error:
        raise DataError(f'{name}: Minari is not installed, try: pip install "prudent[minari]"') from error
    try:
        dataset = minari.MinariDataset(folder)
        spaces = _spaces(dataset.observation_space, dataset.action_space)
        episodes, found = _episodes(dataset, spaces, name, skip=bool(user.skip_bad_episodes))
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: Minari cannot read it ({reason(error)})") from error
    if not episodes:
        raise DataError(f"{name}: the dataset has no episodes")
    assembled = _assemble(episodes, spaces, name, user, [*notes, *found])
    written = _description(metadata)
    names = _names.meanings(written.get(_names.ENCODING), assembled.spec, name)
    return replace(assembled, dropped=_dropped(written, name), meanings=names)


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


def _description(metadata: dict[str, Any]) -> dict[str, Any]:
    """What this library wrote into the description; empty if somebody else wrote it."""
    try:
        description = json.loads(metadata.get("description", ""))
    except (ValueError, TypeError, RecursionError):
        return {}
    return description if isinstance(description, dict) else {}


def _dropped(description: dict[str, Any], name: str) -> Dropped | None:
    """What was lost when this library wrote the dataset."""
    numbers = description.get(DROPPED)
    try:
        return None if numbers is None else Dropped.from_numbers(numbers)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: {DROPPED} in the description is damaged ({error})") from error


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


def _episodes(
    dataset: Any, spaces: dict[str, Any], name: str, skip: bool
) -> tuple[list[dict[str, np.ndarray]], list[str]]:
    """The arrays of all episodes, and notes; with ``skip`` without those that have a bad row or a wrong length.

    Raises:
        DataError: nothing is left.
    """
    episodes, bad = [], []
    for episode in watched(dataset.iterate_episodes(), f"reading {name}", "episodes", dataset.total_episodes):
        try:
            parts = _episode(episode, spaces, name)
            if skip:
                _check_finite(parts)
            episodes.append(parts)
        except EpisodeError as error:
            if not skip:
                raise
            bad.append((int(episode.id), *error.rows, error.reason))
    if not skip:
        return episodes, []
    if not bad:
        return episodes, [NONE]
    left_out = LeftOut(len(bad), len(bad) + len(episodes), *bad[0])
    left_out.check(name)
    return episodes, [left_out.note()]


def _check_finite(parts: Mapping[str, np.ndarray]) -> None:
    """Refuse an episode with NaN or infinity. After a termination nothing is needed.

    Raises:
        EpisodeError: it has one.
    """
    steps = len(parts["rewards"])
    rows = steps if steps and parts["terminations"][-1] else steps + 1
    for key, word in (
        ("observations", "observation"),
        ("actions", "action"),
        ("rewards", "reward"),
        ("masks", "action mask"),
        ("terminations", "termination"),
        ("truncations", "truncation"),
    ):
        values = parts.get(key)
        if values is not None and values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                bad = not_finite_rows(values[:rows].astype(np.float32, copy=False))
            if len(bad):
                what = "NaN" if np.isnan(values[bad[0]]).any() else "infinite"
                raise EpisodeError("", (int(bad[0]),), f"{word} is {what}")


def _episode(episode: Any, spaces: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    """The arrays of one episode of T steps: T + 1 observations, and T + 1 masks if they were recorded.

    Raises:
        EpisodeError: a length, width or flag is not what the declared spaces and the rewards ask for.
    """
    parts = {key: np.asarray(getattr(episode, key)) for key in PARTS}
    steps = len(parts["rewards"])
    infos = episode.infos if isinstance(episode.infos, dict) else {}
    if infos.get("action_mask") is not None:
        parts["masks"] = np.asarray(infos["action_mask"])
    for key, array in parts.items():
        expected = steps + 1 if key in ("observations", "masks") else steps
        if len(array) != expected:
            missing = ": the last observation is missing" if (key, len(array)) == ("observations", steps) else ""
            raise EpisodeError(
                f"{name}: episode {episode.id} has {len(array)} {key} for {steps} rewards, "
                f"expected {expected}{missing}",
                (min(len(array), expected),),
                f"{len(array)} {key} for {steps} rewards",
            )
    where = f"{name}: episode {episode.id}"
    _check_width(parts["observations"], "observations", spaces["size"], "observation_space", where)
    if not spaces["discrete"]:
        _check_width(parts["actions"], "actions", spaces["features"], "action_space", where)
    elif parts["actions"].size != steps:
        raise _misshapen(where, "actions", parts["actions"], "expected one number per step")
    elif "masks" in parts:
        _check_width(parts["masks"], "masks", spaces["n"], "action_space", where)
    if spaces["discrete"]:
        _check_choices(parts["actions"].reshape(steps), spaces, where)
    if parts["rewards"].size != steps:
        raise _misshapen(where, "rewards", parts["rewards"], "expected one number per step")
    ends = {key: _flags(parts[key], key, where) for key in ("terminations", "truncations")}
    one_per_step = {key: parts[key].reshape(steps) for key in ("rewards", "actions")[: 1 + spaces["discrete"]]}
    return parts | ends | one_per_step | {"id": np.asarray(int(episode.id))}


def _check_choices(actions: np.ndarray, spaces: dict[str, Any], where: str) -> None:
    """Refuse numbers that the declared space does not have; NaN is found later, as in every column."""
    first, last = spaces["start"], spaces["start"] + spaces["n"] - 1
    outside = np.flatnonzero((actions < first) | (actions > last))
    if len(outside):
        raise DataError(
            f"{where} has action {actions[outside[0]]} in step {outside[0]}, "
            f"but action_space declares {first} to {last}"
        )


def _check_width(array: np.ndarray, key: str, width: int, space: str, where: str) -> None:
    if array.ndim != 2 or array.shape[1] != width:
        raise _misshapen(where, key, array, f"but {space} declares {counted(width, _UNIT[key])}")


def _misshapen(where: str, key: str, array: np.ndarray, expected: str) -> EpisodeError:
    return EpisodeError(f"{where} has {key} of shape {array.shape}, {expected}", (0,), f"{key} of shape {array.shape}")


def _flags(array: np.ndarray, key: str, where: str) -> np.ndarray:
    try:
        return flags(array, key, where)
    except DataError as error:
        raise EpisodeError(str(error), (0,), f"{key} is not true/false or 0/1") from error


def _assemble(
    episodes: list[dict[str, np.ndarray]],
    spaces: dict[str, Any],
    name: str,
    user: Declared,
    found: list[str],
) -> Dataset:
    notes = [*found]
    empty = sum(len(e["rewards"]) == 0 for e in episodes)
    episodes = [e for e in episodes if len(e["rewards"])]
    ids = [int(e["id"]) for e in episodes]
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
    inside = terminated | truncated
    inside[last] = False
    if inside.any():
        row = int(np.flatnonzero(inside)[0])
        first = int(np.searchsorted(last, row))
        notes.append(
            f"{counted(int(inside.sum()), 'row')} with a flag after which the recording goes on, the first is "
            f"row {row - int(last[first - 1] + 1 if first else 0)} of episode {ids[first]}: the episode ends there, "
            "and another begins"
        )
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

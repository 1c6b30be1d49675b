"""Looks up a dataset by name among local files."""

import os
import re
from pathlib import Path

from prudent import files
from prudent.errors import DataError

EXTENSIONS = (".hdf5", ".h5", ".npz")
_VERSION = re.compile(r"-v(\d+)$")
_SOURCES = {
    "-bullet": "get it with d4rl-pybullet (github.com/takuseno/d4rl-pybullet)",
    "": "download the D4RL file (rail.eecs.berkeley.edu/datasets/offline_rl)",
}
_ANTMAZES = {
    "umaze": "u-maze_noisy_multistart_False_multigoal_False_sparse",
    "umaze-diverse": "u-maze_noisy_multistart_True_multigoal_True_sparse",
    "medium-play": "big-maze_noisy_multistart_True_multigoal_False_sparse",
    "medium-diverse": "big-maze_noisy_multistart_True_multigoal_True_sparse",
    "large-play": "hardest-maze_noisy_multistart_True_multigoal_False_sparse",
    "large-diverse": "hardest-maze_noisy_multistart_True_multigoal_True_sparse",
}
# D4RL's datasets whose file has another name: facts from github.com/Farama-Foundation/D4RL, d4rl/infos.py.
_FILES = {
    **{f"antmaze-{maze}-v0": f"Ant_maze_{stem}" for maze, stem in _ANTMAZES.items()},
    **{f"antmaze-{maze}-v2": f"Ant_maze_{stem}_fixed" for maze, stem in _ANTMAZES.items()},
    **{f"{robot}-medium-replay-v0": f"{robot}_mixed" for robot in ("ant", "halfcheetah", "hopper")},
    "walker2d-medium-replay-v0": "walker_mixed",
    **{f"{task}-human-v0": f"{task}-v0_demos_clipped" for task in ("door", "hammer", "pen", "relocate")},
    **{f"{task}-cloned-v0": f"{task}-demos-v0-bc-combined" for task in ("door", "hammer", "pen", "relocate")},
    **{f"{task}-expert-v0": f"{task}-v0_expert_clipped" for task in ("door", "hammer", "pen", "relocate")},
    "maze2d-open-v0": "maze2d-open-sparse",
    **{f"maze2d-{size}-v1": f"maze2d-{size}-sparse-v1" for size in ("umaze", "medium", "large")},
    **{f"maze2d-eval-{size}-v1": f"maze2d-eval-{size}-sparse-v1" for size in ("umaze", "medium", "large")},
    **{f"bullet-maze2d-{size}-v0": f"bullet-maze2d-{size}-sparse" for size in ("open", "umaze", "medium", "large")},
    "minigrid-fourrooms-v0": "minigrid4rooms",
    "minigrid-fourrooms-random-v0": "minigrid4rooms_random",
    "kitchen-complete-v0": "mini_kitchen_microwave_kettle_light_slider-v0",
    "kitchen-partial-v0": "kitchen_microwave_kettle_light_slider-v0",
    "kitchen-mixed-v0": "kitchen_microwave_kettle_bottomburner_light-v0",
    **{f"flow-{road}-random-v0": f"flow-{road}-v0-random" for road in ("ring", "merge")},
    **{f"flow-{road}-controller-v0": f"flow-{road}-v0-idm" for road in ("ring", "merge")},
    "carla-lane-v0": "carla_lane_follow_flat-v0",
    "carla-town-v0": "carla_town_subsamp_flat-v0",
    "carla-town-full-v0": "carla_town_flat-v0",
}


def folders() -> list[Path]:
    """The folders to search, in this order: ``$PRUDENT_DATA``, ``data``, ``datasets``, ``~/.d4rl/datasets``."""
    configured = [files.expand_user(p) for p in os.environ.get("PRUDENT_DATA", "").split(os.pathsep) if p]
    return [*configured, Path("data"), Path("datasets"), files.expand_user("~/.d4rl/datasets")]


def find(name: str) -> list[Path]:
    """The files that make up the dataset ``name``, such as ``hopper-medium-expert-v2``.

    Dashes and underscores are the same. The file's name may lack the version, but not have another one, or be the one
    that D4RL downloads (``walker_mixed.hdf5`` for ``walker2d-medium-replay-v0``). A ``medium-expert`` dataset without a
    file of its own is its medium file followed by its expert file.

    Raises:
        DataError: there is no such file; the line says which folders were searched and where to get it.
    """
    for candidate in (name, _FILES.get(_normalise(name))):
        if candidate is not None and (file := _file(candidate)) is not None:
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

"""What several verbs share: the flags that tell about files of data, and folders not taken yet."""

import sys
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError


def to_stderr(line: str) -> None:
    """What is not a result goes to standard error."""
    print(line, file=sys.stderr)


def free_folder(stem: str) -> Path:
    """``stem``, or with the first number behind it that makes it new."""
    names = (stem + (f"-{i}" if i > 1 else "") for i in range(1, 1_000_000))
    return next(Path(name) for name in names if not Path(name).exists())


def check_folder(path: Path) -> None:
    """Refuse a run, or a checkpoint of one, that is no folder, or holds the runs of several groups.

    Raises:
        ConfigError: it is not there, a file, or such a folder.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: a file, expected a run folder" if path.is_file() else f"{path}: no such folder")
    check_one_run(path)


def check_one_run(path: Path) -> None:
    """Refuse a folder that holds the runs of several groups.

    Raises:
        ConfigError: it does; the line names them.
    """
    from prudent.training import groups

    if groups.is_in(path):
        raise ConfigError(f"{path} holds a run for each of {' '.join(groups.runs_of(path))}: name one of them")


def add_data_flags(parser: Any) -> None:
    group = parser.add_argument_group("data")
    group.add_argument("--dones", choices=("terminated", "truncated"), help="what dones mean where a file cannot tell")
    group.add_argument(
        "--action-low", type=float, nargs="+", metavar="X", help="lower action bound, one or one per feature"
    )
    group.add_argument("--action-high", type=float, nargs="+", metavar="X", help="upper action bound")
    group.add_argument(
        "--discrete", choices=("yes", "no"), help="whether actions are choices, where a file does not say"
    )
    # Not --n-actions: that is a setting of CQL.
    group.add_argument("--action-count", type=int, metavar="N", help="how many discrete actions there are")
    group.add_argument("--map", metavar="FILE", help="TOML file: which column of a CSV or Parquet table means what")
    group.add_argument("--horizon", type=int, metavar="N", help="time limit of the task, for files without timeouts")


def data_options(given: dict[str, Any], named: object = True) -> dict[str, Any]:
    """What the flags of :func:`add_data_flags` say, as ``load_dataset`` takes it; ``named`` are the data they are for.

    Raises:
        ConfigError: they say something, and there are none: what a run learned from is read as it was then.
    """
    names = ("dones", "action_low", "action_high", "discrete", "action_count", "horizon", "map")
    found = {name: given[name] for name in names if given.get(name) is not None}
    if found and not named:
        flag = next(iter(found)).replace("_", "-")
        raise ConfigError(f"--{flag} says how to read data that are named here; the run's own are read as before")
    if "discrete" in found:
        found["discrete"] = found["discrete"] == "yes"
    if "action_count" in found:
        found["n_actions"] = found.pop("action_count")
    if "map" in found:
        found["mapping"] = found.pop("map")
    for name in ("action_low", "action_high"):
        if name in found and len(found[name]) == 1:
            found[name] = found[name][0]
    return found


def own_dataset(path: Path) -> Any:
    """What the run, or the run of a checkpoint, was trained on.

    Raises:
        ConfigError, DataError: nothing says what that was, or it is not there any more.
    """
    from prudent.runs.folder import dataset_of, folder_of, read_run

    folder = folder_of(path)
    if folder is None:
        raise ConfigError(f"{path} does not say what it was trained on: name the log with --data")
    return dataset_of(folder, read_run(folder), None)


def named_runs(words: list[str], verb: str) -> dict[str, Path]:
    """``NAME=RUN`` words as paths by name.

    Raises:
        ConfigError: one is not of that form, or a name comes twice.
    """
    pairs = [text.partition("=") for text in words]
    if any(not all(pair) for pair in pairs) or any(Path(text).is_dir() for text in words):
        raise ConfigError(f"{verb}: --compare takes NAME=RUN, such as BC=runs/bc")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ConfigError(f"{verb}: --compare needs a name of its own for each run")
    return {name: Path(run) for name, _, run in pairs}

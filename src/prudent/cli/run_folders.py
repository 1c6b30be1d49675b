"""The run folders that a verb is given: checks, names for new ones, and the dataset that a run was trained on."""

import sys
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError


def to_stderr(line: str) -> None:
    """Print a line that is not a result."""
    print(line, file=sys.stderr, flush=True)


def free_folder(stem: str) -> Path:
    """``stem`` if nothing is there, else the first of ``stem-2``, ``stem-3``, ... that is free."""
    names = (stem + (f"-{i}" if i > 1 else "") for i in range(1, 1_000_000))
    return next(Path(name) for name in names if not Path(name).exists())


def check_folder(path: Path) -> None:
    """Refuse a path that is not a folder, a folder with the runs of several groups, and a tuned one without a policy.

    Raises:
        ConfigError: the path does not exist, is a file, or is such a folder.
        PrudentError: the ``tune.json`` of a tuned folder is damaged.
    """
    from prudent.runs import tuned

    if not path.is_dir():
        raise ConfigError(f"{path}: a file, expected a run folder" if path.is_file() else f"{path}: no such folder")
    check_one_run(path)
    if tuned.is_tuned(path):
        tuned.policy_of(path)


def check_one_run(path: Path) -> None:
    """Refuse a folder with the runs of several groups.

    Raises:
        ConfigError: it is one; the message lists the runs.
    """
    from prudent.training import groups

    if groups.is_in(path):
        raise ConfigError(f"{path} holds a run for each of {' '.join(groups.runs_of(path))}: name one of them")


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder, not a checkpoint alone."""
    return (path / "config.json").is_file()


def training_data(path: Path) -> Any:
    """The dataset that a run was trained on; ``path`` is its folder, one of its checkpoints, or a tuned folder.

    Raises:
        ConfigError, DataError: the run does not say which dataset, or the dataset cannot be found.
    """
    from prudent.runs import tuned
    from prudent.runs.folder import dataset_of, folder_of, read_run

    if tuned.is_tuned(path):
        return tuned.part(path, "train")
    folder = folder_of(path)
    if folder is None:
        raise ConfigError(f"{path} does not say what it was trained on: name the log with --data")
    return dataset_of(folder, read_run(folder), None)


def named_runs(words: list[str], verb: str) -> dict[str, Path]:
    """Paths by name, from ``NAME=RUN`` words.

    Raises:
        ConfigError: a word is not of that form, or two have the same name.
    """
    pairs = [text.partition("=") for text in words]
    if any(not all(pair) for pair in pairs) or any(Path(text).is_dir() for text in words):
        raise ConfigError(f"{verb}: --compare takes NAME=RUN, such as BC=runs/bc")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ConfigError(f"{verb}: --compare needs a different name for each run")
    return {name: Path(run) for name, _, run in pairs}

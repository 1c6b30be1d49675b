"""The run folder: what was asked (config.json), on what (environment.json), how it stands (status.json)."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prudent import algorithms, files
from prudent.config import from_json, to_json
from prudent.data import Dataset, load_dataset
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.errors import ConfigError, DataError, PrudentError


def check_free(path: Path, hint: str = "") -> None:
    """Refuse a folder that holds something, or that cannot be made.

    Raises:
        ConfigError: it does (the line ends in ``hint``), or its place is a file or may not be written to.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = hint or f"choose another folder, or continue a run with --resume {path}"
        raise ConfigError(f"{path} exists and is not empty: {hint}")
    place = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not place.is_dir():
        raise ConfigError(f"{path} cannot be created: {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} cannot be created: {place} may not be written to")


def create(path: Path) -> Path:
    """A new, empty folder.

    Raises:
        ConfigError: the folder cannot be made.
    """
    try:
        return files.make_folder(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from training in a run folder; the lock leaves no file and ends with the process.

    Raises:
        ConfigError: another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another process is training in {path}") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any], durable: bool = True) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never half of it."""
    files.replace(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode(), durable)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run folder.

    Raises:
        PrudentError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise PrudentError(
            f"{path.parent} is not a run folder: {path.name} cannot be read ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PrudentError(f"{path} is damaged: not JSON") from error
    if not isinstance(content, dict):
        raise PrudentError(f"{path} is damaged: not a JSON object")
    return content


def read_run(run: Path) -> dict[str, Any]:
    """``config.json``, checked to hold what going on with a run needs.

    Raises:
        PrudentError: this is no run folder, or the file is damaged.
    """
    stored = read_json(run / "config.json")
    kinds = {"algorithm": str, "config": dict, "members": list, "train": dict, "dataset": dict}
    for key, kind in kinds.items():
        if not isinstance(stored.get(key), kind):
            raise PrudentError(f"{run / 'config.json'} is damaged: {key} is missing or of the wrong kind")
    if "fingerprint" not in stored["dataset"]:
        raise PrudentError(f"{run / 'config.json'} is damaged: the dataset has no fingerprint")
    return stored | {"algorithm": algorithms.stored(stored["algorithm"])}


def members(stored: Mapping[str, Any]) -> list[Member]:
    """The members that :func:`describe` described.

    Raises:
        PrudentError: they do not fit this version of prudent.
    """
    config_type = algorithms.get(stored["algorithm"]).Config
    found = []
    for member in stored["members"]:
        own = {key: value for key, value in member.items() if key not in ("name", "seed")}
        found.append(Member(member["name"], member["seed"], from_json(config_type, {**stored["config"], **own})))
    return found


def registered(env_id: str) -> str:
    """An environment's id out of a file, if it is a plain one.

    Raises:
        PrudentError: it names a module: importing what a file says would run a stranger's code.
    """
    if ":" in env_id:
        raise PrudentError(f"the run names the environment {env_id!r}, which would import a module: give it with --env")
    return env_id


def folder_of(path: Path) -> Path | None:
    """The run folder that ``path`` is, or of which it is a checkpoint; None where it is neither."""
    return next((folder for folder in (path, path.parent.parent) if (folder / "config.json").is_file()), None)


def environment_of(path: Path) -> str:
    """The environment a run (or a checkpoint of it) was evaluated in.

    Raises:
        PrudentError: nothing says which.
    """
    folder = folder_of(path)
    if folder is None:
        raise PrudentError(f"{path} does not say which environment it is for: name one with --env")
    env = read_json(folder / "config.json").get("env")
    if env is None:
        raise PrudentError(f"{folder} was trained without an environment: name one with --env")
    return registered(env)


def describe(
    population: Population, dataset: Dataset, settings: Mapping[str, Any], problems: Sequence[str] = ()
) -> dict[str, Any]:
    """``config.json``: the algorithm, every setting, the members, the dataset and its ``problems``, how training was
    asked for."""
    configs = [to_json(m.config) for m in population.members]
    shared = {key: value for key, value in configs[0].items() if all(c[key] == value for c in configs)}
    return {
        "algorithm": population.algorithm_name,
        "config": {key: shared.get(key, [c[key] for c in configs]) for key in configs[0]},
        "members": [
            {"name": m.name, "seed": m.seed, **{k: c[k] for k in c if k not in shared}}
            for m, c in zip(population.members, configs, strict=True)
        ],
        "train": dict(settings),
        "env": settings.get("env"),
        "dataset": {
            "name": dataset.name,
            "transitions": len(dataset),
            "episodes": dataset.n_episodes,
            "mean_return": float(dataset.episode_returns.mean()),
            "fingerprint": dataset.fingerprint,
            "notes": list(dataset.notes),
            "problems": list(problems),
        },
    }


def check_writable(folder: Path) -> None:
    """Refuse a run folder that nothing can be added to.

    Raises:
        ConfigError: this is one.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} may not be written to: mend its permissions, or copy it and resume the copy")


def dataset_of(folder: Path, stored: Mapping[str, Any], dataset: Dataset | None) -> Dataset:
    """The dataset of a run, found again where it was unless it is given.

    Raises:
        ConfigError: nothing says where it was, it is not the one the run was trained on, or its columns are not there.
        DataError: it is not there any more, or cannot be read.
    """
    if dataset is None:
        sources = stored["train"].get("sources")
        if sources is None:
            raise ConfigError(f"{folder} was trained on a dataset that lived in memory: name it, or hand it over")
        try:
            dataset = load_dataset(**sources)
        except (DataError, ConfigError) as error:
            raise type(error)(f"{error} (the data of {folder}; if they are elsewhere now, name them)") from error
    if dataset.fingerprint != stored["dataset"]["fingerprint"]:
        raise ConfigError(f"{folder} was trained on other data than {dataset.name} holds now (fingerprint differs)")
    return dataset

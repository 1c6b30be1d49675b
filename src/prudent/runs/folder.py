"""A run folder: creating and locking it, its JSON files, and what ``config.json`` says."""

import inspect
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prudent import algorithms, files
from prudent.config import from_json
from prudent.data import Dataset, load_dataset
from prudent.engine.members import Member
from prudent.errors import MISFITS, ConfigError, DataError, PrudentError, in_one_line, shown
from prudent.runs.foreign import check_plain, parse_json, read_bytes


def check_free(path: Path, hint: str = "") -> None:
    """Refuse a folder that is not empty or that cannot be created.

    Raises:
        ConfigError: it is not empty (the line ends with ``hint``), it is a file or a link to nothing, or its parent is
            read-only.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        hint = hint or f"choose another folder, or continue a run with --resume {path}"
        raise ConfigError(f"{path} exists and is not empty: {hint}")
    if stray := files.stray_link(path):
        raise ConfigError(f"{path} cannot be created: {stray}")
    parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not parent.is_dir():
        raise ConfigError(f"{path} cannot be created: {parent} is a file")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"{path} cannot be created: {parent} may not be written to")


def create(path: Path) -> Path:
    """Create an empty folder.

    Raises:
        ConfigError: it cannot be created.
    """
    if stray := files.stray_link(path):
        raise ConfigError(f"{path} cannot be created: {stray}")
    try:
        return files.make_folder(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from training in a run folder. The lock is no file; it ends with the process.

    Raises:
        ConfigError: another process holds it.
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
    """Write a JSON file. A reader sees the old file or the new one, never half of it.

    Raises:
        PrudentError: a figure is infinite or NaN, as those of edited files may be: JSON has neither.
    """
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except ValueError as error:
        raise PrudentError(f"{path} cannot be written: a figure in it is infinite or NaN") from error
    files.replace(path, (text + "\n").encode(), durable)


def read_json(path: Path, strict: bool = True) -> dict[str, Any]:
    """A JSON file of a run folder. ``strict=False`` accepts NaN, for files that are only displayed.

    Raises:
        PrudentError: it is missing or damaged.
    """
    try:
        content = parse_json(read_bytes(path), strict)
    except OSError as error:
        raise PrudentError(
            f"{path.parent} is not a run folder: {path.name} cannot be read ({error.strerror})"
        ) from error
    except ValueError as error:
        raise PrudentError(f"{path} is damaged: not JSON") from error
    if not isinstance(content, dict):
        raise PrudentError(f"{path} is damaged: not a JSON object")
    return content


def read_run(run: Path) -> dict[str, Any]:
    """``config.json``, checked for the keys that resuming a run needs.

    Raises:
        PrudentError: this is no run folder, or the file is damaged.
    """
    check_plain(run)
    stored = read_json(run / "config.json")
    kinds = {"algorithm": str, "config": dict, "members": list, "train": dict, "dataset": dict}
    for key, kind in kinds.items():
        if not isinstance(stored.get(key), kind):
            raise PrudentError(f"{run / 'config.json'} is damaged: {key} is missing or of the wrong kind")
    if "fingerprint" not in stored["dataset"]:
        raise PrudentError(f"{run / 'config.json'} is damaged: the dataset has no fingerprint")
    return stored | {"algorithm": algorithms.stored(stored["algorithm"])}


def members(stored: Mapping[str, Any]) -> list[Member]:
    """The members of a run, from its ``config.json``.

    Raises:
        PrudentError: their settings do not fit this version of prudent.
    """
    algorithms.check_code(stored["algorithm"], stored.get("code"), "the run")
    config_type = algorithms.get(stored["algorithm"]).Config
    result = []
    for member in stored["members"]:
        if not isinstance(member, dict) or type(member.get("name")) is not str or type(member.get("seed")) is not int:
            raise PrudentError(f"config.json is damaged: a member without name and seed ({shown(member)})")
        settings = {key: value for key, value in member.items() if key not in ("name", "seed")}
        all_settings = algorithms.stored_settings(stored["algorithm"], {**stored["config"], **settings})
        try:
            config = from_json(config_type, all_settings)
        except PrudentError:
            raise
        except MISFITS as error:
            raise PrudentError(f"config.json is damaged: {in_one_line(error)}") from error
        result.append(Member(member["name"], member["seed"], config))
    if not result:
        raise PrudentError("config.json is damaged: the run has no members")
    return result


def safe_env_id(env_id: str) -> str:
    """An environment id that was read from a file, if it is safe to make.

    Raises:
        PrudentError: it names a module. Importing it would run code that a stranger chose.
    """
    if not isinstance(env_id, str):
        raise PrudentError(f"the run's config.json is damaged: the environment is {shown(env_id)}")
    if ":" in env_id:
        raise PrudentError(f"the run names the environment {env_id!r}, which would import a module: give it with --env")
    return env_id


def folder_of(path: Path) -> Path | None:
    """The run folder of ``path``, which is that folder or one of its checkpoints; None for anything else."""
    return next((folder for folder in (path, path.parent.parent) if (folder / "config.json").is_file()), None)


def environment_of(path: Path) -> str:
    """The environment in which a run, or the run of a checkpoint, was evaluated.

    Raises:
        PrudentError: the folder does not say which.
    """
    folder = folder_of(path)
    if folder is None:
        raise PrudentError(f"{path} does not say which environment it is for: name one with --env")
    env = read_json(folder / "config.json").get("env")
    if env is None:
        raise PrudentError(f"{folder} was trained without an environment: name one with --env")
    return safe_env_id(env)


def check_writable(folder: Path) -> None:
    """Refuse a read-only run folder.

    Raises:
        ConfigError: it is read-only.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} may not be written to: mend its permissions, or copy it and resume the copy")


def dataset_of(folder: Path, stored: Mapping[str, Any], dataset: Dataset | None) -> Dataset:
    """The dataset that a run was trained on: ``dataset``, or loaded again from where it was.

    Raises:
        ConfigError: the run does not say where it was, or it is not the one the run was trained on.
        DataError: it is gone, or cannot be read.
    """
    fingerprint = stored["dataset"]["fingerprint"]
    if dataset is None:
        return reopened(folder, folder / "config.json", stored["train"].get("sources"), fingerprint)
    fits_fingerprint(dataset, fingerprint, folder)
    return dataset


def reopened(folder: Path, place: Path, sources: Any, fingerprint: str) -> Dataset:
    """The data of ``folder``, loaded as ``sources`` in the file ``place`` says.

    Raises:
        ConfigError: there are no sources, or the data are other ones now.
        DataError: they are gone, or cannot be read.
        PrudentError: the file is damaged.
    """
    if sources is not None and not _are_sources(sources):
        raise PrudentError(f"{place} is damaged: it does not say where the dataset is")
    if sources is None:
        raise ConfigError(f"{folder} was trained on a dataset that lived in memory: name it, or hand it over")
    try:
        dataset = load_dataset(**sources)
    except (DataError, ConfigError) as error:
        raise type(error)(f"{error} (the data of {folder}; if they are elsewhere now, name them)") from error
    except MISFITS as error:
        raise PrudentError(
            f"{place} is damaged: it does not say how to read the dataset ({in_one_line(error)})"
        ) from error
    fits_fingerprint(dataset, fingerprint, folder)
    return dataset


def fits_fingerprint(dataset: Dataset, fingerprint: str, folder: Path) -> None:
    """Refuse other data than those of ``folder``.

    Raises:
        ConfigError: the fingerprint differs.
    """
    if dataset.fingerprint != fingerprint:
        raise ConfigError(f"{folder} was trained on other data than {dataset.name} holds now (fingerprint differs)")


def _are_sources(stored: Any) -> bool:
    """Whether these are arguments of :func:`prudent.data.load_dataset`."""
    if not isinstance(stored, dict) or not stored.keys() <= inspect.signature(load_dataset).parameters.keys():
        return False
    source = stored.get("source")
    return isinstance(source, str) or (isinstance(source, list) and all(isinstance(one, str) for one in source))

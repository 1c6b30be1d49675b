"""The run folder: what was asked (config.json), on what (environment.json), how it stands (status.json)."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from prudent import algorithms, envs, files
from prudent.config import from_json, to_json
from prudent.data import Dataset
from prudent.errors import ConfigError, PrudentError
from prudent.members import Member
from prudent.population import Population
from prudent.version import __version__


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


def is_finished(run: Path) -> bool:
    """Whether a run says of itself that it has made all of its steps.

    Raises:
        PrudentError: ``status.json`` is damaged.
    """
    status = run / "status.json"
    return status.is_file() and read_json(status).get("state") == "finished"


def write_status(
    run: Path, state: str, step: int, steps: int, message: str = "", incidents: Sequence[Mapping[str, Any]] = ()
) -> None:
    """``status.json``: running, finished, interrupted or failed, and one line a person can read.

    ``incidents`` are what went wrong on the way, where training went on: ``step``, ``kind``, ``why``, ``member``.
    """
    text = message or f"{state}, step {step} of {steps}"
    content: dict[str, Any] = {"state": state, "step": step, "steps": steps, "message": text}
    if incidents:
        content["incidents"] = list(incidents)
    write_json(run / "status.json", content, durable=False)


def incidents(run: Path, until: int) -> list[dict[str, Any]]:
    """What ``status.json`` says went wrong up to a step; nothing where it is missing or damaged."""
    try:
        found = read_json(run / "status.json").get("incidents")
    except PrudentError:
        return []
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return [row for row in rows if isinstance(row.get("step"), int) and row["step"] <= until]


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
    return stored


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


def environment(device: torch.device, dataset: Dataset | None = None) -> dict[str, Any]:
    """``environment.json``: versions, machine, commit and data, for whoever compares results."""
    data = {} if dataset is None else {"dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint}}
    return _machine(device) | data


def differences(run: Path, device: torch.device) -> list[str]:
    """In what this machine and its libraries are not those that the run began with; one line each."""
    path = run / "environment.json"
    began = read_json(path) if path.exists() else {}
    now = _machine(device)
    keys = ("prudent", "torch", "mujoco", "gymnasium", "processor", "device", "threads")
    return [f"{k} is {now.get(k)} here, was {began[k]}" for k in keys if k in began and began[k] != now.get(k)]


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "prudent": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **envs.versions(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the source tree, None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None

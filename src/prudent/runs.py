"""The run folder: what was asked (config.json), on what (environment.json), how it stands (status.json)."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from prudent import __version__, envs
from prudent.config import to_json
from prudent.data import Dataset
from prudent.errors import ConfigError, PrudentError
from prudent.population import Population


def create(path: Path) -> Path:
    """A new run folder.

    Raises:
        ConfigError: the folder exists and is not empty, or cannot be made.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists and is not empty: choose another folder, or continue it with --resume {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be created: {error.strerror}") from error
    return path


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never half of it."""
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(aside, path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run folder.

    Raises:
        PrudentError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrudentError(f"{path.parent}: not a run folder, {path.name} is missing ({error.strerror})") from error
    except json.JSONDecodeError as error:
        raise PrudentError(f"{path}: damaged, line {error.lineno} is not JSON") from error


def environment_of(path: Path) -> str:
    """The environment a run (or a checkpoint of it) was evaluated in.

    Raises:
        PrudentError: the run has none, or this is no run folder.
    """
    run = path if (path / "config.json").exists() else path.parent.parent
    env = read_json(run / "config.json").get("env")
    if env is None:
        raise PrudentError(f"{run} was trained without an environment: name one with --env")
    return env


def describe(population: Population, dataset: Dataset, settings: Mapping[str, Any]) -> dict[str, Any]:
    """``config.json``: the algorithm, every setting, the members, the dataset, and how training was asked for."""
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
        },
    }


def environment(device: torch.device) -> dict[str, Any]:
    """``environment.json``: versions, machine and commit, for whoever compares results."""
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

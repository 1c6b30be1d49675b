"""``environment.json``: the versions, processor and commit that a run was made with."""

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from prudent.data import Dataset
from prudent.environments.make import versions
from prudent.nn.products import processor
from prudent.runs.folder import read_json
from prudent.version import __version__


def environment(device: torch.device, dataset: Dataset | None = None) -> dict[str, Any]:
    """The content of ``environment.json``, for people who compare results."""
    data = {} if dataset is None else {"dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint}}
    return _machine(device) | data


def differences(run: Path, device: torch.device) -> list[str]:
    """How this machine and its libraries differ from those that the run began with, one line each."""
    path = run / "environment.json"
    before = read_json(path) if path.exists() else {}
    now = _machine(device)
    keys = ("prudent", "torch", "mujoco", "gymnasium", "processor", "device", "threads")
    return [f"{k} is {now.get(k)} here, was {before[k]}" for k in keys if k in before and before[k] != now.get(k)]


def _machine(device: torch.device) -> dict[str, Any]:
    return {
        "prudent": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **versions(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor()[1],
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def _commit() -> str | None:
    """The commit of the source tree; None for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None

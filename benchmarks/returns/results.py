"""The file of results: settings, logs and runs. It is written after every run, so that nothing is made twice."""

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import rounded
from prudent import files
from prudent.errors import ConfigError

Results = dict[str, Any]
"""``settings``, ``environment``, ``logs`` by name, and ``runs``: dictionaries with log, racer, seed and points."""


def opened(path: Path, settings: dict[str, Any], environment: dict[str, Any]) -> Results:
    """The results so far, or none yet.

    Raises:
        ConfigError: the file has results of other settings, or is damaged.
    """
    if not path.exists():
        return {"settings": settings, "environment": environment, "logs": {}, "runs": []}
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: damaged; move it away to begin anew") from error
    kinds = {"settings": dict, "logs": dict, "runs": list}
    if not isinstance(results, dict) or not all(isinstance(results.get(key), kind) for key, kind in kinds.items()):
        raise ConfigError(f"{path}: damaged; move it away to begin anew")
    before = results["settings"]
    other = [name for name in settings if before.get(name) != settings[name]]
    if other:
        raise ConfigError(
            f"{path} has results with {other[0]} {before.get(other[0])}, not {settings[other[0]]}: "
            "give another --results"
        )
    return results


def add_log(results: Results, name: str, recorded: dict[str, Any], path: Path) -> None:
    """Note what a log has.

    Raises:
        ConfigError: the results have another log of this name.
    """
    before = results["logs"].setdefault(name, rounded(recorded))
    if before["fingerprint"] != recorded["fingerprint"]:
        raise ConfigError(f"{path} has results of another log called {name}: give another --results")


def missing(results: Results, logs: list[str], racers: list[str], seeds: list[int]) -> list[tuple[str, str, int]]:
    """Runs to make, as (log, racer, seed): seed by seed, so that after some time there is something of everything."""
    made = {(run["log"], run["racer"], run["seed"]) for run in results["runs"]}
    every = [(log, racer, seed) for seed in seeds for log in logs for racer in racers]
    return [one for one in every if one not in made]


def write(results: Results, path: Path) -> None:
    """Write the file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, (json.dumps(rounded(results), indent=1) + "\n").encode())

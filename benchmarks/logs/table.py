"""What came out: figures of the collected logs, and a Markdown table of them for the docs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py

from benchmarks.logs.recipe import Log
from prudent.data import load_dataset
from prudent.data.scores import normalized_score

RESULTS = Path(__file__).resolve().parents[1] / "results" / "logs.json"


def figures(log: Log) -> dict[str, Any]:
    """The figures of a log that has been made, with how it was made."""
    dataset = load_dataset(log.path)
    with h5py.File(log.path) as file:
        env = file["metadata/env"][()].decode()  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]
        parts = json.loads(file["metadata/parts"][()])  # pyright: ignore[reportIndexIssue, reportArgumentType]
    returns = sorted(dataset.episode_returns.tolist())
    best = returns[-max(1, len(returns) // 10) :]
    row = {
        "log": log.name,
        "env": env,
        "rows": len(dataset),
        "episodes": dataset.n_episodes,
        "mean": sum(returns) / len(returns),
        "best": returns[-1],
        "best_tenth": sum(best) / len(best),
        "reached": [part["level_reached"] for part in parts],
        "asked": [part["return_asked"] for part in parts],
        "return_reached": [part["return_reached"] for part in parts],
        "sac_steps": parts[-1]["trained_steps"],
        "fingerprint": dataset.fingerprint,
    }
    return row | {"scores": [normalized_score(log.task, row[name]) for name in ("mean", "best_tenth", "best")]}


def store(logs: Sequence[Log], path: Path) -> list[dict[str, Any]]:
    """Write the figures of all logs that are there to a JSON file, and return them."""
    rows = [figures(log) for log in logs if log.path.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Head and rows."""
    head = ["log", "rows", "episodes", "return: mean", "best tenth", "best", "scores of the three"]
    head += ["SAC reached", "after steps", "fingerprint"]
    return head, [
        [
            f"`{row['log']}`",
            f"{row['rows']:,}",
            f"{row['episodes']:,}",
            *(f"{row[name]:.0f}" for name in ("mean", "best_tenth", "best")),
            ", ".join("-" if score is None else f"{score:.0f}" for score in row["scores"]),
            "; ".join(row["reached"]),
            f"{row['sac_steps']:,}",
            f"`{row['fingerprint']}`",
        ]
        for row in rows
    ]

"""Tiny logs, tiny runs, and what two runs have in common."""

import json
from pathlib import Path

import numpy as np
import torch

from prudent import algorithms, cli
from prudent.algorithms import cql
from prudent.runs import checkpoint
from prudent.runs.metrics import read_metrics

TINY = {
    name: {"hidden": (8, 8), "batch_size": 16}
    | ({"n_actions": 2} if issubclass(algorithms.get(name).Config, cql.Config) else {})
    | ({"value_init": "regression", "value_init_steps": 20} if name == "cql" else {})
    for name in algorithms.names()
}
"""Settings of networks that train a thousand steps in a second or two."""


def flags(algorithm: str) -> list[str]:
    """``TINY`` as one would type it."""
    words = ["--algo", algorithm]
    for name, value in TINY[algorithm].items():
        words += ["--" + name.replace("_", "-"), *(str(v) for v in (value if isinstance(value, tuple) else (value,)))]
    return words


def columns(rows: int = 240) -> dict[str, np.ndarray]:
    """A log with the spaces of Pendulum-v1: episodes of 40 steps, all cut by time."""
    rng = np.random.default_rng(0)
    observation, successor = rng.normal([1.0, -2.0, 3.0], [1.0, 0.5, 4.0], size=(2, rows, 3)).astype(np.float32)
    timeouts = np.arange(1, rows + 1) % 40 == 0
    successor[:-1] = np.where(timeouts[:-1, None], successor[:-1], observation[1:])
    return {
        "observations": observation,
        "actions": rng.uniform(-2, 2, size=(rows, 1)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "next_observations": successor,
        "terminals": np.zeros(rows, dtype=bool),
        "timeouts": timeouts,
        "action_low": np.float32(-2),
        "action_high": np.float32(2),
    }


def discrete_columns(rows: int = 240) -> dict[str, np.ndarray]:
    """A log with the spaces of CartPole-v1, otherwise as :func:`columns`."""
    found = columns(rows)
    for name in ("observations", "next_observations"):
        found[name] = np.concatenate([found[name], found[name][:, :1]], axis=1)
    found |= {"actions": np.random.default_rng(1).integers(2, size=rows), "n_actions": np.int64(2)}
    return {name: column for name, column in found.items() if name not in ("action_low", "action_high")}


def task_of(algorithm: str) -> tuple[str, dict[str, np.ndarray]]:
    """An environment for the algorithm's kind of actions, and the columns of a log with its spaces."""
    if algorithms.is_discrete(algorithm):
        return "CartPole-v1", discrete_columns()
    return "Pendulum-v1", columns()


def write_log(path: Path, **changes) -> Path:
    """The log as a file; a column given as None is left out."""
    found = {**columns(), **changes} if "actions" not in changes or "n_actions" not in changes else changes
    np.savez(path, **{name: value for name, value in found.items() if value is not None})
    return path


def prudent(*words) -> int:
    """The command line in this process; its exit code."""
    try:
        cli.main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def assert_same_weights(one: Path, other: Path) -> None:
    """The newest checkpoints agree in every bit: networks, optimisers, generators, sums."""
    _, expected, _, _ = checkpoint.newest(one)
    _, found, _, _ = checkpoint.newest(other)
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def metrics_of(run: Path) -> list[str]:
    """The lines of ``metrics.jsonl`` without what a clock measured, NaN as text so that it equals itself."""
    rows = [
        {key: value for key, value in row.items() if not key.startswith("time/")}
        for row in read_metrics(run / "metrics.jsonl")
    ]
    return [json.dumps(row) for row in rows]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

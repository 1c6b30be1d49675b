"""A toy suite."""

from pathlib import Path

import numpy as np

from prudent import bench, statistics

TOY = """
title = "A toy"
seeds = [0, 1]

[train]
steps = 20
log_every = 10
eval_every = 20
eval_episodes = 1
checkpoint_every = 10
threads = 1

[settings]
hidden = [8, 8]
batch_size = 16

[settings.cql]
n_actions = 2

[[dataset]]
name = "log"
source = "log.npz"
env = "Pendulum-v1"
algorithms = ["bc", "cql"]
"""
OTHER = """
[[dataset]]
name = "gone"
source = "gone.npz"
env = "Pendulum-v1"
algorithms = ["bc"]
"""


def change(path: Path, old: str, new: str) -> bench.Suite:
    """The suite with a part of its file replaced."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return bench.load(str(path))


def run(suite: bench.Suite, out="out", **chosen) -> list[str]:
    return bench.run(suite, Path(out), suite.choose(**chosen))


def row(name, returns, **changes):
    """A row of results from returns per seed and episode."""
    returns = np.asarray(returns, dtype=float)
    return {
        "algorithm": name.lower(),
        "title": name,
        "state": "complete",
        "step": 100,
        "steps": 100,
        "seeds": len(returns),
        "minutes": 1.25,
        "reason": "",
        "return_mean": returns.mean(),
        "normalized_score": None,
        "iqm": float(statistics.iqm(returns.ravel())),
        "ci95": list(statistics.interval(returns)),
        "predicted_value": None,
        "realized_value": 3.0,
        "lower_bound_share": None,
        "seed_returns": returns.mean(1).tolist(),
        "seed_iqm": statistics.iqm(returns).tolist(),
        **changes,
    }


LOST = {
    "return_mean": None,
    "iqm": None,
    "ci95": None,
    "seed_returns": [None, 2.0],
    "seed_iqm": [None, 2.0],
    "reason": "1 of 2 seeds diverged",
}


def sample(**changes):
    rows = [row("CQL", [[5, 7], [6, 9]], predicted_value=2.0, lower_bound_share=0.0), row("BC", [[1, 2], [3, 4]])]
    datasets = [
        {
            "name": "one",
            "env": "E-v0",
            "data": {"return_mean": 3.5},
            "algorithms": [*rows, row("SAC", [[0], [1]], **LOST)],
        },
        {"name": "two", "env": "F-v0", "data": {"return_mean": None}, "algorithms": rows[:1]},
    ]
    return {
        "suite": "s",
        "title": "S",
        "seeds": [0, 1],
        "machine": {"torch": ["1", "2"]},
        "datasets": datasets,
        **changes,
    }

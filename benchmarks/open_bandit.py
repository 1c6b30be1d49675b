"""Values one policy of the Open Bandit Dataset from the log of another, and compares with that policy's own log.

    .venv/bin/python benchmarks/open_bandit.py --python VENV/bin/python  # where the package obp is installed
    .venv/bin/python benchmarks/open_bandit.py --folder obd --priors prior_bts.yaml  # or its files alone

Saito et al. 2020 (arXiv 2008.07146): a fashion shop showed items by two policies at the same time, uniformly at random
and by Bernoulli Thompson sampling (BTS), in three campaigns. Each row is one item shown at one of three positions, with
the probability of that item at that position, and whether it was clicked. The package obp has 10,000 rows of each log.
So the value of BTS can be estimated from the random log and then held against the clicks under BTS, and the reverse.

BTS draws a click rate for every item from a Beta distribution and shows the three best. A log has its probability of
the shown item only, so its distribution over all items is simulated from the published Beta parameters of the start of
the data collection (``prior_bts.yaml``). During the collection BTS went on learning: the figure is of BTS as it began.
The results go to benchmarks/results/open_bandit.json, and ``make docs`` copies them into docs/open_bandit.md.
"""

import argparse
import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import prudent
from prudent.data import Dataset
from prudent.ope.interval import t_quantile

RESULTS = Path(__file__).resolve().parent / "results" / "open_bandit.json"
CAMPAIGNS = ("all", "men", "women")
POSITIONS = 3
USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
SETTINGS = {"members": 2, "behaviour_steps": 500}
"""The logs have their own probabilities, so the behaviour model only tells which actions lie outside the data."""
DRAWS = 200_000
"""Draws of all click rates, to simulate what BTS shows."""


def package(python: str) -> Path:
    """The folder of the package obp that this Python would import; it is not imported."""
    code = "import importlib.util as u; print(list(u.find_spec('obp').submodule_search_locations)[0])"
    ended = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{python} has no package obp: pip install --no-deps obp")
    return Path(ended.stdout.strip())


def read(folder: Path, policy: str, campaign: str) -> tuple[Dataset, np.ndarray]:
    """A log as single decisions, and the propensity of the items shown, (rows,).

    The observation is the position, then the user's four features, all one-hot.
    """
    path = folder / policy / campaign / f"{campaign}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    position = np.unique([int(row["position"]) for row in rows], return_inverse=True)[1]
    parts = [np.eye(POSITIONS)[position]]
    for name in USER_FEATURES:
        codes, index = np.unique([row[name] for row in rows], return_inverse=True)
        parts.append(np.eye(len(codes))[index])
    observation = np.concatenate(parts, axis=1).astype(np.float32)
    propensity = np.array([float(row["propensity_score"]) for row in rows])
    with (path.parent / "item_context.csv").open(encoding="utf-8", newline="") as file:
        items = len(list(csv.DictReader(file)))
    ones = np.ones(len(rows), dtype=bool)
    log = Dataset.from_columns(
        observation=observation,
        action=np.array([int(row["item_id"]) for row in rows]),
        reward=np.array([float(row["click"]) for row in rows]),
        next_observation=observation,
        terminated=ones,
        truncated=~ones,
        discrete=True,
        n_actions=items,
        name=f"{policy}/{campaign}",
        extra={"behavior_log_prob": np.log(propensity)},
    )
    return log, propensity


def priors(path: Path, campaign: str) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta (items,) of BTS; the file has lists of numbers under ``campaign: alpha:`` and ``beta:``."""
    numbers: dict[tuple[str, str], list[float]] = {}
    section = parameter = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"(\w+):\s*", line):
            section = head[1]
        elif head := re.fullmatch(r"\s+(\w+):\s*", line):
            parameter = head[1]
        elif item := re.fullmatch(r"\s*-\s*([-+.\deE]+)\s*", line):
            numbers.setdefault((section, parameter), []).append(float(item[1]))
    return np.array(numbers[campaign, "alpha"]), np.array(numbers[campaign, "beta"])


def thompson(alpha: np.ndarray, beta: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probability of each item at each position, (positions, items)."""
    rng, counts = np.random.default_rng(seed), np.zeros((POSITIONS, len(alpha)))
    for size in [10_000] * (DRAWS // 10_000):
        drawn = rng.beta(alpha, beta, size=(size, len(alpha)))
        best = np.argsort(-drawn, axis=1)[:, :POSITIONS]
        for position in range(POSITIONS):
            counts[position] += np.bincount(best[:, position], minlength=len(alpha))
    return counts / DRAWS


def shown_by(table: np.ndarray, name: str) -> Any:
    """A policy that only looks at the position, as a plain function."""

    def policy(observation: np.ndarray) -> np.ndarray:
        return table[observation[:, :POSITIONS].argmax(1)]

    policy.__name__ = name
    return policy


def own_mean(reward: np.ndarray) -> dict[str, Any]:
    """The mean reward of a log with its 95 % interval."""
    mean, error = float(reward.mean()), float(reward.std(ddof=1) / len(reward) ** 0.5)
    width = t_quantile(0.975, len(reward) - 1) * error
    return {"value": mean, "ci95": [mean - width, mean + width]}


def value_one(campaign: str, logs: dict[str, Any], source: str, target: str, policy: Any) -> dict[str, Any]:
    """The value of ``target`` from the log of ``source``, beside the mean of the log of ``target``."""
    log, began = logs[source][0], time.monotonic()
    result = prudent.value(policy, log, seen=False, **SETTINGS)
    best = result.to_json()["policies"][0]
    return {
        "campaign": campaign,
        "policy": target,
        "log": source,
        "estimates": {key: best[key] for key in ("wdr", "pdwis", "fqe")},
        "lead": result.to_json()["lead"],
        "own": own_mean(logs[target][0].reward),
        "logged": own_mean(log.reward),
        "effective": best["support"]["effective_sample_size"],
        "outside": best["support"]["outside"],
        "rows": len(log),
        "clicks": int(log.reward.sum()),
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="value one Open Bandit policy from the log of the other")
    parser.add_argument("--python", help="Python of an environment in which obp is installed")
    parser.add_argument("--folder", type=Path, help="the folder obd with the logs, instead of --python")
    parser.add_argument("--priors", type=Path, help="the file prior_bts.yaml; needed with --folder")
    arguments = parser.parse_args()
    if (arguments.python is None) == (arguments.folder is None) or (arguments.folder and not arguments.priors):
        parser.error("give --python, or --folder and --priors")
    home = package(arguments.python) if arguments.python else None
    folder = home / "dataset" / "obd" if home else arguments.folder
    path = home / "policy" / "conf" / "prior_bts.yaml" if home else arguments.priors
    lines = []
    for campaign in CAMPAIGNS:
        logs = {name: read(folder, name, campaign) for name in ("random", "bts")}
        items = logs["random"][0].spec.action_size
        table = thompson(*priors(path, campaign))
        log, propensity = logs["bts"]
        simulated = table[log.observation[:, :POSITIONS].argmax(1), log.action]
        fit = float(np.corrcoef(simulated, propensity)[0, 1])
        uniform = np.full((POSITIONS, items), 1 / items)
        for source, target, target_table in (("random", "bts", table), ("bts", "random", uniform)):
            line = value_one(campaign, logs, source, target, shown_by(target_table, target))
            lines.append({**line, "items": items, "propensity_correlation": fit})
            print(json.dumps(lines[-1]), flush=True)
    RESULTS.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""One run: writes a log of a problem, tunes on it, and holds what comes out against the truth.

Whatever is judged acts as it will: by ``predict`` of what ``prudent.load`` gives. Gains are paired, since all policies
meet the same luck in the simulator.
"""

import json
import shutil
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import prudent
from benchmarks.practice import problem_of
from benchmarks.practice.problem import Policy, Problem, Returns, acting
from prudent import files
from prudent.errors import Interrupted, PrudentError
from prudent.tuning import TuneResult, verdict

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "practice"
SETTINGS: dict[str, Any] = {"threads": 1}
"""Given to :func:`prudent.tune` beside the problem's discount. Nothing that bears on the result."""
GRID_SHARE, GRID_LEAST = 8, 500
"""A run of the grid is simulated in this part of the episodes of the kept policy, but in as many as this."""


def path_of(name: str, seed: int) -> Path:
    """The file of a run."""
    return RESULTS / f"{name}-{seed}.json"


def run(name: str, seed: int, work: Path) -> dict[str, Any]:
    """Tune in a folder below ``work``, which is removed afterwards, and store the row; returns it.

    What the tuning says goes to a text file beside that folder.

    Raises:
        PrudentError: the tuning refused the log, or was interrupted; then the same call goes on.
    """
    problem, folder = problem_of(name), work / f"{name}-{seed}"
    # A policy that leaves the log's range does so in thousands of simulations at once.
    warnings.simplefilter("ignore", prudent.OutsideRangeWarning)
    log, resumed, began = problem.log(seed), folder.exists(), time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".txt").open("a", encoding="utf-8") as screen, redirect_stdout(screen):
        result = prudent.tune(log, folder, discount=problem.discount, **SETTINGS)
        print(result)
    seconds = None if resumed else round(time.monotonic() - began)
    about = {"problem": name, "seed": seed, "rows": len(log), "episodes": log.n_episodes, "seconds": seconds}
    row = about | {"prudent": prudent.__version__} | outcome(problem, result)
    store(path_of(name, seed), row)
    shutil.rmtree(folder)
    return row


def attempt(name: str, seed: int, work: Path, deadline: float) -> str:
    """Make one run, unless it is too late to begin; returns what came of it, in a line."""
    if time.time() > deadline:
        return ""
    try:
        row = run(name, seed, work)
    except Interrupted:
        raise
    except PrudentError as error:
        return f"{name} {seed} failed: {error}"
    return f"{name} {seed}: {row['verdict']}; kept {row['kept']}, true gain {row['policy'] and row['policy']['gain']}"


def outcome(problem: Problem, result: TuneResult) -> dict[str, Any]:
    """Verdict, predicted gain, and the true values of the log, of the kept policy and of every run of the grid."""
    few = max(GRID_LEAST, problem.simulations // GRID_SHARE)
    baseline, short_baseline = (problem.returns(problem.behaviour, n=n) for n in (problem.simulations, few))
    kept = kept_policy(result)
    return {
        "verdict": result.verdict,
        "deployed": result.verdict == verdict.DEPLOY,
        "winner": result.first.winner,
        "kept": None if kept is None else result.kept,
        "predicted": predicted_gain(result),
        "log": dict(zip(("value", "error", "bad"), baseline.summary(), strict=True)),
        "policy": None if kept is None else gain(problem.returns(kept), baseline),
        "grid": {
            name: gain(problem.returns(policy, n=few), short_baseline) for name, policy in grid_policies(result).items()
        },
    }


def predicted_gain(result: TuneResult) -> dict[str, Any] | None:
    """The winner's fitted gain over what made the log, on the final part, with its interval; None without one."""
    found = result.first.final["differences"].get("policy - behaviour")
    return None if found is None else {"gain": found["value"], "ci95": found["ci95"]}


def kept_policy(result: TuneResult) -> Policy | None:
    """What the folder holds, as it acts; None where the verdict keeps what made the log and leaves no policy."""
    if result.policy is None or not Path(result.policy).is_dir():
        return None
    return acting(prudent.load(result.policy))


def grid_policies(result: TuneResult) -> dict[str, Policy]:
    """The chosen checkpoint of every run of the grid that has one, by name."""
    found = {}
    for candidate in result.first.candidates:
        if candidate.step is not None:
            agent = prudent.load(result.folder / candidate.run / "checkpoints" / f"step_{candidate.step}")
            agent.population.acting = candidate.acting
            found[candidate.name] = acting(agent, agent.names.index(candidate.member))
    return found


def gain(policy: Returns, baseline: Returns) -> dict[str, float]:
    """Mean of the paired differences of simulated returns with its standard error, and the policy's bad ends."""
    value, error, _ = Returns(policy.value - baseline.value, policy.bad).summary()
    return {"gain": value, "error": error, "bad": float(policy.bad.mean())}


def truths(name: str) -> dict[str, Any]:
    """True values of what makes the logs and of the better rule, stored once per problem."""
    problem, path = problem_of(name), RESULTS / f"{name}.json"
    if not path.is_file():
        log, rule = problem.returns(problem.behaviour), problem.returns(problem.better)
        about = {"problem": name, "about": problem.about, "discount": problem.discount}
        known = {"log": dict(zip(("value", "error", "bad"), log.summary(), strict=True)), "better": gain(rule, log)}
        store(path, about | known)
    return json.loads(path.read_text(encoding="utf-8"))


def store(path: Path, row: dict[str, Any]) -> None:
    """Write a small file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, (json.dumps(_rounded(row), indent=1) + "\n").encode())


def _rounded(content: Any) -> Any:
    """Numbers with five digits, so that the files stay small."""
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_rounded(value) for value in content]
    if isinstance(content, float | np.floating):
        return float(f"{content:.5g}") if np.isfinite(content) else None
    return content

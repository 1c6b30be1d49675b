"""The checkpoint of each run that is weighed: of the grid by its curve of dataset Q, of BC by its likelihood."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.errors import ConfigError, PrudentError
from prudent.ope import policy as policies
from prudent.runs import checkpoint
from prudent.tuning import curve
from prudent.tuning.plan import Plan
from prudent.tuning.result import Candidate


def from_grid(asked: Plan, run: Path, data: Dataset) -> list[Candidate]:
    """The checkpoint of each member, by its curve."""
    curves = curve.read(run, data, asked.settings.seed)
    found = []
    for p, member in enumerate(asked.members):
        points = tuple((step, _number(q)) for step, q in zip(curves.steps, curves.q[:, p], strict=True))
        choice = curves.choose(p)
        if choice is None:
            found.append(diverged(member, points))
        else:
            alpha = float(member.config.alpha)
            found.append(Candidate(member.name, alpha, member.seed, curve=points, **asdict(choice)))
    return found


def diverged(member: Member, points: tuple[tuple[int, float | None], ...] = ()) -> Candidate:
    """The candidate of a member, of the grid or of BC, that has no policy."""
    alpha = getattr(member.config, "alpha", None)
    about: dict[str, Any] = {"step": None, "q": None, "peak_step": None, "peak_q": None, "curve": points}
    told = "it diverged"
    return Candidate(
        member.name, None if alpha is None else float(alpha), member.seed, reading=told, reason=told, **about
    )


def from_bc(asked: Plan, run: Path, data: Dataset) -> list[Candidate]:
    """The checkpoint of each member of BC that makes the evaluation part likeliest: imitation overfits, too.

    A checkpoint that does not verify is left out.

    Raises:
        PrudentError: none is left, or every member has diverged.
    """
    rows: list[tuple[int, list[float]]] = []
    for step, place in checkpoint.steps(run):
        try:
            population, _ = checkpoint.load(place)
        except PrudentError:
            continue
        rows.append((step, [_likelihood(population, p, data) for p in range(population.size)]))
    if not rows:
        raise PrudentError(f"{run}: no checkpoint verifies; delete the folder to train it again")
    found = []
    for p, member in enumerate(asked.imitators):
        points = tuple((step, _number(values[p])) for step, values in rows)
        if points[-1][1] is None:
            found.append(diverged(member, points))
            continue
        step = max(points, key=lambda point: -np.inf if point[1] is None else point[1])[0]
        about: dict[str, Any] = {"step": step, "q": None, "peak_step": None, "peak_q": None, "curve": points}
        found.append(Candidate(member.name, None, member.seed, reading="likeliest on the evaluation part", **about))
    if all(c.step is None for c in found):
        raise PrudentError(f"{run}: every member of BC has diverged, so nothing is there to compare with")
    return found


def _likelihood(population: Population, member: int, data: Dataset) -> float:
    """Mean log-probability of the logged actions; NaN of a member that has diverged."""
    try:
        log_prob = policies.log_probs(policies.as_policy(population, member), data)
    except ConfigError:  # it gives no probabilities
        return math.nan
    assert log_prob is not None
    return float(np.maximum(log_prob, -1e3).mean())  # one impossible action is bad, not infinitely so


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

"""The candidates: one checkpoint of each run. The grid's by the curve of dataset Q, those of BC by likelihood."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.engine.members import ALL_SEEDS, Member, settings_of
from prudent.engine.population import SAMPLE, Population
from prudent.errors import ConfigError, PrudentError
from prudent.ope import policy as policies
from prudent.tuning import curve
from prudent.tuning.grid import Run
from prudent.tuning.result import Candidate

Points = tuple[tuple[int, float | None], ...]
"""(step, value) of each checkpoint, None where the value is not finite."""


def from_grid(run: Run, folder: Path, data: Dataset, seed: int) -> list[Candidate]:
    """The checkpoint of each member of a grid trained in ``folder``, by its curve."""
    curves = curve.read(folder, data, seed)
    candidates = []
    for p, member in enumerate(run.members):
        points = _points(curves.steps, curves.q[:, p])
        choice = curves.choose(p)
        candidates.append(
            diverged(run, member, points) if choice is None else _candidate(run, member, points, **asdict(choice))
        )
    return candidates


def from_bc(run: Run, folder: Path, data: Dataset) -> list[Candidate]:
    """The checkpoint of each member of BC with the highest likelihood on ``data``: imitation overfits, too.

    A checkpoint that does not verify is skipped.

    Raises:
        PrudentError: no checkpoint is left, or every member has diverged.
    """
    steps, likelihoods = [], []
    for step, population in curve.checkpoints(folder):
        steps.append(step)
        likelihoods.append([_likelihood(population, p, data) for p in range(population.size)])
    candidates = []
    for p, member in enumerate(run.members):
        points = _points(steps, [row[p] for row in likelihoods])
        if points[-1][1] is None:
            candidates.append(diverged(run, member, points))
        else:
            step = max(points, key=lambda point: -np.inf if point[1] is None else point[1])[0]
            candidates.append(
                _candidate(run, member, points, step, reading="highest likelihood on the evaluation part")
            )
    if all(c.step is None for c in candidates):
        raise PrudentError(f"{folder}: every member of BC has diverged, so there is nothing to compare with")
    return candidates


def diverged(run: Run, member: Member, points: Points = ()) -> Candidate:
    """The candidate of a member, of a grid or of BC, that has no policy."""
    return _candidate(run, member, points, None, reading="it diverged", reason="it diverged")


def _candidate(run: Run, member: Member, points: Points, step: int | None, **choice: Any) -> Candidate:
    strength = None if run.strength is None else float(getattr(member.config, run.strength))
    (setting,) = settings_of([member.name])
    return Candidate(
        name=run.name(member),
        setting="" if setting == ALL_SEEDS else run.prefix + setting,
        algorithm=run.algorithm,
        run=run.folder,
        member=member.name,
        strength=strength,
        seed=member.seed,
        step=step,
        curve=points,
        **choice,
    )


def _points(steps: Any, values: Any) -> Points:
    return tuple((s, float(v) if np.isfinite(v) else None) for s, v in zip(steps, values, strict=True))


def _likelihood(population: Population, member: int, data: Dataset) -> float:
    """Mean log-probability of the logged actions; NaN if the member has diverged."""
    try:
        log_prob = policies.log_probs(policies.as_policy(population, member, SAMPLE), data)
    except ConfigError:  # it gives no probabilities
        return math.nan
    assert log_prob is not None
    return float(np.maximum(log_prob, -1e3).mean())  # one impossible action must not make it minus infinity

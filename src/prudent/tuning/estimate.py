"""How long a tuning will take on this machine, from a few steps of its training and of its estimates."""

import math
import time
from dataclasses import replace
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from prudent import ope
from prudent.data import Dataset
from prudent.engine.loop import Observer, fit
from prudent.engine.population import new_population
from prudent.engine.process import prepare_process
from prudent.errors import PrudentError
from prudent.progress import quiet
from prudent.tuning.grid import Run
from prudent.tuning.parts import Parts
from prudent.tuning.plan import Plan
from prudent.types import Totals

STEPS = 12
"""Steps of a training that are timed, behind two that are not: the first ones take longer."""
FIT = 40
"""Steps of an estimate that are timed."""
ROWS = 20_000
"""Rows that are timed on. What estimates take besides their steps grows with the rows, so it is scaled up."""


def text(plan: Plan, parts: Parts) -> str:
    """One line: how long all of a tuning will take, and each phase of it.

    The runs that the grid may get beyond its edge are not counted.
    """
    try:
        training, ranking, weighing = _seconds(plan, parts)
    except PrudentError as error:  # the phase itself says what is wrong, or copes with it, as with a diverged policy
        return f"no estimate of the time: {error}"
    splits = plan.settings.splits
    total = splits * (training + ranking + weighing)
    phases = f"training {_time(training)}, ranking {_time(ranking)}, weighing {_time(weighing)}"
    each = "" if splits == 1 else f" for each of {splits} splits"
    more = " (more if the best value is at the edge of the grid)" if not all(grid.given for grid in plan.grids) else ""
    return f"about {_time(total)}: {phases}{each}{more}"


def _seconds(plan: Plan, parts: Parts) -> tuple[float, float, float]:
    """Seconds of training, ranking and weighing, for one division."""
    s = plan.settings
    device = prepare_process(s.training)
    runs = [plan.imitators, *(plan.run(grid) for grid in plan.grids)]
    training = sum(_step_seconds(run, parts.train, device) for run in runs) * s.training.steps
    candidates = sum(len(run.members) for run in runs)
    policy = new_population(_piece(parts.train), runs[1].algorithm, runs[1].members[:1], device)
    ranking = _estimate_seconds(policy, parts.ranking, plan, s.ranking, candidates)
    return training, ranking, _estimate_seconds(policy, parts.final, plan, s.final, 2)


class _Clock(Observer):
    """Keeps the time of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def due(self, step: int) -> float:
        return step + 1

    def stepped(self, step: int, totals: Totals) -> None:  # noqa: ARG002
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def _step_seconds(run: Run, data: Dataset, device: Any) -> float:
    """Seconds of one training step of a run."""
    members = [replace(m, config=_started(m.config)) for m in run.members]
    clock, piece = _Clock(), _piece(data)
    with quiet():
        fit(new_population(piece, run.algorithm, members, device), piece, STEPS + 2, clock)
    return median(after - before for before, after in zip(clock.times[1:-1], clock.times[2:], strict=True))


def _started(config: Any) -> Any:
    """The settings without first values, which take many steps of their own."""
    return replace(config, value_init="zero") if hasattr(config, "value_init") else config


def _estimate_seconds(policy: Any, part: Dataset, plan: Plan, settings: ope.Settings, policies: int) -> float:
    """Seconds to prepare a part and to estimate so many policies on it."""
    piece = _piece(part)
    settings = settings.for_log(piece)
    more = min(FIT, settings.steps)
    short, long = (_timed(policy, piece, plan, settings, steps) for steps in (1, 1 + more))
    whole = (settings.behaviour_steps, settings.steps)
    prepare = sum(
        max(0.0, base + (timed - base) * (steps - 1) / more)
        for base, timed, steps in zip(short[:2], long[:2], whole, strict=True)
    )
    each = min(short[2], long[2])
    # Learning takes steps of a fixed size; only the systems grow with the rows.
    return prepare + policies * each * max(1.0, len(part) / len(piece))


def _timed(policy: Any, piece: Dataset, plan: Plan, settings: ope.Settings, steps: int) -> tuple[float, float, float]:
    """Seconds for the behaviour model and for the features, with so many steps each, and for the value of a policy."""
    with quiet():
        times = [time.perf_counter()]
        evaluator = ope.Evaluator(piece, plan.discount, replace(settings, steps=steps, behaviour_steps=steps), 0)
        _ = evaluator.behaviour
        times.append(time.perf_counter())
        _ = evaluator.features, evaluator.behaviour_value, evaluator.fitted_behaviour
        times.append(time.perf_counter())
        evaluator.evaluate(policy)
        times.append(time.perf_counter())
    model, learned, value = (after - before for before, after in pairwise(times))
    return model, learned, value


def _piece(data: Dataset) -> Dataset:
    """The first episodes, up to :data:`ROWS` rows where the log allows it: at least ten groups or episodes."""
    if len(data) <= ROWS:
        return data
    unit_E = data.units()[0]
    first_E = data.episode_lengths.cumsum() <= ROWS
    first_E |= unit_E < 10
    return data.episodes(first_E.nonzero()[0])


def _time(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds / 5) * 5) if seconds > 10 else max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

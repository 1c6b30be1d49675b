"""How the curves of a run with a conservative critic read, in plain words.

Kumar et al. 2021 (arXiv 2109.10813), section 4: where the average Q of the logged decisions rises, peaks and falls, the
critic overfits from the peak on (see ``evaluation.q_curve``); where squared TD error and the gap both stay high, it
underfits. What counts as high is a rule of thumb, stated beside its number below.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prudent.evaluation import q_curve
from prudent.report.format import number
from prudent.runs.read import Run, as_number

HIGH = 0.3
"""From which share of the magnitude of dataset Q on the root of the squared TD error is high."""

LEAST, MOST = 8, 8
"""Points that a curve needs to be read, and settings that are read."""


def readings(run: Run) -> list[str]:
    """A sentence or more per setting, of its mean over seeds; none where the critic is not conservative."""
    told = []
    for group, names in list(run.groups().items())[:MOST]:
        q, gap = (run.over_seeds(f"train/{metric}", names) for metric in ("q_data", "cql_gap"))
        if len(q) < LEAST or not gap:
            continue
        td_error, random = (run.over_seeds(f"train/{metric}", names) for metric in ("td_error", "q_random"))
        found = [of_dataset_q(list(q), _means(q)), _low(run, _late(q)), _fit(q, gap, td_error), _order(q, random)]
        # A setting keeps its spelling at the start of its sentence.
        told += [f"{group}: {text}." if group else f"{text[0].upper()}{text[1:]}." for text in found if text]
    return told


def of_dataset_q(steps: Sequence[int], values: np.ndarray) -> str:
    """How average dataset Q (C,) at ``steps`` reads: overfitting, climbing, on its way down, or settled."""
    smooth = _smooth(values)
    found = q_curve.shape(smooth)
    if found.falls:
        return (
            f"overfitting: dataset Q falling after step {steps[found.peak]:,}, from {number(smooth[found.peak])} to "
            f"{number(smooth[found.peak :].min())}; an earlier checkpoint is likely the better policy"
        )
    if found.descends:
        return "dataset Q is still on its way down to what the log returned: more steps would help"
    if found.climbs:
        return "dataset Q still climbs at the end: more steps may help"
    return f"dataset Q has settled at {number(smooth[-1])}: no sign of overfitting"


def _smooth(values: np.ndarray) -> np.ndarray:
    """Means over a twentieth of the curve around each point, fewer at its ends: a line of metrics is noisy."""
    half = len(values) // 40
    return np.array([values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))])


def _low(run: Run, q: float) -> str:
    settings = run.config.get("config") or {}
    if run.data_mean is None or run.data_mean <= 0 or as_number(settings.get("reward_shift", 0)) != 0 or q >= 0:
        return ""
    return (
        f"dataset Q ends at {number(q)}, below zero, while the episodes of the data return {number(run.data_mean)} on "
        "average: alpha holds the values down, a smaller one is worth a try"
    )


def _fit(q: Mapping, gap: Mapping, td_error: Mapping) -> str:
    if not td_error:
        return ""
    error, size = float(np.sqrt(max(_late(td_error), 0.0))), max(abs(_late(q)), 1e-9)
    if error < HIGH * size or _late(gap) <= 0:
        return ""
    return (
        f"underfitting: the TD error ends at {number(error)} (its root), beside values around {number(_late(q))}, and "
        f"the gap at {number(_late(gap))}: both high; a larger network, more steps or a smaller alpha may help"
    )


def _order(q: Mapping, random: Mapping) -> str:
    if not random or _late(random) < _late(q):
        return ""
    return (
        f"Q of random actions ends at {number(_late(random))}, not below that of the data ({number(_late(q))}): the "
        "critics are not conservative; a larger alpha or more steps would help"
    )


def _means(points: Mapping[int, tuple[float, float, float]]) -> np.ndarray:
    return np.array([mean for mean, _, _ in points.values()])


def _late(points: Mapping[int, tuple[float, float, float]]) -> float:
    """Mean over the last tenth."""
    values = _means(points)
    return float(values[-max(1, len(values) // 10) :].mean())

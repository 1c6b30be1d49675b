"""What the training curves of a conservative critic show, in words.

Kumar et al. 2021 (arXiv 2109.10813), section 4: if the average Q of the logged actions rises, peaks and falls, the
critic overfits from the peak on (see ``evaluation.q_curve``); if squared TD error and gap both stay high, it underfits.
What counts as high is a rule of thumb: ``HIGH``.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prudent.evaluation import q_curve
from prudent.report.format import number
from prudent.runs.read import Run, as_number

HIGH = 0.3
"""The root of the squared TD error is high from this share of the magnitude of dataset Q on."""

MIN_POINTS, MAX_SETTINGS = 8, 8
"""Points that a curve must have, and the number of settings that are interpreted."""

Points = Mapping[int, tuple[float, float, float]]
"""Mean, lowest and highest over seeds, by step."""


def readings(run: Run) -> list[str]:
    """Sentences about the mean curves of each setting; none if the critic is not conservative."""
    sentences = []
    for group, names in list(run.groups().items())[:MAX_SETTINGS]:
        q, gap = (run.over_seeds(f"train/{metric}", names) for metric in ("q_data", "cql_gap"))
        if len(q) < MIN_POINTS or not gap:
            continue
        td_error, random = (run.over_seeds(f"train/{metric}", names) for metric in ("td_error", "q_random"))
        texts = [of_dataset_q(list(q), _means(q)), _held_down(run, _late(q)), _fit(q, gap, td_error), _order(q, random)]
        # The name of a setting keeps its spelling at the start of a sentence.
        sentences += [f"{group}: {text}." if group else f"{text[0].upper()}{text[1:]}." for text in texts if text]
    return sentences


def of_dataset_q(steps: Sequence[int], values: np.ndarray) -> str:
    """What average dataset Q (C,) at ``steps`` shows: overfitting, still falling or rising, or settled."""
    smooth = _smooth(values)
    shape = q_curve.shape(smooth)
    if shape.falls:
        return (
            f"overfitting: dataset Q falling after step {steps[shape.peak]:,}, from {number(smooth[shape.peak])} to "
            f"{number(smooth[shape.peak :].min())}; an earlier checkpoint is likely the better policy"
        )
    if shape.descends:
        return "dataset Q is still on its way down to the returns of the log: more steps would help"
    if shape.climbs:
        return "dataset Q still climbs at the end: more steps may help"
    return f"dataset Q has settled at {number(smooth[-1])}: no sign of overfitting"


def _smooth(values: np.ndarray) -> np.ndarray:
    """Moving mean over a twentieth of the curve, over less at its ends: metrics are noisy."""
    half = len(values) // 40
    return np.array([values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))])


def _held_down(run: Run, q: float) -> str:
    settings = run.config.get("config") or {}
    if run.data_mean is None or run.data_mean <= 0 or as_number(settings.get("reward_shift", 0)) != 0 or q >= 0:
        return ""
    return (
        f"dataset Q ends at {number(q)}, below zero, while the episodes of the data return {number(run.data_mean)} on "
        "average: alpha holds the values down; try a smaller one"
    )


def _fit(q: Points, gap: Points, td_error: Points) -> str:
    if not td_error:
        return ""
    error, size = float(np.sqrt(max(_late(td_error), 0.0))), max(abs(_late(q)), 1e-9)
    if error < HIGH * size or _late(gap) <= 0:
        return ""
    return (
        f"underfitting: the root of the TD error ends at {number(error)} for values around {number(_late(q))}, and the "
        f"gap at {number(_late(gap))}: both are high; a larger network, more steps or a smaller alpha may help"
    )


def _order(q: Points, random: Points) -> str:
    if not random or _late(random) < _late(q):
        return ""
    return (
        f"Q of random actions ends at {number(_late(random))}, not below that of the data ({number(_late(q))}): the "
        "critics are not conservative; a larger alpha or more steps would help"
    )


def _means(points: Points) -> np.ndarray:
    return np.array([mean for mean, _, _ in points.values()])


def _late(points: Points) -> float:
    """Mean over the last tenth of the curve."""
    values = _means(points)
    return float(values[-max(1, len(values) // 10) :].mean())

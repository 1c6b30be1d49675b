"""How good the behaviour model is, measured on episodes that it did not see."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """How well the behaviour model predicts the actions of episodes that it did not see.

    Attributes:
        log_likelihood: mean log-probability (log-density, units of the log) of the logged actions.
        error: discrete: expected calibration error of the likeliest action, 15 bins (Guo et al. 2017, eq. 3).
            Continuous: largest distance over features between the distribution of the probability integral transform
            and the uniform one (Dawid 1984).
        coverage: share of actions within the model's central 90 %; continuous only.
        logged_log_likelihood: mean of the log-probabilities in the log itself, if it has them.
    """

    log_likelihood: float
    error: float
    coverage: float | None = None
    logged_log_likelihood: float | None = None

    def summary(self) -> dict[str, Any]:
        """Ready for JSON."""
        return dict(vars(self))


def expected_calibration_error(probability: np.ndarray, action: np.ndarray, bins: int = 15) -> float:
    """``sum_b n_b / n |accuracy_b - confidence_b|`` of the likeliest action, over bins of equal width."""
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == action
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count, expected, hits = (np.bincount(index, weights, bins) for weights in (None, confidence, correct.astype(float)))
    return float(np.abs(expected - hits).sum() / count.sum())


def transform_error(uniform: np.ndarray) -> float:
    """Largest distance between the distribution of any column (rows, A) and the uniform one."""
    ordered = np.sort(uniform, axis=0)
    count = len(ordered)
    steps = np.arange(1, count + 1)[:, None] / count
    return float(np.maximum(np.abs(ordered - steps), np.abs(ordered - steps + 1 / count)).max())

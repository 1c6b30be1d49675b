"""How far to trust a behaviour model: its calibration on episodes that it did not see."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """How far to trust the behaviour model, measured on episodes that it did not see.

    Attributes:
        log_likelihood: mean log-probability (log-density, units of the log) of the logged actions.
        error: discrete: expected calibration error of the likeliest action, 15 bins (Guo et al. 2017, eq. 3);
            continuous: largest distance over features between the distribution of the probability integral transform
            and the uniform one (Dawid 1984).
        coverage: share of actions within the model's central 90 %, continuous only.
        logged_log_likelihood: the same of the probabilities that the log carries, if it does.
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
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == action
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count, sure, hits = (np.bincount(index, weights, bins) for weights in (None, confidence, right.astype(float)))
    return float(np.abs(sure - hits).sum() / count.sum())


def transform_error(uniform: np.ndarray) -> float:
    """Largest distance between the distribution of each column (rows, A) and the uniform one."""
    ordered = np.sort(uniform, axis=0)
    count = len(ordered)
    steps = np.arange(1, count + 1)[:, None] / count
    return float(np.maximum(np.abs(ordered - steps), np.abs(ordered - steps + 1 / count)).max())

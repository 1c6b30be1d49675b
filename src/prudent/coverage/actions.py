"""Which actions the log has, and which of them the policies take."""

from typing import Any

import numpy as np

from prudent.types import Spec

RANGE = (0.005, 0.5, 0.995)
"""Quantiles of each action feature; outside the first and the last lies 1 % of the log."""


def action_table(logged: np.ndarray, taken: np.ndarray, spec: Spec) -> list[dict[str, Any]]:
    """Where the policies' actions lie among those of the log.

    Continuous (N, A) and (P, R, A): per feature the 0.5, 50 and 99.5 % quantiles of both, and the share of the
    policies' actions ``outside`` the outer two of the log, overall and by member. Discrete (N,) and (P, R): per action
    how often it was logged and taken. A policy that has diverged has no share (None).
    """
    good = ~diverged(taken, spec.discrete)
    if spec.discrete:
        return [_discrete_row(number, logged, taken, good) for number in range(spec.action_size)]
    return [_feature_row(feature, logged[:, feature], taken[..., feature], good) for feature in range(spec.action_size)]


def diverged(taken: np.ndarray, discrete: bool) -> np.ndarray:
    """(P,) bool: which policies took an action that is no number, of (P, R, A), or of (P, R) discrete ones."""
    flat = taken.reshape(len(taken), -1)
    return np.logical_or.reduce(flat < 0 if discrete else ~np.isfinite(flat), axis=1)


def _discrete_row(number: int, logged: np.ndarray, taken: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    own_PR = taken == number
    return {
        "action": number,
        "logged": int((logged == number).sum()),
        "logged_share": float((logged == number).mean()),
        "taken": int(own_PR[good].sum()),
        "taken_share": float(own_PR[good].mean()),
        "by_member": _by_member(own_PR, good),
    }


def _feature_row(feature: int, logged: np.ndarray, taken: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    ends = np.quantile(logged, RANGE)
    # Actions at their bounds differ in the last digit.
    slack = 1e-5 * max(float(np.ptp(logged)), abs(float(ends[0])), abs(float(ends[-1])))
    outside_PR = (taken < ends[0] - slack) | (taken > ends[-1] + slack)
    return {
        "feature": feature,
        "logged": ends.tolist(),
        "taken": np.quantile(taken[good], RANGE).tolist(),
        "outside": float(outside_PR[good].mean()),
        "by_member": _by_member(outside_PR, good),
    }


def _by_member(hit_PR: np.ndarray, good: np.ndarray) -> list[float | None]:
    return [float(hit.mean()) if fine else None for hit, fine in zip(hit_PR, good, strict=True)]

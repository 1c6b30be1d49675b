"""The actions of the policies compared with those of the log."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prudent.types import Spec

RANGE = (0.005, 0.5, 0.995)
"""Quantiles of each action feature; 1 % of the log lies outside the first and the last."""


def action_table(
    logged: np.ndarray, taken: np.ndarray, spec: Spec, labels: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """How the actions of the log and of the policies are distributed, one row per action feature or discrete action.

    Continuous, (N, A) and (P, R, A): the 0.5, 50 and 99.5 % quantiles of both, and the share of the policies' actions
    ``outside`` the outer two of the log, over all policies and ``by_member``. Discrete, (N,) and (P, R) counted from 0:
    how often the action was logged and taken, with its label if there are ``labels``. The share of a policy that has
    diverged is None.
    """
    good = ~diverged(taken, spec.discrete)
    if spec.discrete:
        return [
            {"action": spec.number_of(index)}
            | ({} if labels is None else {"label": labels[index]})
            | _discrete_row(index, logged, taken, good)
            for index in range(spec.action_size)
        ]
    return [_feature_row(feature, logged[:, feature], taken[..., feature], good) for feature in range(spec.action_size)]


def diverged(taken: np.ndarray, discrete: bool) -> np.ndarray:
    """(P,) bool: policies with an action that is not a number; ``taken`` is (P, R, A), discrete (P, R)."""
    flat = taken.reshape(len(taken), -1)
    return np.logical_or.reduce(flat < 0 if discrete else ~np.isfinite(flat), axis=1)


def _discrete_row(index: int, logged: np.ndarray, taken: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    taken_PR = taken == index
    return {
        "logged": int((logged == index).sum()),
        "logged_share": float((logged == index).mean()),
        "taken": int(taken_PR[good].sum()),
        "taken_share": float(taken_PR[good].mean()),
        "by_member": _by_member(taken_PR, good),
    }


def _feature_row(feature: int, logged: np.ndarray, taken: np.ndarray, good: np.ndarray) -> dict[str, Any]:
    ends = np.quantile(logged, RANGE)
    # Actions at a bound may differ in the last digit.
    slack = 1e-5 * max(float(np.ptp(logged)), abs(float(ends[0])), abs(float(ends[-1])))
    outside_PR = (taken < ends[0] - slack) | (taken > ends[-1] + slack)
    return {
        "feature": feature,
        "logged": ends.tolist(),
        "taken": np.quantile(taken[good], RANGE).tolist(),
        "outside": float(outside_PR[good].mean()),
        "by_member": _by_member(outside_PR, good),
    }


def _by_member(flag_PR: np.ndarray, good: np.ndarray) -> list[float | None]:
    return [float(flag_R.mean()) if ok else None for flag_R, ok in zip(flag_PR, good, strict=True)]

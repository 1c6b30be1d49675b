"""Figures and histograms of a dataset."""

from typing import Any

import numpy as np

from prudent.data import logged_prob, scores
from prudent.data.dataset import Dataset
from prudent.progress import ticking


def five_numbers(values: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation, minimum, median and maximum of (n,) values."""
    values = np.asarray(values, dtype=np.float64)
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }


@ticking("describing the dataset")
def summary(dataset: Dataset) -> dict[str, Any]:
    """Sizes, episodes, lengths, returns, rewards, action ranges and optional columns, ready for JSON."""
    returns = dataset.episode_returns
    ends = dataset.episode_bounds[1:] - 1
    return {
        "name": dataset.name,
        "transitions": len(dataset),
        "observation_size": dataset.spec.observation_size,
        "action_size": dataset.spec.action_size,
        "discrete": dataset.spec.discrete,
        "first_action": dataset.spec.first_action if dataset.spec.discrete else None,
        "episodes": dataset.n_episodes,
        "terminated": int(dataset.terminated[ends].sum()),
        "truncated": int(dataset.truncated[ends].sum()),
        "episode_length": five_numbers(dataset.episode_lengths),
        "episode_return": five_numbers(returns),
        "normalized_score": scores.normalized_score(dataset.name, float(returns.mean())),
        "reward": five_numbers(dataset.reward),
        "actions": _actions(dataset),
        "groups": None if "group" not in dataset.extra else dataset.n_units,
        "dt": None if "dt" not in dataset.extra else five_numbers(dataset.extra["dt"]),
        "logged_probabilities": not dataset.extra.keys().isdisjoint(logged_prob.COLUMNS),
        "fingerprint": dataset.fingerprint,
    }


def _actions(dataset: Dataset) -> list[dict[str, Any]]:
    """For each action feature its range, bounds and the share at the bounds; for each discrete action how often taken.

    With masks also the share of rows in which a discrete action was ``forbidden``; with labels also its ``label``.
    """
    spec = dataset.spec
    if spec.discrete:
        counts = np.bincount(spec.index_of(dataset.action), minlength=spec.action_size)
        numbered = enumerate(counts, spec.first_action)
        table = [{"action": k, "count": int(c), "share": float(c / len(dataset))} for k, c in numbered]
        if dataset.meanings.labels is not None:
            table = [row | {"label": label} for row, label in zip(table, dataset.meanings.labels, strict=True)]
        if "mask" in dataset.extra:
            forbidden = 1 - dataset.extra["mask"].mean(axis=0)
            table = [row | {"forbidden": float(share)} for row, share in zip(table, forbidden, strict=True)]
        return table
    table = []
    for feature in range(spec.action_size):
        values = dataset.action[:, feature]
        low = -1.0 if spec.action_low is None else spec.action_low[feature]
        high = 1.0 if spec.action_high is None else spec.action_high[feature]
        edge = 0.005 * (high - low)
        row = five_numbers(values) | {
            "low": None if spec.action_low is None else low,
            "high": None if spec.action_high is None else high,
            "share_at_bounds": float(((values <= low + edge) | (values >= high - edge)).mean()),
        }
        table.append(row)
    return table


# --- histograms -------------------------------------------------------------------------------------------------------

BINS, ACTION_BINS, ACTION_ROWS = 30, 24, 50_000
TRIED = 1e-3
"""A bin of an action's range counts as covered if it holds at least this share of the rows."""


@ticking("describing the dataset")
def histograms(dataset: Dataset) -> dict[str, Any]:
    """Episode returns and lengths, and actions per feature or discrete action, ready for JSON and for a picture.

    ``returns`` and ``lengths`` are ``{"edges", "counts"}`` over all episodes. ``actions`` is a list of the same, one
    per feature, over its bounds (without declared bounds: over the range of the data), from at most 50,000 evenly
    spread rows; for discrete actions it is ``{"first_action", "shares"}``. ``covered`` is the share of each feature's
    bins that hold at least a thousandth of these rows. ``episodes``, ``terminated`` and ``truncated`` count episodes.
    """
    ends = dataset.episode_bounds[1:] - 1
    table: dict[str, Any] = {
        "episodes": dataset.n_episodes,
        "terminated": int(dataset.terminated[ends].sum()),
        "truncated": int(dataset.truncated[ends].sum()),
        "returns": _histogram(dataset.episode_returns, BINS),
        "lengths": _histogram(dataset.episode_lengths, BINS),
    }
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), ACTION_ROWS)).astype(np.int64))
    taken, spec = dataset.action[rows], dataset.spec
    if spec.discrete:
        counts = np.bincount(spec.index_of(taken), minlength=spec.action_size)
        return table | {"actions": {"first_action": spec.first_action, "shares": (counts / len(rows)).tolist()}}
    features = []
    for feature in range(spec.action_size):
        low = None if spec.action_low is None else float(spec.action_low[feature])
        high = None if spec.action_high is None else float(spec.action_high[feature])
        features.append(_histogram(taken[:, feature], ACTION_BINS, low, high))
    covered = [float((np.array(f["counts"]) >= max(1, TRIED * len(rows))).mean()) for f in features]
    return table | {"actions": features, "covered": covered}


def _histogram(values: np.ndarray, bins: int, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    values = np.asarray(values, dtype=np.float64)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    # Readers accept actions that exceed their bounds by rounding: count them in the outer bins.
    counts, edges = np.histogram(np.clip(values, low, high), bins, (low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}

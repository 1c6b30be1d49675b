"""What a policy earned in its environment: the episodes, and the figures made of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent import statistics
from prudent.engine.members import settings_of

COLUMNS = ("returns", "lengths", "truncated", "realized", "continuation", "tail_weight")
"""The columns (P, K) that every evaluation has."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Episodes of P members. Arrays are (P, K) for K episodes; row k of every member began in the same state.

    Attributes:
        env_id: the environment.
        names: one per member.
        deterministic: whether the policies took their mode or sampled.
        returns: undiscounted sums of raw rewards. NaN where a member's action was not a number: it has
            diverged, and no return would be honest.
        lengths: steps.
        truncated: ended by a time limit, not by the task.
        realized: discounted sums of transformed rewards with the member's own discount, the counterpart of
            ``predicted``. A truncated episode is taken to go on as it ended, see
            :func:`prudent.statistics.discounted`.
        continuation: the part of ``realized`` that stands for the time after a truncation; 0 elsewhere.
        tail_weight: gamma ** length where truncated, else 0: how much of the future was not watched.
        predicted: values of the start states under the *stochastic* policy; None without a critic.
    """

    env_id: str
    names: tuple[str, ...]
    deterministic: bool
    returns: np.ndarray
    lengths: np.ndarray
    truncated: np.ndarray
    realized: np.ndarray
    continuation: np.ndarray
    tail_weight: np.ndarray
    predicted: np.ndarray | None

    def select(self, members: Iterable[int]) -> Evaluation:
        """The same for some members, by index: the seeds of one setting, say."""
        rows = np.array(list(members), dtype=np.int64)
        columns = {key: getattr(self, key)[rows] for key in COLUMNS}
        predicted = None if self.predicted is None else self.predicted[rows]
        names = tuple(self.names[row] for row in rows)
        return Evaluation(self.env_id, names, self.deterministic, predicted=predicted, **columns)

    @property
    def diverged(self) -> list[str]:
        """Names of the members whose policy returned NaN."""
        return [name for name, row in zip(self.names, self.returns, strict=True) if np.isnan(row).any()]

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members": {name: figures}, "settings": {name: figures}}``, ready for JSON.

        None stands for what has no value. ``overall`` is over all members. Where they differ in more than their
        seed that is nobody's figure, and ``settings`` has those of the seeds of each (``alpha=5``), see
        :func:`settings_of`; it is empty where there is one setting only.

        ``return_mean`` and ``return_std``, ``iqm`` and its bootstrap interval ``ci95`` ``[low, high]`` are
        raw returns over all episodes, :mod:`prudent.statistics` says how; ``normalized_score`` is that of the
        mean, where the environment has references. ``predicted_value`` and ``realized_value`` are means over
        start states of discounted transformed rewards, ``lower_bound_share`` the share of start states where
        the prediction was no higher than what was realised. One realised return is one draw: an unbiased
        prediction would score about a half, a lower bound close to 1.
        """
        members = {name: self.select([index])._figures() for index, name in enumerate(self.names)}
        groups = settings_of(self.names)
        settings = {name: self.select(group)._figures() for name, group in groups.items()} if len(groups) > 1 else {}
        return {"overall": self._figures(), "members": members, "settings": settings}

    def starts(self) -> dict[str, dict[str, list[float | None]]]:
        """``{member: {"predicted": K values, "realized": K values}}``; empty where nothing is predicted."""
        if self.predicted is None:
            return {}
        both = zip(self.names, self.predicted, self.realized, strict=True)
        return {
            name: {"predicted": [_number(v) for v in p], "realized": [_number(v) for v in r]} for name, p, r in both
        }

    def _figures(self) -> dict[str, Any]:
        interval = statistics.interval(self.returns)
        figures = {
            "return_mean": _number(self.returns.mean()),
            "return_std": _number(self.returns.std()),
            "normalized_score": _score(self.env_id, self.returns.mean()),
            "iqm": _number(statistics.iqm(self.returns.ravel())),
            "ci95": None if interval is None else list(interval),
            "predicted_value": None if self.predicted is None else _number(self.predicted.mean()),
            "realized_value": _number(self.realized.mean()),
            "lower_bound_share": None,
        }
        # The critic values the policy that samples. The deterministic one usually earns more: holding the
        # prediction against its return would make a prediction that is too high look like a lower bound.
        if self.predicted is not None and not self.deterministic:
            known = np.isfinite(self.predicted) & np.isfinite(self.realized)
            if known.all():
                figures["lower_bound_share"] = float((self.predicted <= self.realized).mean())
        return figures


@dataclass(frozen=True, eq=False)
class BothEvaluations:
    """The same policies taking their mode, and sampling, from the same start states."""

    deterministic: Evaluation
    stochastic: Evaluation

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members", "settings", "deterministic", "stochastic", "starts"}``.

        ``deterministic`` and ``stochastic`` are the summaries of each, ``starts`` the values ``predicted`` and
        ``realized`` of the stochastic one at each start state, by member, where the critics predict any. The others
        take from each what is meaningful: returns of the deterministic policy, the one deployed; prediction against
        realisation of the stochastic one, the one the critic speaks of.
        """
        deterministic, stochastic = self.deterministic.summary(), self.stochastic.summary()
        merged = {
            key: {name: _merge(figures, stochastic[key][name]) for name, figures in deterministic[key].items()}
            for key in ("members", "settings")
        }
        return {
            "overall": _merge(deterministic["overall"], stochastic["overall"]),
            **merged,
            "deterministic": deterministic,
            "stochastic": stochastic,
            "starts": self.stochastic.starts(),
        }


def _merge(deterministic: dict[str, Any], stochastic: dict[str, Any]) -> dict[str, Any]:
    value = {key: stochastic[key] for key in ("predicted_value", "realized_value", "lower_bound_share")}
    return {**deterministic, **value}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _score(env_id: str, value: float) -> float | None:
    from prudent.data.scores import normalized_score

    if not np.isfinite(value):
        return None
    score = normalized_score(env_id, float(value))
    return None if score is None else _number(score)

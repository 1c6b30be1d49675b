"""Episodes of policies in their environment, and figures of their returns and predicted values."""

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
    """K episodes of each of P members. Arrays are (P, K); episode k of every member began in the same state.

    Attributes:
        env_id: the environment.
        names: one per member.
        deterministic: whether the policies took their mode or sampled.
        returns: undiscounted sums of raw rewards; NaN for a member that has diverged (its action was not a number).
        lengths: steps.
        truncated: the episode ended by a time limit, not by termination.
        realized: discounted sums of transformed rewards with the member's own discount, to compare with ``predicted``.
            A truncated episode is assumed to go on as it ended, see :func:`prudent.statistics.discounted`.
        continuation: the part of ``realized`` that is assumed after a truncation; 0 elsewhere.
        tail_weight: gamma ** length of a truncated episode, else 0: the weight of the future that was not observed.
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
        """The evaluation of the members with these indices, such as the seeds of one setting."""
        rows = np.array(list(members), dtype=np.int64)
        columns = {key: getattr(self, key)[rows] for key in COLUMNS}
        predicted = None if self.predicted is None else self.predicted[rows]
        names = tuple(self.names[row] for row in rows)
        return Evaluation(self.env_id, names, self.deterministic, predicted=predicted, **columns)

    @property
    def diverged(self) -> list[str]:
        """Names of the members with an action that was not a number."""
        return [name for name, row in zip(self.names, self.returns, strict=True) if np.isnan(row).any()]

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members": {name: figures}, "settings": {name: figures}}``, ready for JSON.

        Figures without a value are None. ``overall`` is over all members. If they differ in more than their seeds, look
        at ``settings`` instead, which has figures over the seeds of each setting (``alpha=5``), see
        :func:`prudent.engine.members.settings_of`. It is empty if there is only one setting.

        ``return_mean``, ``return_std``, ``iqm`` and its bootstrap interval ``ci95`` ``[low, high]`` are of raw returns
        over all episodes, see :mod:`prudent.statistics`. ``normalized_score`` is the score of the mean, for
        environments with reference returns. ``predicted_value`` and ``realized_value`` are means over start states of
        discounted transformed rewards. ``lower_bound_share`` is the share of start states where the prediction was not
        above the realised return. That return is a single sample: an unbiased prediction has a share of about a half, a
        lower bound one close to 1.
        """
        members = {name: self.select([index])._figures() for index, name in enumerate(self.names)}
        groups = settings_of(self.names)
        settings = {name: self.select(group)._figures() for name, group in groups.items()} if len(groups) > 1 else {}
        return {"overall": self._figures(), "members": members, "settings": settings}

    def starts(self) -> dict[str, dict[str, list[float | None]]]:
        """``{member: {"predicted": K values, "realized": K values}}``; empty without predictions."""
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
        # The critic predicts the value of the stochastic policy. The deterministic one usually earns more: compared
        # with its return, a prediction that is too high would look like a lower bound.
        if self.predicted is not None and not self.deterministic and np.isfinite([self.predicted, self.realized]).all():
            figures["lower_bound_share"] = float((self.predicted <= self.realized).mean())
        return figures


@dataclass(frozen=True, eq=False)
class BothEvaluations:
    """Evaluations of the same policies, deterministic and stochastic, from the same start states."""

    deterministic: Evaluation
    stochastic: Evaluation

    def summary(self) -> dict[str, Any]:
        """``{"overall", "members", "settings", "deterministic", "stochastic", "starts"}``.

        ``deterministic`` and ``stochastic`` are the summaries of each; ``starts`` are the ``predicted`` and
        ``realized`` values of the stochastic one by member, if there are predictions. The other three combine both:
        returns are those of the deterministic policy, which is the one to deploy; predicted and realised values are
        those of the stochastic policy, whose value the critic predicts.
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
    values = {key: stochastic[key] for key in ("predicted_value", "realized_value", "lower_bound_share")}
    return {**deterministic, **values}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _score(env_id: str, value: float) -> float | None:
    from prudent.data.scores import normalized_score

    if not np.isfinite(value):
        return None
    score = normalized_score(env_id, float(value))
    return None if score is None else _number(score)

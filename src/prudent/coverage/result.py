"""The result of comparing a policy with the data: scores, shares outside, worst decisions, actions, sentences."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

STRICT = 0.99
"""The level of a second threshold: the share of held-out logged decisions that lie below it."""

WORST = 0.01
"""This share of the decisions counts as the worst."""

CLEARLY = 2.0
"""A policy leaves the data if its interval lies above this many times the nominal share outside."""

BINS, SAMPLES = 40, 1000
"""Bins of the histogram, approximately; bootstrap samples of each interval."""


@dataclass(frozen=True, eq=False)
class Measure:
    """One kind of score, for logged decisions and for those of the policies; larger is further from the log.

    ``logged`` (L,): each logged decision, compared with other folds. ``policy`` (P, R): the policies' decisions.
    ``strict`` is the threshold at 99 %, None where the log is too small for it. ``fresh_outside`` is the share of
    logged decisions beyond the threshold that the other folds alone would give: the share to expect in new episodes of
    the behaviour policy.
    """

    logged: np.ndarray
    policy: np.ndarray
    threshold: float
    strict: float | None
    fresh_outside: float

    @classmethod
    def calibrated(cls, logged: np.ndarray, fold: np.ndarray, policy: np.ndarray, level: float) -> "Measure":
        """The scores with thresholds at ``level`` and 99 %.

        A new logged decision lies below a threshold with at least that probability. ``fold`` (L,) is the fold of each
        logged decision.
        """
        strict = _threshold(logged, STRICT)
        fresh = [logged[fold == k] > _threshold(logged[fold != k], level) for k in np.unique(fold)]
        return cls(
            logged,
            policy,
            _threshold(logged, level),
            strict if math.isfinite(strict) else None,
            float(np.concatenate(fresh).mean()),
        )


def _threshold(scores: np.ndarray, level: float) -> float:
    """The ``ceil((n + 1) level)``-th smallest of n scores (split conformal prediction); infinite if n is too small."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


@dataclass(frozen=True, eq=False)
class SupportResult:
    """Which decisions of P policies lie outside the data; each policy makes R decisions, all at the same states.

    Attributes:
        dataset: name of the log that they are compared with.
        states: name of the log whose states they decide at.
        names: one per policy.
        own_states: whether ``states`` is another log than ``dataset``.
        settings: a :class:`prudent.coverage.support.Settings`.
        measures: the scores ``decision`` (state and action together), ``state`` alone, and ``action`` given the state;
            see :class:`prudent.coverage.neighbours.Scores`.
        reference_rows: number of logged decisions that each decision is compared with.
        rows: (R,) rows of ``states`` at which the decisions are made.
        episodes: (R,) the episodes of these rows.
        actions: one row per action feature or discrete action; see :func:`prudent.coverage.actions.action_table`.
    """

    dataset: str
    states: str
    names: tuple[str, ...]
    own_states: bool
    settings: Any
    measures: dict[str, Measure]
    reference_rows: int
    rows: np.ndarray
    episodes: np.ndarray
    actions: list[dict[str, Any]]

    @property
    def outside(self) -> np.ndarray:
        """(P, R) bool: decisions with a score above the threshold."""
        return self.measures["decision"].policy > self.measures["decision"].threshold

    @cached_property
    def diverged(self) -> list[int]:
        """Indices of the policies with an action that is not a number."""
        return np.flatnonzero(np.isnan(self.measures["decision"].policy).any(axis=1)).tolist()

    @cached_property
    def overall(self) -> dict[str, Any]:
        """:meth:`figures` of all policies that have not diverged."""
        return self.figures(*(member for member in range(len(self.names)) if member not in self.diverged))

    def figures(self, *members: int) -> dict[str, Any]:
        """Shares outside over these policies, their worst decisions, and whether they leave the data.

        ``outside`` is the share of decisions outside and ``interval`` its 95 % interval over episodes;
        ``outside_strict``, ``state_outside`` and ``action_outside`` are further shares. ``because`` divides the
        decisions outside into unusual states, unusual actions in usual states, and neither. ``leaves_data``: the
        interval lies above twice the nominal share. All are None if a policy has diverged.
        """
        rows = list(members)
        score, state, action = (self.measures[key].policy[rows] for key in ("decision", "state", "action"))
        if np.isnan(score).any():
            return dict.fromkeys(_FIGURES)
        measure = self.measures["decision"]
        outside = score > measure.threshold
        odd_state, odd_action = (
            values > self.measures[key].threshold for key, values in (("state", state), ("action", action))
        )
        interval = self._interval(outside)
        share = float(outside.mean())
        limit = CLEARLY * (1 - self.settings.level)
        return {
            "outside": share,
            "interval": interval,
            "outside_strict": None if measure.strict is None else float((score > measure.strict).mean()),
            "state_outside": float(odd_state.mean()),
            "action_outside": float(odd_action.mean()),
            "because": _because(outside, odd_state, odd_action),
            "leaves_data": (share if interval is None else interval[0]) > limit,
            "worst": self._worst(score),
        }

    def _interval(self, outside_MR: np.ndarray) -> list[float] | None:
        """95 % interval of the share outside: bootstrap of whole episodes, since decisions within one are alike."""
        _, index = np.unique(self.episodes, return_inverse=True)
        count = np.bincount(index)
        if len(count) < 2:
            return None
        outside = np.bincount(index, weights=outside_MR.mean(axis=0))
        drawn = np.random.default_rng(self.settings.seed).multinomial(
            len(count), np.full(len(count), 1 / len(count)), SAMPLES
        )
        return np.quantile((drawn @ outside) / np.maximum(drawn @ count, 1), [0.025, 0.975]).tolist()

    def _worst(self, score_MR: np.ndarray) -> dict[str, Any]:
        flat = score_MR.ravel()
        size = max(1, math.ceil(WORST * len(flat)))
        order = np.argsort(-flat, kind="stable")[:size]
        mean, threshold = float(flat[order].mean()), self.measures["decision"].threshold
        return {
            "mean_score": _finite(mean),
            "times_threshold": _finite(mean / threshold) if threshold > 0 else None,
            "rows": list(dict.fromkeys(self.rows[order % score_MR.shape[1]].tolist())),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything except the scores of single decisions, ready for JSON; figures without a value are None.

        ``reading`` is :attr:`reading` and ``histogram`` is :attr:`histogram`.
        """
        return {
            "dataset": self.dataset,
            "states": self.states,
            **asdict(self.settings),
            "rows": {
                "reference": self.reference_rows,
                "logged": len(self.measures["decision"].logged),
                "decisions": len(self.rows),
            },
            "thresholds": {
                name: {
                    "threshold": measure.threshold,
                    "strict": measure.strict,
                    "fresh_outside": measure.fresh_outside,
                }
                for name, measure in self.measures.items()
            },
            "overall": self.overall,
            "members": {name: self.figures(member) for member, name in enumerate(self.names)},
            "actions": self.actions,
            "histogram": self.histogram,
            "reading": self.reading,
        }

    @property
    def histogram(self) -> dict[str, list[float]]:
        """Bin ``edges`` of the decision score, shares of ``logged`` and ``policy`` decisions; the last bin is open."""
        measure = self.measures["decision"]
        taken = np.delete(measure.policy, self.diverged, axis=0).ravel()
        finite = [values[np.isfinite(values)] for values in (measure.logged, taken)]
        ends = [float(np.quantile(values, 0.99)) for values in finite if len(values)]
        edges = _bins(measure.threshold, 1.1 * max(measure.threshold, measure.strict or 0.0, *ends))
        shares = {
            name: (np.histogram(np.minimum(values, edges[-1]), edges)[0] / len(values)).tolist()
            for name, values in (("logged", measure.logged), ("policy", taken))
        }
        return {"edges": edges.tolist(), **shares}

    @property
    def reading(self) -> list[str]:
        """Sentences that say what the figures mean."""
        overall, nominal = self.overall, 1 - self.settings.level
        sentences = [_verdict(overall, nominal), _because_sentence(overall), _worst_sentence(overall, self.states)]
        fresh = self.measures["decision"].fresh_outside
        if not nominal / CLEARLY <= fresh <= nominal * CLEARLY:
            sentences.append(
                f"{_percent(fresh)} of new decisions of the behaviour policy lie outside, not {_percent(nominal, 0)}: "
                "the log's episodes are few or differ much, so the threshold is rough."
            )
        if len(self.names) - len(self.diverged) > 1:
            shares = {name: self.figures(member)["outside"] for member, name in enumerate(self.names)}
            known = {name: share for name, share in shares.items() if share is not None}
            furthest = max(known, key=known.__getitem__)
            sentences.append(
                f"Of the {len(known)} members {furthest} has the most decisions outside: {_percent(known[furthest])}."
            )
        sentences += [f"{self.names[member]} has diverged: its actions are not numbers." for member in self.diverged]
        return [sentence for sentence in sentences if sentence]


_FIGURES = (
    "outside",
    "interval",
    "outside_strict",
    "state_outside",
    "action_outside",
    "because",
    "leaves_data",
    "worst",
)


def _verdict(figures: dict[str, Any], nominal: float) -> str:
    share, interval = figures["outside"], figures["interval"]
    within = "" if interval is None else f" (95 % interval {_percent(interval[0])} to {_percent(interval[1])})"
    sentence = f"{_percent(share)}{within} of the decisions lie outside the data, "
    sentence += f"and {_percent(nominal, 0)} of the log's own would: "
    if figures["leaves_data"]:
        return sentence + "the policy leaves the data, and predictions about it there are extrapolated."
    if share > CLEARLY * nominal:
        return sentence + "more than twice as many, but too few episodes to be sure that the policy leaves the data."
    return sentence + "the policy stays within the data."


def _because(outside: np.ndarray, odd_state: np.ndarray, odd_action: np.ndarray) -> dict[str, float] | None:
    if not outside.any():
        return None
    parts = {"state": odd_state, "action": ~odd_state & odd_action, "neither": ~odd_state & ~odd_action}
    return {name: float(part[outside].mean()) for name, part in parts.items()}


def _because_sentence(figures: dict[str, Any]) -> str:
    if figures["because"] is None:
        return ""
    action, state, neither = (_percent(figures["because"][name], 0) for name in ("action", "state", "neither"))
    return (
        f"Of the decisions outside, {action} are unusual actions in usual states, {state} are in unusual states, and "
        f"{neither} are unusual only as state and action together."
    )


def _worst_sentence(figures: dict[str, Any], log: str) -> str:
    worst = figures["worst"]
    if worst["times_threshold"] is None:
        far = "are actions that the log almost never has" if worst["mean_score"] is None else "are those furthest out"
    else:
        far = f"lie {worst['times_threshold']:.1f} times as far out as the threshold"
    return f"The worst {_percent(WORST, 0)} {far}; the furthest is row {worst['rows'][0]} of {log}."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bins(threshold: float, top: float) -> np.ndarray:
    """Edges of equal bins from 0 to about ``top``; one edge is the threshold."""
    if threshold <= 0:
        return np.linspace(0, top or 1.0, BINS + 1)
    below = min(max(round(BINS * threshold / top), 4), BINS)
    return threshold / below * np.arange(min(max(math.ceil(top / threshold * below), below + 1), 2 * BINS) + 1)


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"

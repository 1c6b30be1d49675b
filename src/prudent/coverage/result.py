"""What came of comparing a policy with the data: scores, shares outside, the worst, actions, and all of it in words."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

STRICT = 0.99
"""A second, stricter threshold beside the one asked for: the share of held-out decisions that it lets pass."""

WORST = 0.01
"""Share of the decisions that are the worst."""

CLEARLY = 2.0
"""A policy leaves the data when it is outside this many times as often as the behaviour, chance allowed for."""

BINS, SAMPLES = 40, 1000
"""Bins of the histogram, about; bootstrap samples of the intervals."""


@dataclass(frozen=True, eq=False)
class Measure:
    """One kind of score: of logged decisions, each held against other episodes, and of the policies'.

    Larger is further from the log: ``logged`` (L,), ``policy`` (P, R). ``strict`` is None where the log is too small
    for it. ``fresh_outside`` is the share of logged decisions beyond the threshold that the other folds' would have
    set: what to expect of new episodes of the behaviour itself.
    """

    logged: np.ndarray
    policy: np.ndarray
    threshold: float
    strict: float | None
    fresh_outside: float

    @classmethod
    def calibrated(cls, logged: np.ndarray, fold: np.ndarray, policy: np.ndarray, level: float) -> "Measure":
        """With thresholds that a further logged decision stays under with probability ``level``, and 99 %, or more.

        ``fold`` (L,) is that of each logged decision.
        """
        strict = _threshold(logged, STRICT)
        fresh = [logged[fold == own] > _threshold(logged[fold != own], level) for own in np.unique(fold)]
        return cls(
            logged,
            policy,
            _threshold(logged, level),
            strict if math.isfinite(strict) else None,
            float(np.concatenate(fresh).mean()),
        )


def _threshold(scores: np.ndarray, level: float) -> float:
    """The ``ceil((n + 1) level)``-th smallest of n, as in split conformal prediction; infinite where n is too small."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return math.inf if rank > len(scores) else float(np.sort(scores)[rank - 1])


@dataclass(frozen=True, eq=False)
class SupportResult:
    """Which decisions of P policies lie outside the data; R decisions each, at the same states.

    Attributes:
        dataset: name of the log they were compared with.
        states: name of the log whose states they decided at.
        names: one per policy.
        own_states: whether ``states`` is another log than ``dataset``.
        settings: how it was measured, a :class:`prudent.coverage.support.Settings`.
        measures: ``decision`` (state and action together), ``state`` alone, and ``action`` given the state; see
            :class:`prudent.coverage.neighbours.Scores`.
        reference_rows: logged decisions that each was held against.
        rows: (R,) where in ``states`` the decisions were made.
        episodes: (R,) the episodes of these rows.
        actions: a row per action feature, or per discrete action; see :func:`prudent.coverage.actions.action_table`.
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
        """(P, R) bool: decisions further from the log than the threshold."""
        return self.measures["decision"].policy > self.measures["decision"].threshold

    @cached_property
    def diverged(self) -> list[int]:
        """Indices of the policies whose actions are not all numbers."""
        return np.flatnonzero(np.isnan(self.measures["decision"].policy).any(axis=1)).tolist()

    @cached_property
    def overall(self) -> dict[str, Any]:
        """:meth:`figures` of all policies that have not diverged."""
        return self.figures(*(member for member in range(len(self.names)) if member not in self.diverged))

    def figures(self, *members: int) -> dict[str, Any]:
        """Shares outside over some of the policies, their worst decisions, and whether they leave the data.

        ``outside`` and its 95 % ``interval`` over episodes, ``outside_strict``, ``state_outside`` and
        ``action_outside``; ``because`` divides those outside into unusual states, unusual actions in usual states, and
        neither. ``leaves_data``: the interval lies above twice the nominal share. None for policies that have diverged.
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
        """Bootstrap of whole episodes: neighbouring decisions are alike, and would promise too much."""
        _, index = np.unique(self.episodes, return_inverse=True)
        count = np.bincount(index)
        if len(count) < 2:
            return None
        found = np.bincount(index, weights=outside_MR.mean(axis=0))
        drawn = np.random.default_rng(self.settings.seed).multinomial(
            len(count), np.full(len(count), 1 / len(count)), SAMPLES
        )
        return np.quantile((drawn @ found) / np.maximum(drawn @ count, 1), [0.025, 0.975]).tolist()

    def _worst(self, score_MR: np.ndarray) -> dict[str, Any]:
        flat = score_MR.ravel()
        most = max(1, math.ceil(WORST * len(flat)))
        order = np.argsort(-flat, kind="stable")[:most]
        mean, threshold = float(flat[order].mean()), self.measures["decision"].threshold
        return {
            "mean_score": _finite(mean),
            "times_threshold": _finite(mean / threshold) if threshold > 0 else None,
            "rows": list(dict.fromkeys(self.rows[order % score_MR.shape[1]].tolist())),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the scores of single decisions, ready for JSON; None stands for what has no value.

        ``reading`` says it in words, ``histogram`` holds the shares of logged decisions and of the policies' by
        score, the last bin being open.
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
        """Edges of the bins of the decision score, and the share of decisions in each; the last bin is open."""
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
        """What the figures mean, a sentence each."""
        found, nominal = self.overall, 1 - self.settings.level
        sentences = [self._verdict(found, nominal), _because_sentence(found), _worst_sentence(found, self.states)]
        fresh = self.measures["decision"].fresh_outside
        if not nominal / CLEARLY <= fresh <= nominal * CLEARLY:
            sentences.append(
                f"Of new decisions of the behaviour {_percent(fresh)} lie outside, not {_percent(nominal, 0)}: the "
                "log's episodes differ much, or are few, and the threshold is rough."
            )
        if len(self.names) - len(self.diverged) > 1:
            shares = {name: self.figures(member)["outside"] for member, name in enumerate(self.names)}
            known = {name: share for name, share in shares.items() if share is not None}
            furthest = max(known, key=known.__getitem__)
            sentences.append(
                f"Furthest out of the {len(known)} members is {furthest} with {_percent(known[furthest])}."
            )
        sentences += [
            f"{self.names[member]} takes actions that are no numbers: it has diverged." for member in self.diverged
        ]
        return [sentence for sentence in sentences if sentence]

    def _verdict(self, found: dict[str, Any], nominal: float) -> str:
        share, interval = found["outside"], found["interval"]
        about = "" if interval is None else f" (95 % interval {_percent(interval[0])} to {_percent(interval[1])})"
        told = f"{_percent(share)}{about} of the decisions lie outside the data, "
        told += f"where {_percent(nominal, 0)} of the log's own would: "
        if found["leaves_data"]:
            return told + "the policy leaves the data, and what is predicted of it there is extrapolated."
        if share > CLEARLY * nominal:
            return (
                told + "more than twice as often, but on too few episodes to be sure that the policy leaves the data."
            )
        return told + "the policy stays with what was logged."


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


def _because(outside: np.ndarray, odd_state: np.ndarray, odd_action: np.ndarray) -> dict[str, float] | None:
    if not outside.any():
        return None
    parts = {"state": odd_state, "action": ~odd_state & odd_action, "neither": ~odd_state & ~odd_action}
    return {name: float(part[outside].mean()) for name, part in parts.items()}


def _because_sentence(found: dict[str, Any]) -> str:
    if found["because"] is None:
        return ""
    action, state, neither = (_percent(found["because"][name], 0) for name in ("action", "state", "neither"))
    return (
        f"Of those outside, {action} are unusual actions in usual states, {state} are in unusual states, and {neither} "
        "are unusual only as state and action together."
    )


def _worst_sentence(found: dict[str, Any], place: str) -> str:
    worst = found["worst"]
    if worst["times_threshold"] is None:
        far = "are actions that the log hardly has" if worst["mean_score"] is None else "are those furthest out"
    else:
        far = f"lie {worst['times_threshold']:.1f} times as far out as the threshold"
    return f"The worst {_percent(WORST, 0)} {far}; the furthest is row {worst['rows'][0]} of {place}."


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bins(threshold: float, top: float) -> np.ndarray:
    """Edges of equal bins from 0 to ``top`` or as far as makes sense, one of them the threshold."""
    if threshold <= 0:
        return np.linspace(0, top or 1.0, BINS + 1)
    below = min(max(round(BINS * threshold / top), 4), BINS)
    return threshold / below * np.arange(min(max(math.ceil(top / threshold * below), below + 1), 2 * BINS) + 1)


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"

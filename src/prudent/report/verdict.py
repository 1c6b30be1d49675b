"""What a run is worth, in words and in one table: careful, and never more than was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prudent.report.format import Table, interval, number, share
from prudent.runs.read import NOTHING, SUMMARY_KEYS, Run, as_interval, as_number

LOWER_BOUND_TARGET = 0.95
"""The share of start states at which the prediction has to be a lower bound."""

HEADS = {
    "return_mean": "return",
    "return_std": "± episodes",
    "normalized_score": "score",
    "iqm": "IQM",
    "ci95": "95 % of IQM",
    "predicted_value": "predicted",
    "realized_value": "realised",
    "lower_bound_share": "bound kept",
}


@dataclass(frozen=True)
class Verdict:
    """One headline, its reasons, and ``tone``: good, bad, or open when nobody can tell."""

    tone: str
    headline: str
    reasons: list[str] = field(default_factory=list)


def judge(run: Run, others: Mapping[str, Run]) -> Verdict:
    """The headline of the report: where the policy stands against the data and against the other runs.

    With several settings it is about the best of them, and says that it was chosen: pooled over settings, the
    figures would be nobody's.
    """
    troubles = _troubles(run)
    setting, overall = run.best()
    if as_number(overall.get("return_mean")) is None:
        tone, headline, told = _by_log(run)
        return Verdict("bad" if run.diverged() else tone, headline, [*told, *troubles])
    tone, headline = _against_data(run, overall)
    if setting:
        headline = f"{setting}, the best of {len(run.settings())} settings: {headline[0].lower()}{headline[1:]}"
    rivals = {name: other.best()[1] for name, other in others.items()}
    rivals = {name: row for name, row in rivals.items() if as_number(row.get("return_mean")) is not None}
    sides = {name: _side(overall, theirs) for name, theirs in rivals.items()}
    tone, headline = _beside(tone, headline, sides)
    told = [_return_sentence(run, setting, overall), _choice_sentence(run, setting)]
    told += [_rival_sentence(name, others[name], sides[name], theirs) for name, theirs in rivals.items()]
    told += [_bound_sentence(overall), *troubles]
    return Verdict("bad" if run.diverged() else tone, headline, [sentence for sentence in told if sentence])


def _beside(tone: str, headline: str, sides: Mapping[str, str]) -> tuple[str, str]:
    """The headline with the rivals in it: better than the data is no reason to keep what is not better than they."""
    if worse := [name for name, side in sides.items() if side == "below"]:
        return "bad", f"{headline}, and worse than {' and '.join(worse)}"
    if tone == "good" and (unclear := [name for name, side in sides.items() if side != "above"]):
        return "open", f"{headline}, not clearly better than {' and '.join(unclear)}"
    return tone, headline


_SIDES = {1: "above", -1: "below", 0: "unclear"}

_BY_LOG = {
    "above": ("good", "By the log alone, better than what made it"),
    "below": ("bad", "By the log alone, worse than what made it"),
    "unclear": ("open", "By the log alone, not distinguishable from what made it"),
    "unknown": ("open", "The log does not say what this policy is worth"),
}


def _by_log(run: Run) -> tuple[str, str, list[str]]:
    """Tone, headline and reasons where there is no environment: out of ``value.json``, if this step was weighed."""
    value, against, reasons = run.value, run.value.get("against"), run.value.get("reasons")
    if not isinstance(against, dict) or not isinstance(reasons, list) or value.get("step") != run.status.get("step"):
        unknown = (
            "It was not run in an environment, and losses do not say what a policy is worth: prudent value estimates "
            "it from a log."
        )
        return "open", "The worth of this policy is not known", [unknown]
    signs = {str(name): pair["fqe"]["sign"] for name, pair in against.items() if _has_sign(pair)}
    sides = {name: _SIDES.get(sign, "unknown") for name, sign in signs.items()}
    tone, headline = _BY_LOG[sides.pop("behaviour", "unknown")]
    tone, headline = _beside(tone, headline, sides)
    if tone == "good" and value.get("firm") is not True:
        why = "but with reservations" if value.get("seen") is False else "but on episodes that it may have learned from"
        tone, headline = "open", f"{headline}, {why}"
    cautions = value.get("cautions")
    return tone, headline, [str(text) for text in reasons + (cautions if isinstance(cautions, list) else [])]


def _has_sign(pair: Any) -> bool:
    fitted = pair.get("fqe") if isinstance(pair, dict) else None
    return isinstance(fitted, dict) and fitted.get("sign", "") in (*_SIDES, None)


def _troubles(run: Run) -> list[str]:
    incidents = run.incidents()
    stopped = {row["member"] for row in incidents if row["kind"] == "stopped"}
    told = [
        f"Member {name} stopped being a number at step {step:,}: its figures since then mean nothing."
        for name, step in run.diverged().items()
        if name not in stopped
    ]
    for (_, kind), rows in _alike(incidents).items():
        first, times = rows[0], "" if len(rows) == 1 else f", the first of {len(rows)} times"
        who = f"Member {first['member']}: " if first["member"] else ""
        told.append(f"{who}{kind if who else kind.capitalize()} at step {first['step']:,}{times}: {first['why']}.")
    problems = run.dataset.get("problems")
    told += (
        [f"Of the data, {text}{'' if str(text).endswith('?') else '.'}" for text in problems]
        if isinstance(problems, list)
        else []
    )
    state, message = run.status.get("state"), run.status.get("message")
    if state and state != "finished":
        told.append(f"The run is not finished ({state})." + (f" {message}" if message else ""))
    return told


def _alike(incidents: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The same member's incidents of one kind together: a full disk is one sentence, not a hundred."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in incidents:
        found.setdefault((row["member"], row["kind"]), []).append(row)
    return found


def _against_data(run: Run, overall: Mapping[str, Any]) -> tuple[str, str]:
    data, mean, ends = run.data_mean, overall["return_mean"], as_interval(overall.get("ci95"))
    if data is None:
        return "open", f"The policy returns {number(mean)}; what the data returned is not known"
    if ends is None:
        # One seed: the direction is told, but nothing is called better.
        tone, side = ("open", "Above") if mean > data else ("bad", "Below")
        return tone, f"{side} the mean of the data, without an interval"
    # The interval is of the IQM: without the mean, a policy that fails in a tenth of its episodes would pass.
    if ends[0] > data and mean > data:
        return "good", "Better than the data it learned from"
    if ends[1] < data and mean < data:
        return "bad", "Worse than the data it learned from"
    return "open", "Not distinguishable from the data it learned from"


def _side(overall: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Above or below a rival when the intervals do not overlap, ``unclear`` if they do, else ``unknown``."""
    ours, them = as_interval(overall.get("ci95")), as_interval(theirs.get("ci95"))
    if ours is None or them is None:
        return "unknown"
    return "above" if ours[0] > them[1] else "below" if ours[1] < them[0] else "unclear"


def _rival_sentence(name: str, other: Run, side: str, theirs: Mapping[str, Any]) -> str:
    told = {
        "above": f"That is above {name}",
        "below": f"That is below {name}",
        "unclear": f"That is not clearly apart from {name}",
        "unknown": f"Without an interval on both sides it is not judged against {name}",
    }
    setting = other.best()[0]
    which = f"whose best setting of {len(other.settings())}, {setting}, returns" if setting else "which returns"
    return f"{told[side]}, {which} {number(theirs['return_mean'])}."


def _choice_sentence(run: Run, setting: str) -> str:
    if not setting:
        return ""
    return (
        f"{setting} was chosen among {len(run.settings())} settings by its return in the environment, so its figures "
        "are optimistic: the highest of several is partly luck. New seeds of it alone would tell."
    )


def _return_sentence(run: Run, setting: str, overall: Mapping[str, Any]) -> str:
    text = f"Mean return{f' of {setting}' if setting else ''} {number(overall['return_mean'])}"
    if run.data_mean is not None:
        text += f"; the episodes of the data have {number(run.data_mean)}"
    if as_interval(overall.get("ci95")):
        text += f". IQM {number(overall.get('iqm'))}, 95 % interval {interval(overall['ci95'])}"
        if run.seeds(setting) == 1:
            text += ", of this one policy: one seed says nothing of the next"
    return text + "."


def _bound_sentence(overall: Mapping[str, Any]) -> str:
    kept = as_number(overall.get("lower_bound_share"))
    if kept is None:
        return ""
    told = f"The predicted value was a lower bound at {share(kept)} of the start states"
    if kept >= LOWER_BOUND_TARGET:
        return f"{told}: the critics promise no more than the policy keeps."
    return f"{told}, short of {share(LOWER_BOUND_TARGET)}: do not rely on the predicted value."


def tables(run: Run, others: Mapping[str, Run]) -> list[Table]:
    """The deterministic policy first, then the stochastic one; other runs with one row each.

    That row is over all members, or that of the best setting where there are several.
    """
    made = []
    for policy, heading in _POLICIES.items():
        summary, source = run.summary(policy)
        if not summary:
            continue
        rows = _setting_rows(run, policy) or [_row("all members", "overall", summary.get("", {}))]
        rows += [_row(name, "other", row) for name, row in _other_rows(others, policy).items() if row]
        rows += [_row(name, "member", row) for name, row in summary.items() if name]
        note = f"From {source}." if made else f"From {source}. {_NOTE}"
        made.append(_without_empty_columns(heading, rows, note))
    return made


_POLICIES = {"deterministic": "Evaluation", "stochastic": "Evaluation of the sampled policy"}

_NOTE = (
    "IQM is the mean of the middle half of the episodes, followed by its bootstrap interval. Predicted is "
    "what the critics promise at the start states, realised the discounted return that followed, both in "
    "the units of training; the bound is kept where the promise was not above it."
)


def _row(name: str, kind: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    show = {"ci95": interval, "lower_bound_share": share}
    return {"name": name, "kind": kind, "cells": [show.get(k, number)(summary.get(k)) for k in SUMMARY_KEYS]}


def _setting_rows(run: Run, policy: str) -> list[dict[str, Any]]:
    """A row for each of several settings, the best one marked: over all of them is nobody's figure."""
    best, settings = run.best()[0], run.settings(policy)
    rows = []
    for setting, figures in settings.items():
        seeds = run.seeds(setting)
        label = f"{setting}, {seeds} seed{'' if seeds == 1 else 's'}" if seeds else setting
        is_best = setting == best
        label += f" (best of {len(settings)})" if is_best else ""
        rows.append(_row(label, "overall" if is_best else "group", figures))
    return rows


def _other_rows(others: Mapping[str, Run], policy: str) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, other in others.items():
        setting = other.best()[0]
        if setting:
            rows[f"{name}, {setting} (best of {len(other.settings())})"] = other.settings(policy).get(setting, {})
        elif not other.settings():
            rows[name] = other.summary(policy)[0].get("", {})
    return rows


def _without_empty_columns(heading: str, rows: list[dict[str, Any]], note: str) -> Table:
    """Leave out what nobody has, except the return: an empty column is no information."""
    kept = [i for i, _ in enumerate(SUMMARY_KEYS) if i == 0 or any(row["cells"][i] != NOTHING for row in rows)]
    for row in rows:
        row["cells"] = [row["cells"][i] for i in kept]
    return Table(heading, [HEADS[SUMMARY_KEYS[i]] for i in kept], rows, note)

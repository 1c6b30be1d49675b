"""The verdict on a run in words: careful, and never more than was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prudent.report.format import interval, number, share
from prudent.runs.read import Run, as_interval, as_number

LOWER_BOUND_TARGET = 0.95
"""Share of start states at which the prediction has to be a lower bound."""


@dataclass(frozen=True)
class Verdict:
    """A headline, its reasons, and ``tone``: good, bad, or open if it cannot be decided."""

    tone: str
    headline: str
    reasons: list[str] = field(default_factory=list)


def judge(run: Run, others: Mapping[str, Run]) -> Verdict:
    """The verdict on a run, against its data and the other runs.

    If the run has several settings, the verdict is about the best one and says that it was chosen. Figures pooled over
    settings would describe no policy.
    """
    problems = _problems(run)
    setting, overall = run.best()
    if as_number(overall.get("return_mean")) is None:
        tone, headline, reasons = _from_log(run)
        return Verdict("bad" if run.diverged() else tone, headline, [*reasons, *problems])
    tone, headline = _against_data(run, overall)
    if setting:
        headline = f"{setting}, the best of {len(run.settings())} settings: {headline[0].lower()}{headline[1:]}"
    rivals = {name: other.best()[1] for name, other in others.items()}
    rivals = {name: figures for name, figures in rivals.items() if as_number(figures.get("return_mean")) is not None}
    sides = {name: _side(overall, figures) for name, figures in rivals.items()}
    tone, headline = _against_rivals(tone, headline, sides)
    reasons = [_return_sentence(run, setting, overall), _choice_sentence(run, setting)]
    reasons += [_rival_sentence(name, others[name], sides[name], figures) for name, figures in rivals.items()]
    reasons += [_bound_sentence(overall), *problems]
    return Verdict("bad" if run.diverged() else tone, headline, [sentence for sentence in reasons if sentence])


def _against_rivals(tone: str, headline: str, sides: Mapping[str, str]) -> tuple[str, str]:
    """Tone and headline with the other runs: a policy that is not better than they are is not good."""
    if worse := [name for name, side in sides.items() if side == "below"]:
        return "bad", f"{headline}, and worse than {' and '.join(worse)}"
    if tone == "good" and (unclear := [name for name, side in sides.items() if side != "above"]):
        return "open", f"{headline}, not clearly better than {' and '.join(unclear)}"
    return tone, headline


# --- without an environment -------------------------------------------------------------------------------------------

_SIDES = {1: "above", -1: "below", 0: "unclear"}

_FROM_LOG = {
    "above": ("good", "Estimated from the log: better than what made it"),
    "below": ("bad", "Estimated from the log: worse than what made it"),
    "unclear": ("open", "Estimated from the log: not distinguishable from what made it"),
    "unknown": ("open", "The value of this policy cannot be estimated from the log"),
}


def _from_log(run: Run) -> tuple[str, str, list[str]]:
    """Tone, headline and reasons from ``value.json``, if it is of the run's last step."""
    value, against, reasons = run.value, run.value.get("against"), run.value.get("reasons")
    if not isinstance(against, dict) or not isinstance(reasons, list) or value.get("step") != run.status.get("step"):
        unknown = (
            "It was not run in an environment, and losses do not show the value of a policy: prudent value estimates "
            "it from a log."
        )
        return "open", "The value of this policy is not known", [unknown]
    lead = value.get("lead", "fqe")
    signs = {str(name): pair[lead]["sign"] for name, pair in against.items() if _has_sign(pair, lead)}
    sides = {name: _SIDES.get(sign, "unknown") for name, sign in signs.items()}
    tone, headline = _FROM_LOG[sides.pop("behaviour", "unknown")]
    tone, headline = _against_rivals(tone, headline, sides)
    if tone == "good" and value.get("firm") is not True:
        named = value.get("reservations")
        doubts = f": {'; '.join(map(str, named))}" if isinstance(named, list) and named else ""
        tone, headline = "open", f"{headline}, but with reservations{doubts}"
    cautions = value.get("cautions")
    return tone, headline, [str(text) for text in reasons + (cautions if isinstance(cautions, list) else [])]


def _has_sign(pair: Any, lead: Any) -> bool:
    gain = pair.get(lead) if isinstance(pair, dict) else None
    return isinstance(gain, dict) and gain.get("sign", "") in (*_SIDES, None)


# --- problems ---------------------------------------------------------------------------------------------------------


def _problems(run: Run) -> list[str]:
    """A sentence for each thing that went wrong: members, incidents, data, an unfinished run."""
    incidents = run.incidents()
    stopped = {incident["member"] for incident in incidents if incident["kind"] == "stopped"}
    sentences = [
        f"Member {name} diverged at step {step:,} (a loss is not a number): its figures from then on mean nothing."
        for name, step in run.diverged().items()
        if name not in stopped
    ]
    sentences += [_incident_sentence(group) for group in _by_kind(incidents)]
    problems = run.dataset.get("problems")
    if isinstance(problems, list):
        sentences += [f"Data: {text}{'' if str(text).endswith('?') else '.'}" for text in problems]
    state, message = run.status.get("state"), run.status.get("message")
    if state and state != "finished":
        sentences.append(f"The run is not finished ({state})." + (f" {message}" if message else ""))
    return sentences


def _by_kind(incidents: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Incidents of the same member and kind together: a full disk is one sentence, not a hundred."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for incident in incidents:
        groups.setdefault((incident["member"], incident["kind"]), []).append(incident)
    return list(groups.values())


def _incident_sentence(incidents: list[dict[str, Any]]) -> str:
    first, kind = incidents[0], incidents[0]["kind"]
    times = "" if len(incidents) == 1 else f", the first of {len(incidents)} times"
    what = f"Member {first['member']}: {kind}" if first["member"] else kind.capitalize()
    return f"{what} at step {first['step']:,}{times}: {first['why']}."


# --- with an environment ----------------------------------------------------------------------------------------------


def _against_data(run: Run, overall: Mapping[str, Any]) -> tuple[str, str]:
    data, mean, ends = run.data_mean, overall["return_mean"], as_interval(overall.get("ci95"))
    if data is None:
        return "open", f"The policy returns {number(mean)}; the return of the data is not known"
    if ends is None:
        # One seed: the direction is reported, but nothing is called better.
        tone, side = ("open", "Above") if mean > data else ("bad", "Below")
        return tone, f"{side} the mean of the data, without an interval"
    # The interval is of the IQM. Without the mean, a policy that fails in a tenth of its episodes would pass.
    if ends[0] > data and mean > data:
        return "good", "Better than the data it learned from"
    if ends[1] < data and mean < data:
        return "bad", "Worse than the data it learned from"
    return "open", "Not distinguishable from the data it learned from"


def _side(overall: Mapping[str, Any], rival: Mapping[str, Any]) -> str:
    """``above`` or ``below`` a rival, ``unclear`` if the intervals overlap, ``unknown`` if one is missing."""
    ours, theirs = as_interval(overall.get("ci95")), as_interval(rival.get("ci95"))
    if ours is None or theirs is None:
        return "unknown"
    return "above" if ours[0] > theirs[1] else "below" if ours[1] < theirs[0] else "unclear"


def _rival_sentence(name: str, other: Run, side: str, rival: Mapping[str, Any]) -> str:
    comparison = {
        "above": f"That is above {name}",
        "below": f"That is below {name}",
        "unclear": f"That is not clearly different from {name}",
        "unknown": f"Without an interval for both it is not compared with {name}",
    }[side]
    setting = other.best()[0]
    which = f"whose best setting of {len(other.settings())}, {setting}, returns" if setting else "which returns"
    return f"{comparison}, {which} {number(rival['return_mean'])}."


def _choice_sentence(run: Run, setting: str) -> str:
    if not setting:
        return ""
    return (
        f"{setting} was chosen among {len(run.settings())} settings by its return in the environment, so its figures "
        "are optimistic: the highest of several is partly luck. New seeds of this setting alone give a fair estimate."
    )


def _return_sentence(run: Run, setting: str, overall: Mapping[str, Any]) -> str:
    text = f"Mean return{f' of {setting}' if setting else ''}: {number(overall['return_mean'])}"
    if run.data_mean is not None:
        text += f"; the episodes of the data have {number(run.data_mean)}"
    if as_interval(overall.get("ci95")):
        text += f". IQM {number(overall.get('iqm'))}, 95 % interval {interval(overall['ci95'])}"
        if run.seeds(setting) == 1:
            text += ", for this one policy: one seed says nothing about another"
    return text + "."


def _bound_sentence(overall: Mapping[str, Any]) -> str:
    held = as_number(overall.get("lower_bound_share"))
    if held is None:
        return ""
    text = f"The predicted value was a lower bound at {share(held)} of the start states"
    if held >= LOWER_BOUND_TARGET:
        return f"{text}: the critics predict no more than the policy earns."
    return f"{text}, less than {share(LOWER_BOUND_TARGET)}: do not rely on the predicted value."

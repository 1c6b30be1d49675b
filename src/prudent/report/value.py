"""Tables of policy values estimated from a log, and the section of the report made from ``value.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

from prudent.ope.estimates import value_verb
from prudent.report.format import Table, chance, interval, number
from prudent.runs.read import NOTHING, Run, as_number

ESTIMATORS = ("fqe", "wdr", "pdwis")
ONE_STEP = ("wdr", "pdwis", "fqe")
"""The same for single decisions: those with weights lead."""
UNSUPPORTED = "unsupported"
_LOG_HARM = "behaviour_bad_ends"

Row = tuple[str, str, Mapping[str, Any]]
"""Kind (overall, other, member), name, and the summary of a :class:`prudent.ope.OffPolicyValue`."""


def estimates_table(heading: str, episodes: str, rows: Sequence[Row]) -> Table:
    """Every policy with its estimates and intervals, then the behaviour; ``episodes`` says which were used."""
    if rows[0][2].get("one_step"):
        return _one_step_table(heading, episodes, rows)
    first = rows[0][2]
    harm = any(policy.get("bad_ends") for _, _, policy in (*rows, ("", "", {"bad_ends": first.get(_LOG_HARM)})))
    lines = []
    for kind, name, policy in rows:
        cells = [*(_estimate(policy[key]) for key in ESTIMATORS), _estimate(policy["undiscounted"]["pdwis"])]
        lines.append({"name": name, "kind": kind, "cells": cells + ([_chance(policy.get("bad_ends"))] * harm)})
    cells = [_estimate(first["behaviour"]), NOTHING, NOTHING, _estimate(first["undiscounted"]["behaviour"])]
    lines.append({"name": "behaviour (what was logged)", "kind": "other", "cells": cells + [NOTHING] * harm})
    if "fitted_behaviour" in first:
        cells = [_estimate(first["fitted_behaviour"]), NOTHING, NOTHING, NOTHING]
        cells += [_chance(first.get(_LOG_HARM))] * harm
        lines.append({"name": "behaviour, by FQE as well", "kind": "other", "cells": cells})
    note = (
        f"Value of the start states {episodes}, discounted by {first['discount']:g} per {first.get('clock', 'step')}, "
        "with 95 % intervals. FQE is fitted Q evaluation (of the behaviour: what it "
        f"{value_verb(first.get('tail_weight', 0))} by its own rewards), WDR weighted doubly robust, PDWIS "
        "per-decision weighted importance sampling. Per episode is the sum of rewards as recorded, not discounted."
    )
    heads = ["FQE", "WDR", "PDWIS", "per episode"]
    if harm:
        heads.append("ends badly")
        note += " Ends badly: the fitted share of episodes that terminate with a loss, discounted in the same way."
    return Table(heading, heads, lines, f"{note} {_unsupported_reasons(rows)}".strip(), "policy")


def _one_step_table(heading: str, episodes: str, rows: Sequence[Row]) -> Table:
    lines = [
        {"name": name, "kind": kind, "cells": [_estimate(policy[key]) for key in ONE_STEP]}
        for kind, name, policy in rows
    ]
    cells = [_estimate(rows[0][2]["behaviour"]), NOTHING, NOTHING]
    lines.append({"name": "behaviour (what was logged)", "kind": "other", "cells": cells})
    note = (
        f"Reward per decision {episodes}, with 95 % intervals. WDR is doubly robust, PDWIS importance sampling with "
        "weights that sum to one, FQE the direct method: a model of the rewards, whose interval leaves out the error "
        "of the model."
    )
    return Table(heading, ["WDR", "PDWIS", "FQE"], lines, f"{note} {_unsupported_reasons(rows)}".strip(), "policy")


def gains_table(heading: str, gains: Mapping[str, Mapping[str, Any]]) -> Table:
    """Differences between policies with their intervals, by name."""
    rows = [
        {"name": name, "kind": "member", "cells": [_value(gain), interval(gain["ci95"])]}
        for name, gain in gains.items()
    ]
    note = "Both policies use the same resamples of the episodes. A gain is shown if its whole interval is above zero."
    return Table(heading, ["gain", "95 % interval"], rows, note, "what")


def _estimate(estimate: Mapping[str, Any]) -> str:
    return _value(estimate) + (f" ({interval(estimate['ci95'])})" if estimate["ci95"] else "")


def _chance(estimate: Mapping[str, Any] | None) -> str:
    """A chance in per cent; a dash without one."""
    if not estimate or as_number(estimate["value"]) is None:
        return NOTHING
    return chance(estimate["value"], estimate["ci95"])


def _value(estimate: Mapping[str, Any]) -> str:
    return UNSUPPORTED if as_number(estimate["value"]) is None else number(estimate["value"])


def _unsupported_reasons(rows: Sequence[Row]) -> str:
    """Why values are unsupported: each reason once, with its policies."""
    names: dict[str, list[str]] = {}
    for _, name, policy in rows:
        for estimate in [*(policy[key] for key in ESTIMATORS), policy["undiscounted"]["pdwis"]]:
            if estimate["unsupported"] and name not in names.setdefault(estimate["unsupported"], []):
                names[estimate["unsupported"]].append(name)
    reasons = [f"{' and '.join(policies)}: {reason}" for reason, policies in names.items()]
    return f"Why unsupported: {'; '.join(reasons)}." if reasons else ""


# --- value.json -------------------------------------------------------------------------------------------------------


def value_tables(value: Mapping[str, Any]) -> list[Table]:
    """Tables of ``value.json`` (:meth:`prudent.ope.result.ValueResult.to_json`); none if it is damaged."""
    try:
        rows = [(_kind(value, policy), str(policy["title"]), policy) for policy in value["policies"]]
        episodes = f"of {value['episodes']:,} episodes of {value['dataset']}"
        pairs = {("what made the log" if key == "behaviour" else key): pair for key, pair in value["against"].items()}
        lead = value.get("lead", "fqe")
        gains = {f"over {name}": pair[lead] for name, pair in pairs.items()}
        gains |= {
            f"over {name}, {key.upper()}": gain
            for key in ESTIMATORS
            for name, pair in pairs.items()
            if key != lead and (gain := pair.get(key)) and gain["value"] is not None
        }
        return [
            estimates_table("Value of each policy", episodes, rows),
            gains_table(f"Gain of {value['best']}, by {lead.upper()}", gains),
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return []


def _kind(value: Mapping[str, Any], policy: Mapping[str, Any]) -> str:
    return "other" if policy["run"] else "overall" if policy["title"] == value["best"] else "member"


def value_section(run: Run) -> dict[str, Any]:
    """Tables and sentences of ``value.json``; empty without it."""
    tables, reading, cautions = value_tables(run.value), run.value.get("reading"), run.value.get("cautions")
    if not tables or not isinstance(reading, list) or not isinstance(cautions, list):
        return {}
    # If nothing was run in an environment, the verdict has the cautions already.
    evaluated = as_number(run.best()[1].get("return_mean")) is not None
    sentences = [str(sentence) for sentence in (*(cautions if evaluated else []), *reading)]
    step, now = run.value.get("step"), run.status.get("step")
    if isinstance(step, int) and step != now:
        sentences.insert(0, f"This is of step {step:,}. The run has continued since; prudent value estimates it again.")
    return {"tables": tables, "sentences": sentences}

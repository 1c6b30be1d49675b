"""Tables of what policies are worth by a log, and the section of the report out of ``value.json``."""

from collections.abc import Mapping, Sequence
from typing import Any

from prudent.ope.estimates import value_verb
from prudent.report.format import Table, interval, number
from prudent.runs.read import NOTHING, Run, as_number

ESTIMATORS = ("fqe", "wdr", "pdwis")
UNSUPPORTED = "unsupported"

Row = tuple[str, str, Mapping[str, Any]]
"""Kind (overall, other, member), name, and the summary of a :class:`prudent.ope.OffPolicyValue`."""


def worth_table(heading: str, about: str, rows: Sequence[Row]) -> Table:
    """Every policy with its estimates and their intervals, then what made the log; ``about`` says on which episodes."""
    shown = [
        {"name": name, "kind": kind, "cells": [_estimate(found[key]) for key in ESTIMATORS] + [_whole(found, "pdwis")]}
        for kind, name, found in rows
    ]
    found = rows[0][2]
    cells = [_estimate(found["behaviour"]), NOTHING, NOTHING, _whole(found, "behaviour")]
    shown.append({"name": "behaviour (what was logged)", "kind": "other", "cells": cells})
    if "fitted_behaviour" in found:
        cells = [_estimate(found["fitted_behaviour"]), NOTHING, NOTHING, NOTHING]
        shown.append({"name": "behaviour, fitted likewise", "kind": "other", "cells": cells})
    theirs = f"what it {value_verb(found.get('tail_weight', 0))} by its own rewards"
    discounted = f"discounted by {found['discount']:g} a {found.get('clock', 'step')}"
    note = (
        f"Value from the start states {about}, {discounted}, with 95 % intervals: by fitted Q evaluation (of the "
        f"behaviour: {theirs}), weighted doubly robust and per-decision weighted importance sampling; then the sum of "
        "rewards per episode as recorded, without a discount."
    )
    return Table(heading, ["FQE", "WDR", "PDWIS", "per episode"], shown, f"{note} {_why(rows)}".strip(), "policy")


def gains_table(heading: str, gains: Mapping[str, Mapping[str, Any]]) -> Table:
    """Differences with their intervals, by what is less what."""
    rows = [
        {"name": name, "kind": "member", "cells": [_value(gain), interval(gain["ci95"])]}
        for name, gain in gains.items()
    ]
    note = "Paired by resample of the episodes; a gain is shown where its whole interval lies above zero."
    return Table(heading, ["gain", "95 % interval"], rows, note, "what")


def _estimate(found: Mapping[str, Any]) -> str:
    return _value(found) + (f" ({interval(found['ci95'])})" if found["ci95"] else "")


def _value(found: Mapping[str, Any]) -> str:
    return UNSUPPORTED if as_number(found["value"]) is None else number(found["value"])


def _whole(found: Mapping[str, Any], name: str) -> str:
    return _estimate(found["undiscounted"][name])


def _why(rows: Sequence[Row]) -> str:
    """Reasons of what is unsupported, each once, with the policies that it holds for."""
    names: dict[str, list[str]] = {}
    for _, name, found in rows:
        for estimate in [*(found[key] for key in ESTIMATORS), found["undiscounted"]["pdwis"]]:
            if estimate["unsupported"] and name not in names.setdefault(estimate["unsupported"], []):
                names[estimate["unsupported"]].append(name)
    told = [f"{' and '.join(who)}: {reason}" for reason, who in names.items()]
    return f"Unsupported, why: {'; '.join(told)}." if told else ""


# --- value.json -------------------------------------------------------------------------------------------------------


def value_tables(value: Mapping[str, Any]) -> list[Table]:
    """What ``value.json`` holds (:meth:`prudent.ope.result.ValueResult.to_json`) as tables; none where damaged."""
    try:
        rows = [(_kind(value, found), str(found["title"]), found) for found in value["policies"]]
        episodes = f"of {value['episodes']:,} episodes of {value['dataset']}"
        less = {("what made the log" if name == "behaviour" else name): pair for name, pair in value["against"].items()}
        gains = {f"over {name}": pair["fqe"] for name, pair in less.items()}
        gains |= {f"over {name}, WDR": pair["wdr"] for name, pair in less.items() if pair["wdr"]["value"] is not None}
        return [
            worth_table("What each is worth, from a log alone", episodes, rows),
            gains_table(f"What {value['best']} is worth more, by FQE", gains),
        ]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return []


def _kind(value: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    return "other" if found["run"] else "overall" if found["title"] == value["best"] else "member"


def value_section(run: Run) -> dict[str, Any]:
    """Tables and sentences of the report; nothing where the run was not weighed."""
    tables, reading, cautions = value_tables(run.value), run.value.get("reading"), run.value.get("cautions")
    if not tables or not isinstance(reading, list) or not isinstance(cautions, list):
        return {}
    # Where nothing was run in an environment the verdict has them already.
    known = as_number(run.best()[1].get("return_mean")) is not None
    told = [str(sentence) for sentence in (*(cautions if known else []), *reading)]
    step, now = run.value.get("step"), run.status.get("step")
    if isinstance(step, int) and step != now:
        told.insert(0, f"This is of step {step:,}; the run has gone on since, and prudent value weighs it anew.")
    return {"tables": tables, "reading": told}

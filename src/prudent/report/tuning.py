"""``report.html`` of a tuning: the verdict with its reasons, what the policies are worth, the grid."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent.files import replace
from prudent.report import pages
from prudent.report.format import Table, interval, number
from prudent.report.value import gains_table, worth_table
from prudent.report.verdict import Verdict
from prudent.runs.read import NOTHING, title_of

_FILES = ("tune.json", "plan.json", "tune.png", "grid/report.html", "bc/report.html", "policy")
_ALT = "Fitted Q evaluation of every run of the grid, by alpha"


def tune_report(folder: Path | str, result: Mapping[str, Any], picture: Path | None = None) -> Path:
    """Write ``folder/report.html`` of what :meth:`prudent.tuning.TuneResult.to_json` holds; returns its path.

    ``picture`` is a PNG of the grid.
    """
    folder, split, plan = Path(folder), result["splits"][0], result["plan"]
    page = pages.render(
        "tuning.html.j2",
        title=f"{title_of(plan['algorithm'])} tuned on {plan['dataset']['name']}",
        facts=_facts(result, split),
        verdict=_verdict(result),
        final=_final(split["final"]),
        grid=_grid(result, split),
        gains=gains_table("Differences on the final part", split["final"]["differences"]),
        readings=[f"{c['name']}: {c['reading']}." for c in split["candidates"] if c["reading"]],
        stability=_stability(result["stability"]),
        picture=None if picture is None else pages.data_uri(picture, "image/png"),
        alt=_ALT,
        dataset=pages.setting_pairs(plan["dataset"]),
        tuning=pages.setting_pairs({"alpha": plan["alpha"], "seeds": plan["seeds"]} | plan["settings"]),
        settings=pages.setting_pairs({"algorithm": plan["algorithm"]} | plan["config"]),
        files=pages.links(folder, _FILES),
    )
    return replace(folder / "report.html", page.encode("utf-8"), durable=False)


def _facts(result: Mapping[str, Any], split: Mapping[str, Any]) -> list[str]:
    parts = split["parts"]
    told = f"by {parts['by']}: {parts['train']} to train, {parts['evaluation']} to rank, {parts['final']} to judge"
    return [f"{len(split['candidates'])} runs", told, f"{result['kept']} is kept"]


def _verdict(result: Mapping[str, Any]) -> Verdict:
    """Good where the policy is to be deployed; everything else leaves open whether any is better."""
    text = str(result["verdict"])
    deployed = text.startswith("deploy")
    headline = text[0].upper() + text[1:] + (f": {result['winner']}" if deployed else "")
    return Verdict("good" if deployed else "open", headline, [f"{reason}." for reason in result["reasons"]])


def _final(final: Mapping[str, Any]) -> Table:
    """Policy, BC and behaviour, each with its interval, by estimates on the part kept for the end."""
    rows = [
        (kind, f"{title}, {found['policy']}", found)
        for kind, title, found in (("overall", "policy", final["policy"]), ("member", "BC", final["bc"]))
        if found is not None
    ]
    return worth_table("What each is worth", "of episodes that neither trained nor chose", rows)


def _grid(result: Mapping[str, Any], split: Mapping[str, Any]) -> Table:
    """Every run, the best on top, then BC; marked is what is kept."""
    checked = result["checked"]
    heads = ["step", "Q there", "Q peak at", "FQE", "its interval", "rank"]
    heads += [f"return in {checked['env']}"] if checked else []
    rows = []
    for c in [*sorted(split["candidates"], key=lambda c: c["rank"] or math.inf), *split["imitators"]]:
        name = c["name"] if c["alpha"] is not None else f"BC,{c['name']}"
        cells = [_whole(c["step"]), number(c["q"]), _whole(c["peak_step"]), number(c["value"]), interval(c["interval"])]
        cells += [_whole(c["rank"])] + ([number(checked["returns"].get(name))] if checked else [])
        kind = "overall" if name == result["kept"] else "other" if c["alpha"] is None else "member"
        rows.append({"name": name, "kind": kind, "cells": cells})
    note = (
        "Ranked by alpha, by the mean lower end of its runs' intervals, then by each one's own. Bold is what is kept. "
    )
    note += "; ".join(f"{c['name']}: {c['reason']}" for c in (*split["candidates"], *split["imitators"]) if c["reason"])
    if checked:
        note += f" Returns in {checked['env']} are a check made afterwards; they chose nothing."
    return Table("Runs", heads, rows, note, "run")


def _stability(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How often each alpha won and each verdict fell, where the episodes were divided more than once."""
    if told["splits"] < 2:
        return []
    parts: Sequence[tuple[str, str]] = (("alpha", "alpha {} won"), ("verdict", "{}"))
    return [(form.format(key), f"{n} of {told['splits']}") for kind, form in parts for key, n in told[kind].items()]


def _whole(value: Any) -> str:
    return NOTHING if value is None else f"{value:,}"

"""``report.html`` of a tuning: the verdict with its reasons, the value of each policy, the grid."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent.files import replace
from prudent.report import pages
from prudent.report.format import WAYS, Table, interval, number
from prudent.report.value import estimates_table, gains_table, value_tables
from prudent.report.verdict import Verdict
from prudent.runs.folder import read_json
from prudent.runs.read import NOTHING, title_of

_FILES = ("tune.json", "plan.json", "value.json", "tune.png", "grid/report.html", "bc/report.html", "policy")
_ALT = "Fitted Q evaluation of every run of the grid, by setting"
_CAPTION = (
    "A dot per run with its interval, estimated on the part of the episodes that ranks the runs. The ring marks the "
    "winner, a cross a run without a value."
)


def tune_report(folder: Path | str, result: Mapping[str, Any], picture: Path | None = None) -> Path:
    """Write ``folder/report.html`` from :meth:`prudent.tuning.TuneResult.to_json`; returns its path.

    ``picture`` is a PNG of the grid. A ``value.json`` in the folder, which ``prudent value`` wrote, gets a section if
    it is of the policy that is kept.
    """
    folder = Path(folder)
    page = tune_page(folder, result, picture, _value(folder, result["kept"]))
    return replace(folder / "report.html", pages.encoded(page), durable=False)


def tune_page(
    folder: Path, result: Mapping[str, Any], picture: Path | None = None, value: Mapping[str, Any] | None = None
) -> str:
    """The text of the report; nothing is written. ``value`` are the tables and sentences of ``value.json``."""
    split, plan = result["splits"][0], result["plan"]
    return pages.render(
        "tuning.html.j2",
        title=f"{_algorithms(plan)} tuned on {plan['dataset']['name']}",
        facts=_facts(result, split),
        verdict=_verdict(result),
        final=_final(split["final"]),
        grid=_grid(result, split),
        gains=gains_table("Differences on the final part", split["final"]["differences"]),
        readings=_readings(split["candidates"]),
        stability=_stability(result["stability"]),
        value=value or {},
        picture=None if picture is None else pages.figure(picture, "wide", _ALT, _CAPTION),
        dataset=pages.setting_pairs(plan["dataset"]),
        tuning=pages.setting_pairs({"seeds": plan["seeds"]} | plan["settings"]),
        settings=[pair for grid in plan["grids"] for pair in _settings(grid)],
        files=pages.links(folder, _FILES),
    )


def _algorithms(plan: Mapping[str, Any]) -> str:
    """The titles of the algorithms."""
    return " and ".join(title_of(grid["algorithm"]) for grid in plan["grids"])


def _settings(grid: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The algorithm, the values of its strength, and its other settings."""
    return pages.setting_pairs({"algorithm": grid["algorithm"], grid["strength"]: grid["values"]} | grid["config"])


def _facts(result: Mapping[str, Any], split: Mapping[str, Any]) -> list[str]:
    parts = split["parts"]
    sizes = f"by {parts['by']}: {parts['train']} to train, {parts['evaluation']} to rank, {parts['final']} to judge"
    kept = "no policy is kept" if result["kept"] is None else f"{result['kept']} is kept"
    return [f"{len(split['candidates'])} runs", sizes, kept]


def _verdict(result: Mapping[str, Any]) -> Verdict:
    """Good if the policy is to be deployed; any other verdict leaves open whether one is better."""
    text = str(result["verdict"])
    deployed = text.startswith("deploy")
    headline = text[0].upper() + text[1:] + (f": {result['winner']}" if deployed else "")
    return Verdict("good" if deployed else "open", headline, [f"{reason}." for reason in result["reasons"]])


def _final(final: Mapping[str, Any]) -> Table:
    """The values of policy, BC and behaviour, estimated on the final part of the episodes."""
    rows = [
        (kind, f"{title}, {value['policy']}", value)
        for kind, title, value in (("overall", "policy", final["policy"]), ("member", "BC", final["bc"]))
        if value is not None
    ]
    return estimates_table("Value of each policy", "of episodes used neither to train nor to choose", rows)


def _grid(result: Mapping[str, Any], split: Mapping[str, Any]) -> Table:
    """Every run, the best first, then BC; the kept one is marked."""
    checked = result["checked"]
    heads = ["step", "Q there", "Q peak at", "FQE", "its interval", "rank"]
    two_ways = any(c.get("other") is not None for c in (*split["candidates"], *split["imitators"]))
    heads += ["acts by", "FQE the other way"] if two_ways else []
    heads += [f"return in {checked['env']}"] if checked else []
    rows = []
    for c in [*sorted(split["candidates"], key=lambda c: c["rank"] or math.inf), *split["imitators"]]:
        name = c["name"]
        cells = [_whole(c["step"]), number(c["q"]), _whole(c["peak_step"]), number(c["value"]), interval(c["interval"])]
        cells += [_whole(c["rank"])]
        cells += [WAYS[c.get("acting", "mode")], number(c.get("other"))] if two_ways else []
        cells += [number(checked["returns"].get(name))] if checked else []
        kind = "overall" if name == result["kept"] else "member" if c["setting"] else "other"
        rows.append({"name": name, "kind": kind, "cells": cells})
    note = (
        "Ranked by setting (the mean lower end of the intervals of its runs), then by the lower end of each run. "
        "The kept run is bold. "
    )
    note += "; ".join(f"{c['name']}: {c['reason']}" for c in (*split["candidates"], *split["imitators"]) if c["reason"])
    if checked:
        note += f" Returns in {checked['env']} were measured afterwards as a check; the choice did not use them."
    return Table("Runs", heads, rows, note, "run")


def _value(folder: Path, kept: str | None) -> dict[str, Any]:
    """Tables and sentences of ``value.json``; empty without it, or if it is of another policy."""
    path = folder / "value.json"
    value = read_json(path, strict=False) if path.is_file() else {}
    tables = value_tables(value)
    if kept is None or not tables or value["tuning"]["kept"] != kept:
        return {}
    sentences = [*value["reasons"], *value["cautions"], *value["reading"]]
    return {"headline": f"{value['verdict']}.", "tables": tables, "sentences": [str(s) for s in sentences]}


def _readings(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the curves of dataset Q show, a line for each shape with the runs that have it."""
    runs: dict[str, list[str]] = {}
    for c in candidates:
        if c["reading"]:
            runs.setdefault(c["reading"], []).append(c["name"])
    every = len(candidates)
    return [
        f"{f'All {every} runs' if len(names) == every > 1 else ', '.join(names)}: {reading}."
        for reading, names in runs.items()
    ]


def _stability(stability: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How often each setting won and each verdict came out; empty if the episodes were split only once."""
    splits = stability["splits"]
    if splits < 2:
        return []
    settings = [(f"{setting} won", count) for setting, count in stability["setting"].items()]
    return [(name, f"{count} of {splits}") for name, count in [*settings, *stability["verdict"].items()]]


def _whole(value: Any) -> str:
    return NOTHING if value is None else f"{value:,}"

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
        grids=_grids(result, split),
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


def _grids(result: Mapping[str, Any], split: Mapping[str, Any]) -> list[Table]:
    """The runs of the grid, the best first, and those of BC, which are not ranked with them; the kept one is marked."""
    runs, clones = sorted(split["candidates"], key=lambda c: c["rank"] or math.inf), split["imitators"]
    grid = [[_whole(c["step"]), number(c["q"]), _whole(c["peak_step"]), *_fitted(c), _whole(c["rank"])] for c in runs]
    of_bc = [[_whole(c["step"]), *_fitted(c), "yes" if c["name"] == split["imitator"] else "no"] for c in clones]
    note = (
        "Ranked by setting (the mean lower end of the intervals of its runs), then by the lower end of each run. "
        "The kept run is bold."
    )
    if checked := result["checked"]:
        note += f" Returns in {checked['env']} were measured afterwards as a check; the choice did not use them."
    heads = ["step", "Q there", "Q peak at", "FQE", "its interval", "rank"]
    of_bc_note = "These imitate the log and have no rank in the grid. One of them is compared with the winner."
    return [
        _runs("Runs", heads, runs, grid, note, result),
        _runs("BC", ["step", "FQE", "its interval", "compared"], clones, of_bc, of_bc_note, result),
    ]


def _fitted(c: Mapping[str, Any]) -> list[str]:
    return [number(c["value"]), interval(c["interval"])]


def _runs(
    heading: str,
    heads: list[str],
    runs: Sequence[Mapping[str, Any]],
    cells: list[list[str]],
    note: str,
    result: Mapping[str, Any],
) -> Table:
    """The cells of each run, how it acts if any of them has two ways to, and its return if there is an environment."""
    checked, two_ways = result["checked"], any(c.get("other") is not None for c in runs)
    heads = heads + (["acts by", "FQE the other way"] if two_ways else [])
    heads += [f"return in {checked['env']}"] if checked else []
    rows = []
    for c, own in zip(runs, cells, strict=True):
        row = [*own, *([WAYS[c.get("acting", "mode")], number(c.get("other"))] if two_ways else [])]
        row += [number(checked["returns"].get(c["name"]))] if checked else []
        kind = "overall" if c["name"] == result["kept"] else "member" if c["setting"] else "other"
        rows.append({"name": c["name"], "kind": kind, "cells": row})
    return Table(heading, heads, rows, f"{note} {_reasons(runs)}".strip(), "run")


def _reasons(candidates: Sequence[Mapping[str, Any]]) -> str:
    """Why runs have no value."""
    return "; ".join(f"{c['name']}: {c['reason']}" for c in candidates if c["reason"])


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

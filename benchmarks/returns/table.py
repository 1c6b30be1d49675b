"""The table of the docs: each log's racers at shares of the minutes."""

import math
from collections.abc import Sequence
from typing import Any

from benchmarks.returns.racers import RACERS
from benchmarks.returns.results import Results

SHARES = (0.25, 0.5, 1.0)
"""Shares of the minutes that have a column."""


def rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and rows: for each log the log itself, then the racers that ran, the best at the end of the minutes first.

    A cell is the mean over seeds, with the lowest and the highest in brackets.
    """
    minutes, times = (results["settings"][name] for name in ("minutes", "times"))
    marks = [share * minutes for share in SHARES] + ([times * minutes] if times > 1 else [])
    head = ["policy", "seeds", "steps a minute", *(f"return after {mark:g} min" for mark in marks)]
    head += ["predicted / realised"]
    made = []
    for name, log in results["logs"].items():
        figures = f"mean {log['mean']:.0f}, best tenth {log['best_tenth']:.0f}, best {log['best']:.0f}"
        made.append([f"**{name}** ({log['rows']:,} rows: {figures})", *[""] * (len(head) - 1)])
        lines = [(racer, of_racer(results, name, racer)) for racer in RACERS]
        ranked = sorted((line for line in lines if line[1]), key=lambda line: -_last(line[1], minutes))
        made += [_row(racer, runs, marks, minutes) for racer, runs in ranked]
    return head, made


def of_racer(results: Results, log: str, racer: str) -> list[dict[str, Any]]:
    """The runs of a racer on a log."""
    return [run for run in results["runs"] if (run["log"], run["racer"]) == (log, racer)]


def point_at(run: dict[str, Any], minutes: float) -> dict[str, Any] | None:
    """The last evaluation at a mark of up to so many minutes; None if there is none, or if the run goes no further."""
    if not run["points"] or (run["points"][-1]["mark"] < minutes * (1 - 1e-9) and not _diverged(run)):
        return None
    before = [point for point in run["points"] if point["mark"] <= minutes * (1 + 1e-9)]
    return before[-1] if before else None


def _diverged(run: dict[str, Any]) -> bool:
    return run["points"][-1]["return"] is None


def _last(runs: Sequence[dict[str, Any]], minutes: float) -> float:
    """Mean return after the minutes; below everything if one has diverged or has not come that far."""
    found = [point_at(run, minutes) for run in runs]
    if any(point is None or point["return"] is None for point in found):
        return -math.inf
    return sum(point["return"] for point in found if point is not None) / len(found)


def _row(racer: str, runs: Sequence[dict[str, Any]], marks: Sequence[float], minutes: float) -> list[str]:
    speed = sum(run["points"][-1]["step"] / run["points"][-1]["minutes"] for run in runs) / len(runs)
    cells = [_cell([point_at(run, mark) for run in runs]) for mark in marks]
    final = [point for run in runs if (point := point_at(run, minutes)) is not None and point["return"] is not None]
    return [RACERS[racer].title, str(len(runs)), f"{speed:,.0f}", *cells, _values(final)]


def _cell(points: Sequence[dict[str, Any] | None]) -> str:
    returns = [point["return"] for point in points if point is not None]
    if not returns:
        return ""
    if None in returns:
        return "diverged"
    mean = f"{sum(returns) / len(returns):.0f}"
    return mean if len(returns) == 1 else f"{mean} ({min(returns):.0f} to {max(returns):.0f})"


def _values(points: Sequence[dict[str, Any]]) -> str:
    """Mean predicted and realised value after the minutes."""
    if not points or any(point["predicted"] is None for point in points):
        return "-"
    predicted, realised = (sum(point[key] for point in points) / len(points) for key in ("predicted", "realised"))
    return f"{predicted:.0f} / {realised:.0f}"

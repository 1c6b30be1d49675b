"""The runs of a tuning as text: a table of the grid, and one of BC, which is compared with it and not ranked."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prudent.report.format import WAYS
from prudent.report.terminal import text_table

if TYPE_CHECKING:
    from prudent.tuning.result import Candidate, Split


def text(split: "Split", checked: Mapping[str, Any] | None) -> str:
    """Both tables, the grid with the best run first; ``checked`` are returns in an environment, None without one."""
    runs = sorted(split.candidates, key=lambda c: c.rank or math.inf)
    grid = [
        [figure(c.step, ",d"), figure(c.q), figure(c.peak_step, ",d"), *_value(c), figure(c.rank, "d")] for c in runs
    ]
    clones = [[figure(c.step, ",d"), *_value(c), "yes" if c.name == split.imitator else "no"] for c in split.imitators]
    heads = ["run", "step", "Q there", "Q peak at", "FQE", "lower bound", "rank"]
    of_bc = ["imitation of the log", "step", "FQE", "lower bound", "compared"]
    return f"{_table(heads, runs, grid, checked)}\n\n{_table(of_bc, split.imitators, clones, checked)}"


def _table(
    heads: list[str], runs: "Sequence[Candidate]", cells: list[list[str]], checked: Mapping[str, Any] | None
) -> str:
    """The cells of each run between its name and how it acts, if any run has two ways to act, and its return."""
    two_ways = any(c.other is not None for c in runs)
    heads = heads + (["acts by", "FQE the other way"] if two_ways else [])
    heads += [f"return in {checked['env']}"] if checked else []
    rows = []
    for c, own in zip(runs, cells, strict=True):
        row = [c.name, *own, *([WAYS[c.acting], figure(c.other)] if two_ways else [])]
        rows.append(row + ([figure(checked["returns"].get(c.name))] if checked else []))
    return text_table(heads, rows)


def figure(value: float | None, form: str = ".4g") -> str:
    """A figure as text; a dash without one."""
    return "-" if value is None else format(value, form)


def _value(c: "Candidate") -> list[str]:
    """Fitted value and lower bound."""
    return [figure(c.value), figure(c.interval and c.interval[0])]

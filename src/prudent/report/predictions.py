"""The picture of promises: predicted against realised value, a dot per start state, of a run and of those beside it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.report import style
from prudent.report.format import share
from prudent.runs.read import Run, as_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3

Starts = tuple[str, np.ndarray, np.ndarray]
"""A setting, and what was predicted and what followed at some start states, (states,) each."""


def promises(run: Run, others: Mapping[str, Run]) -> "Figure | None":
    """A panel per run, of its best setting, all on the same scale; None where this run's start states are not known.

    A dot above the diagonal is a promise kept: what followed was no less than what the critics promised. Where nothing
    was run in an environment, fitted Q evaluation says what followed, as far as ``value.json`` has it.
    """
    named = {run.algorithm: run} | dict(others)
    panels = {name: found for name, one in named.items() if (found := starts(one)) is not None}
    followed = "realised, discounted"
    if run.algorithm not in panels:
        panels, followed = starts_by_log(run), "by the log (FQE), discounted"
    if not panels:
        return None
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    figure = style.new_figure(4.2 * columns + (0.6 if columns == 1 else 0), 4.1 * lines)
    grid = figure.add_gridspec(lines, columns, hspace=0.45, wspace=0.28)
    everything = np.concatenate([values for _, *both in panels.values() for values in both])
    low, high = float(everything.min()), float(everything.max())
    room = 0.06 * (high - low) or max(abs(high) * 0.1, 0.5)
    for i, (name, (setting, predicted, realized)) in enumerate(panels.items()):
        axes = figure.add_subplot(grid[divmod(i, columns)])
        kept = f"bound kept at {share(float((predicted <= realized).mean()))} of {len(predicted)} starts"
        style.quiet(axes, style.label_text(f"{name} {setting}".strip()), below=kept)
        _draw(axes, predicted, realized, (low - room, high + room))
        if i % columns == 0:
            axes.set_ylabel(followed, fontsize=10.5, color=style.QUIET)
    return figure


def starts_by_log(run: Run) -> dict[str, Starts]:
    """The best policy of ``value.json`` and those beside it: predicted and fitted values of the log's start states."""
    rows, best = run.value.get("policies"), run.value.get("best")
    found: dict[str, Starts] = {}
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping) or not (row.get("run") or row.get("title") == best):
            continue
        pairs = _pairs(row.get("starts"), "fitted")
        name = str(row.get("run") or run.algorithm)
        if pairs and name not in found:
            found[name] = (str(row.get("setting") or ""), *np.array(pairs).T)
    return found if run.algorithm in found else {}


def starts(run: Run) -> Starts | None:
    """The best setting of a run, and its predicted and realised values (starts of its seeds,); None where not known."""
    rows, setting = run.evaluation.get("starts"), run.best()[0]
    if not isinstance(rows, Mapping):
        return None
    names = run.groups().get(setting, run.names) if setting else run.names
    pairs = [pair for name in names for pair in _pairs(rows.get(name), "realized")]
    if not pairs:
        return None
    predicted, realized = np.array(pairs).T
    return setting, predicted, realized


def _pairs(row: Any, key: str) -> list[tuple[float, float]]:
    """Both values of each start state of a policy that has both."""
    promised, followed = (row.get("predicted"), row.get(key)) if isinstance(row, Mapping) else (None, None)
    if not isinstance(promised, list) or not isinstance(followed, list) or len(promised) != len(followed):
        return []
    known = [(as_number(p), as_number(r)) for p, r in zip(promised, followed, strict=True)]
    return [(p, r) for p, r in known if p is not None and r is not None]


def _draw(axes: "Axes", predicted: np.ndarray, realized: np.ndarray, ends: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    kept = predicted <= realized
    axes.plot(ends, ends, color=style.QUIET, linewidth=1.2, linestyle=(0, (4, 2)))
    for rows, colour in ((kept, style.PALETTE[0]), (~kept, style.PALETTE[1])):
        axes.plot(predicted[rows], realized[rows], "o", color=colour, markersize=5, alpha=0.65, markeredgewidth=0)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    axes.grid(axis="x", color=style.GRID, linewidth=0.9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("predicted at the start", fontsize=10.5, color=style.QUIET)

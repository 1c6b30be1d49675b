"""The picture ``promises.png``: predicted against realised value, a dot per start state, a panel per run."""

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

StartValues = tuple[str, np.ndarray, np.ndarray]
"""A setting, and predicted and realised value at some start states, (states,) each."""


def predictions_picture(run: Run, others: Mapping[str, Run]) -> "Figure | None":
    """A panel per run, of its best setting, all on the same scale; None if this run has no start states.

    Above the diagonal the prediction was a lower bound. If nothing was run in an environment, the values of fitted Q
    evaluation in ``value.json`` take the place of the realised ones.
    """
    runs = {run.algorithm: run} | dict(others)
    panels = {name: values for name, each in runs.items() if (values := start_values(each)) is not None}
    label = "realised, discounted"
    if run.algorithm not in panels:
        panels, label = fitted_start_values(run), "by the log (FQE), discounted"
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
        held = f"bound held at {share(float((predicted <= realized).mean()))} of {len(predicted)} starts"
        style.quiet(axes, style.label_text(f"{name} {setting}".strip()), below=held)
        _draw(axes, predicted, realized, (low - room, high + room))
        if i % columns == 0:
            axes.set_ylabel(label, fontsize=10.5, color=style.QUIET)
    return figure


def start_values(run: Run) -> StartValues | None:
    """Predicted and realised values of a run's best setting, over its seeds; None if they are not known."""
    rows, setting = run.evaluation.get("starts"), run.best()[0]
    if not isinstance(rows, Mapping):
        return None
    names = run.groups().get(setting, run.names) if setting else run.names
    pairs = [pair for name in names for pair in _pairs(rows.get(name), "realized")]
    if not pairs:
        return None
    predicted, realized = np.array(pairs).T
    return setting, predicted, realized


def fitted_start_values(run: Run) -> dict[str, StartValues]:
    """Predicted and fitted values of the log's start states, from ``value.json``: of the best policy and other runs."""
    rows, best = run.value.get("policies"), run.value.get("best")
    panels: dict[str, StartValues] = {}
    for row in rows if isinstance(rows, list) else []:
        if not isinstance(row, Mapping) or not (row.get("run") or row.get("title") == best):
            continue
        pairs = _pairs(row.get("starts"), "fitted")
        name = str(row.get("run") or run.algorithm)
        if pairs and name not in panels:
            panels[name] = (str(row.get("setting") or ""), *np.array(pairs).T)
    return panels if run.algorithm in panels else {}


def _pairs(row: Any, key: str) -> list[tuple[float, float]]:
    """Predicted value and value ``key`` of each start state that has both."""
    predicted, realized = (row.get("predicted"), row.get(key)) if isinstance(row, Mapping) else (None, None)
    if not isinstance(predicted, list) or not isinstance(realized, list) or len(predicted) != len(realized):
        return []
    pairs = [(as_number(p), as_number(r)) for p, r in zip(predicted, realized, strict=True)]
    return [(p, r) for p, r in pairs if p is not None and r is not None]


def _draw(axes: "Axes", predicted: np.ndarray, realized: np.ndarray, ends: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    held = predicted <= realized
    axes.plot(ends, ends, color=style.QUIET, linewidth=1.2, linestyle=(0, (4, 2)))
    for mask, colour in ((held, style.PALETTE[0]), (~held, style.PALETTE[1])):
        axes.plot(predicted[mask], realized[mask], "o", color=colour, markersize=5, alpha=0.65, markeredgewidth=0)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    axes.set_aspect("equal")
    axes.grid(axis="x", color=style.GRID, linewidth=0.9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("predicted at the start", fontsize=10.5, color=style.QUIET)

"""The picture of promises: predicted against realised value, a dot per start state, of a run and of those beside it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from prudent.report import style
from prudent.report.run import Run, as_number
from prudent.report.verdict import share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3


def promises(run: Run, others: Mapping[str, Run]) -> "Figure | None":
    """A panel per run, of its best setting, all on the same scale; None where this run's start states are not known.

    A dot above the diagonal is a promise kept: what followed was no less than what the critics promised.
    """
    named = {run.algorithm: run} | dict(others)
    panels = {name: found for name, one in named.items() if (found := starts(one)) is not None}
    if run.algorithm not in panels:
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
            axes.set_ylabel("realised, discounted", fontsize=10.5, color=style.QUIET)
    return figure


def starts(run: Run) -> tuple[str, np.ndarray, np.ndarray] | None:
    """The best setting of a run, and its predicted and realised values (starts of its seeds,); None where not known."""
    rows, setting = run.evaluation.get("starts"), run.best()[0]
    if not isinstance(rows, Mapping):
        return None
    names = run.groups().get(setting, run.names) if setting else run.names
    pairs: list[tuple[float, float]] = []
    for row in (rows.get(name) for name in names):
        if not isinstance(row, Mapping):
            continue
        promised, followed = row.get("predicted"), row.get("realized")
        if isinstance(promised, list) and isinstance(followed, list) and len(promised) == len(followed):
            known = [(as_number(p), as_number(r)) for p, r in zip(promised, followed, strict=True)]
            pairs += [(p, r) for p, r in known if p is not None and r is not None]
    if not pairs:
        return None
    predicted, realized = np.array(pairs).T
    return setting, predicted, realized


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

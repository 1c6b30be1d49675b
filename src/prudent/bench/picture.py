"""The picture of a benchmark: a panel per dataset with a line per algorithm, the best on top."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.report import style
from prudent.runs.read import as_interval, as_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 2


def draw(results: Mapping[str, Any], path: Path) -> Path | None:
    """Draw the results of a suite (:func:`prudent.bench.results.collect`) to a PNG; None if there are none yet."""
    figure = comparison(results)
    return None if figure is None else style.save_png(figure, path, dpi=130)


def comparison(results: Mapping[str, Any]) -> "Figure | None":
    """Interquartile mean with its interval, a dot for the one of each seed, a line for the data's mean.

    None if there are no results yet.
    """
    panels = [(dataset, rows) for dataset in results["datasets"] if (rows := _measured(dataset))]
    if not panels:
        return None
    columns = min(_COLUMNS, len(panels))
    lines = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [max(len(rows) for _, rows in line) + 2.2 for line in lines]
    figure = style.new_figure(0.6 + 5.2 * columns, 0.36 * sum(heights))
    grid = figure.add_gridspec(len(lines), columns, height_ratios=heights, wspace=0.34, hspace=0.42)
    for i, line in enumerate(lines):
        for j, (dataset, rows) in enumerate(line):
            _panel(figure.add_subplot(grid[i, j]), dataset, rows)
    return figure


def _measured(dataset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in dataset["algorithms"] if as_number(row["iqm"]) is not None]


def _panel(axes: "Axes", dataset: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    style.quiet(axes, style.label_text(dataset["name"]), below=_below(dataset, rows))
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=style.GRID, linewidth=0.9)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    colour = style.PALETTE[0]
    for height, row in zip(range(len(rows), 0, -1), rows, strict=True):
        ends = as_interval(row["ci95"])
        if ends is not None:
            axes.plot(ends, (height, height), color=colour, linewidth=7, alpha=0.28, solid_capstyle="butt")
        seeds = [value for value in row["seed_iqm"] if as_number(value) is not None]
        axes.plot(seeds, [height] * len(seeds), "o", markersize=4, color=style.INK, alpha=0.55, markeredgewidth=0)
        axes.plot(row["iqm"], height, "|", markersize=15, markeredgewidth=2.6, color=colour)
    axes.set_yticks(range(len(rows), 0, -1), [style.label_text(row["title"]) for row in rows])
    axes.tick_params(axis="y", labelcolor=style.INK)
    axes.set_ylim(0.05, len(rows) + 0.6)
    axes.margins(x=0.04)
    axes.set_xlabel("return per episode", fontsize=10, color=style.QUIET)
    mean = as_number(dataset["data"]["return_mean"])
    if mean is not None:
        axes.axvline(mean, color=style.QUIET, linewidth=1.4, linestyle=(0, (2, 2)), zorder=1.5)
        low, high = axes.get_xlim()
        side = -1 if mean > (low + high) / 2 else 1
        place = {"xytext": (4 * side, 3), "textcoords": "offset points", "ha": "left" if side > 0 else "right"}
        axes.annotate("mean of the data", (mean, 0.05), **place, va="bottom", fontsize=9, color=style.QUIET)


def _below(dataset: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """``Pendulum-v1, 5k steps: IQM, 95 % interval, seeds``."""
    steps = sorted({row["steps"] for row in rows})
    budget = " to ".join(style.steps_text(step) for step in dict.fromkeys((steps[0], steps[-1])))
    return style.label_text(f"{dataset['env']}, {budget} steps: IQM, 95 % interval, seeds", longest=64)

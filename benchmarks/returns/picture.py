"""The figure of the docs: return over minutes of training, a panel for each log."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.returns.racers import RACERS
from benchmarks.returns.results import Results
from benchmarks.returns.table import of_racer, point_at
from prudent.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = "bc"
"""The racer that is drawn as a horizontal line, at its return after the minutes."""
COLUMNS = 3


def draw(results: Results, path: Path) -> Path:
    """Draw every log that has a run; returns the path."""
    logs = [name for name in results["logs"] if any(run["log"] == name for run in results["runs"])]
    columns = min(COLUMNS, len(logs))
    lines = -(-len(logs) // columns)
    figure = style.new_figure(1.5 + 5.5 * columns, 1.0 + 3.8 * lines)
    grid = figure.add_gridspec(lines, columns, hspace=0.45, wspace=0.22)
    colours = dict(zip(racing(results), style.colours(len(racing(results))), strict=True))
    for index, name in enumerate(logs):
        panel(figure.add_subplot(grid[index // columns, index % columns]), results, name, colours)
    found = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        found.values(),
        found.keys(),
        loc="upper left",
        bbox_to_anchor=(0.12, 0.02),
        ncols=3,
        fontsize=9.5,
        frameon=False,
    )
    return style.save_png(figure, path)


def racing(results: Results) -> list[str]:
    """The racers with a curve."""
    return [racer for racer in RACERS if racer != LINE and any(run["racer"] == racer for run in results["runs"])]


def panel(axes: "Axes", results: Results, log: str, colours: dict[str, str]) -> None:
    """Draw the curves of one log: mean over seeds, the range around it, and the horizontal lines."""
    style.quiet(axes, log, below="return over CPU minutes of training, one thread")
    for racer, colour in colours.items():
        runs = of_racer(results, log, racer)
        if runs:
            curve(axes, runs, colour, RACERS[racer].title)
    figures = results["logs"][log]
    levels = {"the log, mean": figures["mean"], "the log, best tenth": figures["best_tenth"]}
    clones = [point_at(run, results["settings"]["minutes"]) for run in of_racer(results, log, LINE)]
    returns = [point["return"] for point in clones if point is not None and point["return"] is not None]
    if returns:
        levels[RACERS[LINE].title] = sum(returns) / len(returns)
    for (label, level), kind in zip(levels.items(), style.KIND_LINES, strict=False):
        axes.axhline(level, color=style.QUIET, linewidth=1.1, linestyle=kind, label=label)
    axes.set_xlim(left=0)


def curve(axes: "Axes", runs: list[dict[str, Any]], colour: str, label: str) -> None:
    """Draw a racer: as far as all of its seeds came."""
    common = min(len([p for p in run["points"] if p["return"] is not None]) for run in runs)
    marks = [point["mark"] for point in runs[0]["points"][:common]]
    returns = [[run["points"][k]["return"] for run in runs] for k in range(common)]
    means = [sum(at) / len(at) for at in returns]
    axes.plot(marks, means, color=colour, linewidth=1.8, marker="o", markersize=3, label=label)
    axes.fill_between(marks, [min(at) for at in returns], [max(at) for at in returns], color=colour, alpha=0.15, lw=0)

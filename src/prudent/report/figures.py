"""Draws all pictures of a run; two of them are made here: ``curves.png`` (all metrics) and ``eval_returns.png``.

Lines are means over the seeds of one setting, bands reach from the lowest to the highest seed. A member whose metric is
not a number at a step is left out of the mean there; the report names such members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.progress import watched
from prudent.report import style
from prudent.report.comparison import read_others
from prudent.report.data_picture import data_picture
from prudent.report.predictions import predictions_picture
from prudent.report.support import run_support_picture
from prudent.runs.read import Run, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """A panel of ``curves.png``: a title, a line below it, and its metrics with their names in the legend.

    With several metrics, the legend takes the place of the line below the title.
    """

    title: str
    below: str
    metrics: dict[str, str]
    from_zero: bool = False


PANELS = (
    Panel("Evaluation return", "per episode, deterministic policy", {"eval/return": ""}),
    Panel("Value at the start", "", {"eval/predicted_value": "predicted", "eval/realized_value": "realised"}),
    Panel("Q of actions", "", {"train/q_data": "data", "train/q_policy": "policy", "train/q_random": "random"}),
    Panel("Critic loss", "", {"train/critic_loss": "loss", "train/td_error": "squared TD error"}),
    Panel("Conservative gap", "proposed actions over the logged one", {"train/cql_gap": ""}),
    Panel("Actor loss", "what the policy minimises", {"train/actor_loss": ""}),
    Panel("Alpha", "weight of the gap", {"train/alpha": ""}),
    Panel("Temperature", "weight of the entropy", {"train/temperature": ""}),
    Panel("Step time", "milliseconds, whole population", {"time/ms_per_step": ""}, from_zero=True),
)


def write_figures(run_folder: Path | str, compare: Mapping[str, Path | str] | None = None) -> dict[str, Path]:
    """Draw the pictures of a run into its folder; returns their paths by name.

    The names are ``curves``, ``eval_returns``, ``promises``, ``support`` and ``data``; a picture without data is not
    written. ``compare`` names other runs to draw as well (``{"BC": folder}``).
    """
    run = read_run(run_folder)
    return draw_figures(run, read_others(run, compare))


def draw_figures(run: Run, others: Mapping[str, Run]) -> dict[str, Path]:
    """:func:`write_figures` for runs that were already read."""
    figures = {
        "curves": (lambda: curves(run), 115),
        "eval_returns": (lambda: eval_returns(run, others), 150),
        "promises": (lambda: predictions_picture(run, others), 120),
        "support": (lambda: run_support_picture(run), 150),
        "data": (lambda: data_picture(run), 115),
    }
    paths: dict[str, Path] = {}
    for name, (draw, dpi) in watched(figures.items(), "drawing the report", "pictures"):
        figure = draw()
        if figure is not None:
            paths[name] = style.save_png(figure, run.folder / f"{name}.png", dpi)
    return paths


def curves(run: Run) -> "Figure | None":
    """A grid of all metrics, one colour per setting; None if there are no metrics."""
    panels = [panel for panel in PANELS if any(_measured(run, metric) for metric in panel.metrics)]
    if not panels:
        return None
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = style.new_figure(4.3 * columns, 3.1 * lines)
    grid = figure.add_gridspec(lines, columns, hspace=0.52, wspace=0.24)
    last = max([step for panel in panels for metric in panel.metrics for step in _steps(run, metric)] + [1])
    groups = run.groups()
    palette = dict(zip(groups, style.colours(len(groups)), strict=True))
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(grid[divmod(i, columns)])
        style.quiet(axes, panel.title, below=panel.below or " ")
        _draw_panel(axes, run, panel, palette)
        axes.set_xlim(-0.015 * last, 1.015 * last)
    if len(groups) > 1:
        _group_legend(figure, run, palette)
    return figure


def eval_returns(run: Run, others: Mapping[str, Run]) -> "Figure | None":
    """Return over steps: a line and a band per setting, other runs, the data's mean; None without evaluations."""
    lines = [(_group_label(run, group, names), run, names) for group, names in run.groups().items()]
    for label, other in others.items():
        lines += [(f"{label} {group}".strip(), other, names) for group, names in other.groups().items()]
    lines = [line for line in lines if line[1].over_seeds("eval/return", line[2])]
    if not any(source is run for _, source, _ in lines):
        return None
    figure = style.new_figure(7.6, 4.1)
    axes = figure.add_subplot()
    style.quiet(axes, _return_title(run), size=12)
    ends: list[tuple[float, str, str]] = []
    for (label, source, names), colour in zip(lines, style.colours(len(lines)), strict=True):
        linestyle = "-" if source is run else style.KIND_LINES[1]
        mean = _draw_series(axes, source, "eval/return", names, colour, linestyle, width=2.2)
        ends.append((mean[-1], label, colour))
    if run.data_mean is not None:
        axes.axhline(run.data_mean, color=style.QUIET, linewidth=1.4, linestyle=(0, (2, 2)), zorder=1.5)
        ends.append((run.data_mean, "mean of the data", style.QUIET))
    axes.set_xlabel("gradient steps", fontsize=10.5, color=style.QUIET)
    axes.set_ylabel("return per episode", fontsize=10.5, color=style.QUIET)
    _end_labels(axes, ends)
    return figure


def _return_title(run: Run) -> str:
    data, env = run.dataset.get("name"), run.config.get("env")
    title = run.algorithm + (f" on {data}" if data else "")
    return style.label_text(title + (f", run in {env}" if env else ""), longest=64)


def _measured(run: Run, metric: str) -> bool:
    return bool(run.over_seeds(metric, run.names))


def _steps(run: Run, metric: str) -> set[int]:
    return {step for series in run.series.get(metric, {}).values() for step in series}


def _draw_series(
    axes: "Axes",
    run: Run,
    metric: str,
    names: Sequence[str],
    colour: str,
    linestyle: Any = "-",
    width: float = 1.7,
    band: bool = True,
) -> list[float]:
    """Draw the mean and the band of some members; returns the mean."""
    points = run.over_seeds(metric, names)
    steps, mean = list(points), [mean for mean, _, _ in points.values()]
    # A line through a single evaluation would be invisible.
    marker = {"marker": "o", "markersize": 4} if len(steps) < 4 else {}
    axes.plot(steps, mean, color=colour, linestyle=linestyle, linewidth=width, solid_capstyle="round", **marker)
    if band and len(names) > 1:
        low, high = [low for _, low, _ in points.values()], [high for _, _, high in points.values()]
        axes.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0)
    return mean


def _draw_panel(axes: "Axes", run: Run, panel: Panel, palette: Mapping[str, str]) -> None:
    metrics = [metric for metric in panel.metrics if _measured(run, metric)]
    groups = run.groups()
    values: list[float] = []
    for group, names in groups.items():
        for k, metric in enumerate(metrics):
            # With one setting, the colour tells the metrics apart; with several, the settings.
            colour = style.PALETTE[k] if len(groups) == 1 else palette[group]
            linestyle = style.KIND_LINES[k] if len(metrics) > 1 else "-"
            # Bands of several metrics and settings would hide each other.
            band = len(metrics) == 1 or len(groups) == 1
            values += _draw_series(axes, run, metric, names, colour, linestyle, band=band)
    if style.wants_log(values):
        axes.set_yscale("log")
        axes.minorticks_off()
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    elif max(values) - min(values) <= 1e-9 * max(abs(min(values)), 1.0):
        # A constant is drawn as a flat line in the middle, not as noise in its last digit.
        room = max(abs(values[0]) * 0.5, 0.5)
        axes.set_ylim(values[0] - room, values[0] + room)
    if len(metrics) > 1:
        _metric_legend(axes, [panel.metrics[metric] for metric in metrics], coloured=len(groups) == 1)


def _metric_legend(axes: "Axes", labels: Sequence[str], coloured: bool) -> None:
    from matplotlib.lines import Line2D

    colours = style.PALETTE if coloured else [style.INK] * len(labels)
    styles = zip(labels, colours, style.KIND_LINES, strict=False)
    handles = [Line2D([], [], color=colour, linestyle=linestyle, linewidth=1.7) for _, colour, linestyle in styles]
    style.legend_above(axes, handles, labels, handlelength=2.1)


def _group_legend(figure: "Figure", run: Run, palette: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    groups = run.groups()
    handles = [Line2D([], [], color=palette[group], linewidth=3) for group in groups]
    labels = [_group_label(run, group, names) for group, names in groups.items()]
    figure.legend(
        handles,
        labels,
        loc="lower left",
        # The grid ends at 0.88 of the height; its titles take two thirds of an inch above.
        bbox_to_anchor=(0.122, 0.88 + 0.68 / figure.get_figheight()),
        borderaxespad=0,
        ncols=4,
        fontsize=11,
        frameon=False,
        labelcolor=style.INK,
        handlelength=1.4,
    )


def _group_label(run: Run, group: str, names: Sequence[str]) -> str:
    seeds = f" ({len(names)} seeds)" if len(names) > 1 else ""
    return style.label_text((group.replace("=", " ").replace(",", ", ") or run.algorithm) + seeds)


def _end_labels(axes: "Axes", ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names at the ends of their lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    heights = [(value - low) / (high - low) for value, _, _ in ends]
    for height, (_, label, colour) in zip(style.spread(heights, 0.065), ends, strict=True):
        axes.text(
            1.015,
            height,
            style.label_text(label),
            transform=axes.transAxes,
            color=colour,
            fontsize=10.5,
            fontweight="bold",
            va="center",
        )

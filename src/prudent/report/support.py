"""The picture ``support.png``: how far decisions of the log and of the policy lie from the logged ones."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.report import style
from prudent.runs.read import Run, as_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_support(figures: Mapping[str, Any], path: Path) -> Path:
    """Draw ``SupportResult.to_json()`` as a PNG; returns its path."""
    return style.save_png(support_picture(figures), path, dpi=150)


def run_support_picture(run: Run) -> "Figure | None":
    """The picture of a run's ``support.json``; None if there is none, or it is of another version."""
    return support_picture(run.support) if _can_be_drawn(run.support) else None


def _can_be_drawn(figures: Mapping[str, Any]) -> bool:
    """Whether everything that :func:`support_picture` reads is there and valid."""
    try:
        histogram, threshold = figures["histogram"], figures["thresholds"]["decision"]["threshold"]
        edges, *shares = (histogram[key] for key in ("edges", "logged", "policy"))
        numbers = [threshold, figures["level"], figures["overall"]["outside"], *edges, *shares[0], *shares[1]]
        strict = figures["thresholds"]["decision"]["strict"]
    except (KeyError, TypeError):
        return False
    known = all(as_number(value) is not None for value in numbers) and (strict is None or as_number(strict) is not None)
    return known and len(edges) > 1 and list(edges) == sorted(edges) and all(len(s) == len(edges) - 1 for s in shares)


def support_picture(figures: Mapping[str, Any]) -> "Figure":
    """Histograms of the decision score of log and policy, and the thresholds; the last bin has no upper end."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    histogram, thresholds = figures["histogram"], figures["thresholds"]["decision"]
    edges, policy = histogram["edges"], histogram["policy"]
    figure = style.new_figure(7.6, 4.1)
    axes = figure.add_subplot()
    share = 100 * figures["overall"]["outside"]
    title = style.label_text(f"{share:.1f} % of the decisions lie outside {figures.get('dataset', '')}", longest=64)
    style.quiet(axes, title, size=12, below=" ")
    axes.stairs(histogram["logged"], edges, fill=True, color=style.QUIET, alpha=0.35, linewidth=0)
    axes.stairs(policy, edges, color=style.PALETTE[0], linewidth=2)
    middles = [(left + right) / 2 for left, right in pairwise(edges)]
    outside = [height if at > thresholds["threshold"] else 0.0 for at, height in zip(middles, policy, strict=True)]
    axes.stairs(outside, edges, fill=True, color=style.PALETTE[1], alpha=0.55, linewidth=0)
    top = max(*policy, *histogram["logged"])
    axes.set_ylim(0, 1.12 * top)
    lines = (
        (thresholds["threshold"], f"{100 * figures['level']:g} %", "-"),
        (thresholds["strict"], "99 %", (0, (4, 2))),
    )
    for value, name, linestyle in lines:
        if value is not None:
            axes.axvline(value, color=style.INK, linewidth=1.2, linestyle=linestyle)
            axes.text(value, 1.1 * top, f" {name}", fontsize=9.5, color=style.INK, va="top", ha="left")
    axes.set_xlim(0, edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    label = "distance to the logged decisions of other episodes; the last bar includes all larger ones"
    axes.set_xlabel(label, fontsize=10.5, color=style.QUIET)
    axes.set_ylabel("share of decisions", fontsize=10.5, color=style.QUIET)
    _legend(axes)
    return figure


def _legend(axes: "Axes") -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=style.PALETTE[0], linewidth=2),
        Patch(color=style.PALETTE[1], alpha=0.55, linewidth=0),
        Patch(color=style.QUIET, alpha=0.35, linewidth=0),
        Line2D([], [], color=style.INK, linewidth=1.2),
    ]
    labels = ["policy", "policy, outside", "log", "threshold: this share of the log is below"]
    style.legend_above(axes, handles, labels, handlelength=1.4)

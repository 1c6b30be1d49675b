"""The picture of support: how far the log's decisions lie from other episodes, and how far the policy's do."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent.report import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_support(figures: Mapping[str, Any], path: Path) -> Path:
    """Write the picture of what :meth:`prudent.support_result.SupportResult.to_json` holds as PNG; returns its path."""
    return style.save_png(support_picture(figures), path, dpi=150)


def support_picture(figures: Mapping[str, Any]) -> "Figure":
    """Two histograms of the decision score, of the log and of the policy, and the thresholds; the last bin is open."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    histogram, thresholds = figures["histogram"], figures["thresholds"]["decision"]
    edges, taken = histogram["edges"], histogram["policy"]
    figure = style.new_figure(7.6, 4.1)
    axes = figure.add_subplot()
    share = figures["overall"]["outside"]
    nominal = f"{1 - figures['level']:.0%} of the log's"
    title = style.label_text(f"{share:.1%} of the policy's decisions lie outside {figures['dataset']}", longest=64)
    style.quiet(axes, title, size=12, below=f"beyond the threshold, where {nominal} own do")
    colour = style.PALETTE[0]
    axes.stairs(histogram["logged"], edges, fill=True, color=style.QUIET, alpha=0.35, linewidth=0)
    axes.stairs(taken, edges, color=colour, linewidth=2)
    beyond = [
        max(0.0, height) if left >= thresholds["threshold"] else 0.0 for left, height in zip(edges, taken, strict=False)
    ]
    axes.stairs(beyond, edges, fill=True, color=style.PALETTE[1], alpha=0.55, linewidth=0)
    top = max(*taken, *histogram["logged"])
    axes.set_ylim(0, 1.12 * top)
    for value, name, look in (
        (thresholds["threshold"], f"{figures['level']:.0%}", "-"),
        (thresholds["strict"], "99%", (0, (4, 2))),
    ):
        if value is not None:
            axes.axvline(value, color=style.INK, linewidth=1.2, linestyle=look)
            axes.text(value, 1.1 * top, f" {name} of the log", fontsize=9.5, color=style.INK, va="top", ha="left")
    axes.set_xlim(0, edges[-1])
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("distance to the logged decisions of other episodes", fontsize=10.5, color=style.QUIET)
    axes.set_ylabel("share of decisions", fontsize=10.5, color=style.QUIET)
    _legend(axes, colour)
    return figure


def _legend(axes: Any, colour: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=colour, linewidth=2),
        Patch(color=style.QUIET, alpha=0.35, linewidth=0),
        Patch(color=style.PALETTE[1], alpha=0.55, linewidth=0),
    ]
    labels = ["the policy", "the log itself", "the policy, outside"]
    axes.legend(handles, labels, loc="center right", fontsize=10, frameon=False, labelcolor=style.INK, handlelength=1.4)

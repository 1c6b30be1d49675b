"""The picture ``data.png``: returns and lengths of the episodes, and how often actions were taken."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.report import style
from prudent.runs.read import Run, as_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FEATURES = 24
"""Number of action features that are drawn."""


def data_picture(run: Run) -> "Figure | None":
    """The histograms of ``dataset.json`` (:func:`prudent.data.summary.histograms`); None without them."""
    histograms = run.histograms
    if not all(_is_histogram(histograms.get(key)) for key in ("returns", "lengths")):
        return None
    actions = histograms.get("actions")
    rows = [row for row in actions if _is_histogram(row)] if isinstance(actions, list) else []
    shares = actions.get("shares") if isinstance(actions, Mapping) else None
    shares = shares if isinstance(shares, list) and shares and all(as_number(s) is not None for s in shares) else []
    figure = style.new_figure(12.9 if rows or shares else 8.6, 3.3)
    grid = figure.add_gridspec(1, 3 if rows or shares else 2, wspace=0.24)
    below = "episodes, by the sum of their rewards"
    _bars(figure.add_subplot(grid[0]), histograms["returns"], "Returns", below, run.data_mean)
    _bars(figure.add_subplot(grid[1]), histograms["lengths"], "Lengths", "episodes, by their steps", None)
    if rows:
        _strips(figure.add_subplot(grid[2]), rows[:MOST_FEATURES])
    elif shares:
        first = actions.get("first_action") if isinstance(actions, Mapping) else None
        _choices(figure.add_subplot(grid[2]), shares, first if isinstance(first, int) and abs(first) < 2**31 else 0)
    return figure


def _is_histogram(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    edges, counts = value.get("edges"), value.get("counts")
    if not isinstance(edges, list) or not isinstance(counts, list) or len(edges) != len(counts) + 1 or not counts:
        return False
    return all(as_number(number) is not None for number in (*edges, *counts)) and edges == sorted(edges)


def _bars(axes: "Axes", histogram: Mapping[str, Any], title: str, below: str, mean: float | None) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    style.quiet(axes, title, below=below)
    counts, edges = histogram["counts"], histogram["edges"]
    if title == "Lengths" and edges[-1] - edges[0] <= 1:
        # All episodes have the same length: one bar, a step wide.
        middle = round((edges[0] + edges[-1]) / 2)
        counts, edges = [sum(counts)], [middle - 0.5, middle + 0.5]
        axes.set_xlim(middle - 3, middle + 3)
    axes.stairs(counts, edges, fill=True, color=style.PALETTE[0], alpha=0.75, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=title == "Lengths"))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylim(0, 1.12 * max(counts) or 1)
    if mean is not None:
        axes.axvline(mean, color=style.INK, linewidth=1.2, linestyle=(0, (2, 2)))
        place = {"xy": (mean, 1.0), "xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        axes.annotate("mean", **place, xytext=(4, -3), va="top", fontsize=9, color=style.INK)


def _strips(axes: "Axes", rows: list[Mapping[str, Any]]) -> None:
    """A strip per action feature from its lowest to its highest value, darker where it was chosen more often."""
    style.quiet(axes, "Action coverage", below="per feature; darker: more often")
    widest = max(len(row["counts"]) for row in rows)
    shares = np.full((len(rows), widest), np.nan)
    for i, row in enumerate(rows):
        counts = np.asarray(row["counts"], dtype=float)
        shares[i, : len(counts)] = counts / max(counts.sum(), 1)
    # Square roots, to make a bin with one hundredth of the actions look different from an empty one.
    axes.imshow(np.sqrt(shares), aspect="auto", cmap="Blues", vmin=0, extent=(0, 1, len(rows) - 0.5, -0.5))
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["lowest", "middle", "highest"])
    axes.set_yticks(range(len(rows)), [str(i) for i in range(len(rows))])
    axes.grid(visible=False)
    for i in range(1, len(rows)):
        axes.axhline(i - 0.5, color="white", linewidth=2)


def _choices(axes: "Axes", shares: list[float], first: int) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

    style.quiet(axes, "Action coverage", below="share of the decisions, by action")
    axes.bar(range(first, first + len(shares)), shares, color=style.PALETTE[0], alpha=0.75, width=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def data_sentences(run: Run) -> list[str]:
    """What the picture shows, in sentences; none if there are no histograms."""
    counts = [run.histograms.get(key) for key in ("episodes", "terminated", "truncated")]
    if not all(isinstance(count, int) for count in counts):
        return []
    episodes, terminated, truncated = counts
    sentences = [f"{episodes:,} episodes: {terminated:,} ended by the task, {truncated:,} cut off by a time limit."]
    covered = run.histograms.get("covered")
    numbers = [as_number(value) for value in covered] if isinstance(covered, list) else []
    shares = [value for value in numbers if value is not None]
    if shares:
        low = min(range(len(shares)), key=shares.__getitem__)
        least = f", feature {low} the least: {100 * shares[low]:.0f} %" if shares[low] < max(shares) else ""
        sentences.append(
            f"The actions cover {100 * sum(shares) / len(shares):.0f} % of the range of an action feature on "
            f"average{least}. Actions that were hardly tried cannot be judged."
        )
    return sentences

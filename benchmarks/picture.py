"""The figure of the docs, drawn from the stored results."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import scaling
from prudent.report import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures = Mapping[str, float]
BARS = ("exact", "sampled", "corl", "d3rlpy")
NAMES = {"exact": "prudent, exact", "sampled": "prudent, sampled", "corl": "CORL-style", "d3rlpy": "d3rlpy 2.8.1"}
TITLES = {"batch": "Batch size", "width": "Width of layers", "proposals": "Proposals (N)", "members": "Members (P)"}
OURS, THEIRS = style.PALETTE[0], style.PALETTE[1]


def draw(results: Path, path: Path) -> Path:
    """Draw steps of all libraries with one and two threads, populations, and how a step grows; returns the path."""
    figure = style.new_figure(13.5, 8.0)
    grid = figure.add_gridspec(2, 4, hspace=0.5, wspace=0.3)
    measured = [threads for threads in (1, 2) if stored(results, "step", threads).exists()]
    # If the machine was not quiet enough for two threads, one panel takes the place of two.
    steps = {threads: read(results, "step", threads) for threads in measured}
    top = 1.12 * max(r["max"] for found in steps.values() for r in found["figures"]["over_products"].values())
    for column, threads in enumerate(measured):
        place = grid[0, column] if len(measured) == 2 else grid[0, :2]
        bars(figure.add_subplot(place), steps[threads], threads, top)
    populations = read(results, "populations", 1)["figures"]
    for column, (width, found) in enumerate(populations.items(), start=2):
        members(figure.add_subplot(grid[0, column]), width, found)
    axes_of = read(results, "scaling", 1)["figures"]["axes"]
    for column, (axis, values) in enumerate(axes_of.items()):
        growth(figure.add_subplot(grid[1, column]), axis, values)
    return style.save_png(figure, path)


def stored(results: Path, part: str, threads: int) -> Path:
    """The file of one result."""
    return results / f"{part}-{threads}-threads.json"


def read(results: Path, part: str, threads: int) -> dict[str, Any]:
    """One stored result."""
    return json.loads(stored(results, part, threads).read_text(encoding="utf-8"))


def bars(axes: "Axes", found: Mapping[str, Any], threads: int, top: float) -> None:
    """Draw all steps in units of the six products, with ranges; the scale ends at ``top``."""
    ratios = found["figures"]["over_products"]
    names = [name for name in BARS if name in ratios]
    thread = "one thread" if threads == 1 else f"{threads} threads"
    style.quiet(axes, f"A step, {thread}", below="times its six matrix products")
    places = list(range(len(names)))
    medians = [ratios[name]["median"] for name in names]
    colours = [OURS if name in ("exact", "sampled") else THEIRS for name in names]
    axes.bar(places, medians, color=colours, width=0.62)
    axes.errorbar(
        places, medians, yerr=around(ratios[name] for name in names), fmt="none", ecolor=style.INK, elinewidth=1.1
    )
    for place, name in zip(places, names, strict=True):
        axes.annotate(
            f"{ratios[name]['median']:.2f}",
            (place, ratios[name]["max"]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=9.5,
            color=style.INK,
        )
    axes.set_xticks(places, [NAMES[name].replace(", ", "\n").replace(" 2", "\n2") for name in names])
    axes.tick_params(axis="x", labelsize=8.5, length=0)
    axes.set_ylim(0, top)


def members(axes: "Axes", width: str, found: Mapping[str, Any]) -> None:
    """Draw CPU time per member-step, in one process and in several."""
    style.quiet(axes, f"Members, {width}", below="ms of one thread per member-step")
    counts = [int(count) for count in found]
    for name, colour in (("stacked", OURS), ("processes", style.PALETTE[2])):
        line(axes, counts, [found[str(count)]["ms"][f"{name}_cpu"] for count in counts], colour, name)
    counted(axes, counts)
    style.legend_above(axes, *axes.get_legend_handles_labels(), handlelength=1.2)
    axes.get_legend().set(loc="lower left", bbox_to_anchor=(-0.02, 0.0))


def growth(axes: "Axes", axis: str, values: Mapping[str, Figures]) -> None:
    """Draw the step with one size changed, relative to the workload's, and proportional growth for comparison."""
    per_member = axis == "members"
    style.quiet(axes, TITLES[axis], below="one member's share of a step" if per_member else "step over the work item's")
    sizes = [int(size) for size in values]
    here = scaling.HERE[axis]
    if axis != "members":
        steep = [size / here for size in sizes]
        axes.plot(sizes, steep, color=style.QUIET, linewidth=1, linestyle=style.KIND_LINES[2], label="proportional")
        axes.set_yscale("log", base=2)
    line(axes, sizes, list(values.values()), OURS, "measured")
    counted(axes, sizes)
    if axis == "batch":
        axes.legend(loc="upper left", fontsize=9, frameon=False, labelcolor=style.QUIET)


def line(axes: "Axes", places: Sequence[int], found: Sequence[Figures], colour: str, label: str) -> None:
    """Draw medians with their ranges."""
    axes.plot(places, [figures["median"] for figures in found], color=colour, marker="o", markersize=4, label=label)
    axes.errorbar(
        places, [f["median"] for f in found], yerr=around(found), fmt="none", ecolor=colour, elinewidth=1.1, alpha=0.7
    )


def counted(axes: "Axes", places: Sequence[int]) -> None:
    """Scale the axes for sizes that double, with a tick at each."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(places, [str(place) for place in places])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)


def around(found: Any) -> list[list[float]]:
    """Distances from the medians down and up, as matplotlib's error bars need them."""
    figures = list(found)
    return [[f["median"] - f["min"] for f in figures], [f["max"] - f["median"] for f in figures]]

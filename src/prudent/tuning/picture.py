"""Draws ``tune.png``: the fitted value of each run of the grid, by setting and seed, with BC and behaviour policy."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prudent.report import style
from prudent.tuning.result import Candidate, TuneResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(result: TuneResult, path: Path) -> Path:
    """Write the picture of the first split."""
    return style.save_png(figure(result), path)


def figure(result: TuneResult) -> "Figure":
    """A dot with its interval per run, by setting; a ring around the winner; BC and the behaviour policy as lines.

    A run without a value (outside the data, or diverged) is a cross at the lower edge.
    """
    split = result.first
    canvas = style.new_figure(8.2, 4.4)
    axes = canvas.add_subplot()
    about = (
        f"{result.plan['dataset']['name']}: fitted Q evaluation on training and evaluation part, with 95 % intervals"
    )
    style.quiet(axes, f"Verdict: {result.verdict}", below=style.label_text(about, longest=110))
    settings = _settings(split.candidates)
    seeds = sorted({c.seed for c in split.candidates})
    for c in split.candidates:
        place = settings.index(c.setting) + 0.12 * (seeds.index(c.seed) - (len(seeds) - 1) / 2)
        _candidate(axes, c, place, winner=c.name == split.winner)
    bc = next(c for c in split.imitators if c.name == split.imitator)
    lines = [("BC", bc.value), ("behaviour", split.behaviour["value"])]
    for number, (_, value) in enumerate(lines, 1):
        if value is not None:
            axes.axhline(value, color=style.PALETTE[number], linestyle=style.KIND_LINES[number], linewidth=1.6)
    _labels(axes, lines)
    grids = result.plan["grids"]
    names = [name.rpartition("=")[2] if len(grids) == 1 else name for name in settings]
    axes.set_xticks(range(len(names)), names, rotation=0 if len(grids) == 1 else 30, ha="center")
    axes.set_xlim(-0.6, len(names) - 0.4)
    if len(grids) == 1:
        axes.set_xlabel(f"{grids[0]['strength']} of {grids[0]['algorithm']}", color=style.QUIET)
    return canvas


def _settings(candidates: Sequence[Candidate]) -> list[str]:
    """The settings, by algorithm and then by strength."""
    algorithms = list(dict.fromkeys(c.algorithm for c in candidates))
    places = {c.setting: (algorithms.index(c.algorithm), c.strength or 0.0) for c in candidates}
    return sorted(places, key=lambda setting: places[setting])


def _candidate(axes: "Axes", c: Candidate, place: float, winner: bool) -> None:
    if c.value is None or c.interval is None:
        axes.plot([place], [0.02], "x", color=style.QUIET, transform=axes.get_xaxis_transform(), markersize=6)
        return
    colour = style.PALETTE[0]
    axes.plot([place, place], c.interval, color=colour, linewidth=2.2, alpha=0.5, solid_capstyle="butt")
    axes.plot([place], [c.value], "o", color=colour, markersize=5, markeredgewidth=0)
    if winner:
        axes.plot([place], [c.value], "o", markersize=12, markerfacecolor="none", markeredgecolor=style.INK)


def _labels(axes: "Axes", lines: list[tuple[str, float | None]]) -> None:
    """Names of the lines, to the right of the axes and moved apart if the lines are close."""
    low, high = axes.get_ylim()
    known = [(number, label, value) for number, (label, value) in enumerate(lines, 1) if value is not None]
    heights = style.spread([(value - low) / (high - low) for _, _, value in known], 0.055)
    for (number, label, _), height in zip(known, heights, strict=True):
        axes.text(1.01, height, label, transform=axes.transAxes, color=style.PALETTE[number], va="center", fontsize=9.5)

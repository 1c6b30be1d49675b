"""How the pictures look: one palette, plain axes, small files. Nothing here changes matplotlib's global state."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prudent import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): distinguishable with every common colour vision, and by lightness in greyscale.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
INK, QUIET, GRID = "#24292f", "#6e7781", "#e7eaee"
KIND_LINES = ("-", (0, (5, 1.8)), (0, (1.2, 1.6)))
"""Line styles of the metrics that share a panel, in order."""


def colours(count: int) -> list[str]:
    """``count`` colours: from the palette, or from a perceptually even ramp if the palette has too few."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    # The yellow end of viridis is too faint for lines on white.
    return [to_hex(colormaps["viridis"](0.9 * i / (count - 1))) for i in range(count)]


def new_figure(width: float, height: float) -> "Figure":
    """A figure with its own Agg canvas: it works without a display and with any backend of the caller."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: "Axes", title: str, size: float = 11.5, below: str = "") -> None:
    """Give axes a title on the left and a line ``below`` it, and remove lines and ticks that show no data."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(title, loc="left", fontsize=size, fontweight="bold", color=INK, pad=24 if below else 10)
    place = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, 8), "textcoords": "offset points"}
    axes.annotate(below, **place, fontsize=size - 2, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=size - 1.5, length=0, pad=4)
    axes.tick_params(axis="x", length=3, color=QUIET)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: steps_text(step)))
    axes.margins(x=0.015, y=0.08)


def steps_text(step: float) -> str:
    """``50000`` as ``50k``, ``1500000`` as ``1.5M``."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(step) >= size:
            return f"{step / size:g}{unit}"
    return f"{step:g}"


def label_text(text: str, longest: int = 34) -> str:
    """Any text as matplotlib can print it: no mathematics, no missing glyphs, at most ``longest`` characters."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties())).get_charmap()
    text = "".join(letter if ord(letter) in known and letter.isprintable() else "?" for letter in text)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Positions of labels near ``heights`` (0 to 1), at least ``gap`` apart and in the same order."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = [heights[i] for i in order]
    for _ in range(60):
        for i in range(1, len(placed)):
            overlap = gap - (placed[i] - placed[i - 1])
            if overlap > 1e-6:
                placed[i - 1] -= overlap / 2
                placed[i] += overlap / 2
    result = [0.0] * len(heights)
    for position, i in zip(placed, order, strict=True):
        result[i] = position
    return result


def legend_above(axes: "Axes", handles: Sequence[Any], labels: Sequence[str], handlelength: float) -> None:
    """Put a legend in one line above the axes: inside, it would cover the curves of some run."""
    axes.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=len(labels),
        fontsize=9.5,
        frameon=False,
        labelcolor=QUIET,
        handlelength=handlelength,
        columnspacing=1.2,
        handletextpad=0.5,
        borderpad=0.1,
        borderaxespad=0.5,
    )


def wants_log(figures: Sequence[float]) -> bool:
    """Whether all figures are positive and span more than two decades, as losses at the start of training do."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > 100


def save_png(figure: "Figure", path: Path, dpi: int = 130) -> Path:
    """Write a PNG of 256 colours: hardly a visible difference here, at a third of the size."""
    from PIL import Image

    raw, small = io.BytesIO(), io.BytesIO()
    options: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.15}
    figure.savefig(raw, format="png", dpi=dpi, **options)
    raw.seek(0)
    with Image.open(raw) as picture:
        flat = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    flat.save(small, format="PNG", optimize=True)
    return files.replace(path, small.getvalue(), durable=False)

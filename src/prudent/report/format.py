"""Numbers, shares, intervals and tables as a report shows them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prudent.runs.read import NOTHING, as_interval, as_number


@dataclass(frozen=True)
class Table:
    """A table of a report; every row has a ``name``, a ``kind`` (overall, group, member, other) and ``cells``.

    ``first`` is the head of the column of names, ``heads`` are those of the other columns.
    """

    heading: str
    heads: list[str]
    rows: list[dict[str, Any]]
    note: str
    first: str = "member"


def number(value: Any) -> str:
    """A number with its significant digits: ``3,671.6``, ``-151.7``, ``0.0123``; a dash for anything else."""
    figure = as_number(value)
    if figure is None:
        return NOTHING
    if figure == 0 or abs(figure) >= 10:
        text = f"{figure:,.1f}"
    elif abs(figure) >= 1e-3:
        text = f"{figure:.3g}"
    else:
        text = f"{figure:.2e}"
    return text if abs(figure) < 1e9 else f"{figure:.3e}"


def share(value: Any) -> str:
    """A share as a percentage, rounded down: 99.6 % of the states must not become all of them."""
    figure = as_number(value)
    return NOTHING if figure is None else f"{int(100 * figure + 1e-9)} %"


def interval(value: Any) -> str:
    """``-164.0 to -138.0``, or a dash."""
    ends = as_interval(value)
    return NOTHING if ends is None else f"{number(ends[0])} to {number(ends[1])}"


WAYS = {"mode": "likeliest action", "sample": "drawing"}
"""How a policy acts, in words after "by"."""


def chance(value: float, ends: Sequence[float]) -> str:
    """A fitted chance with its interval in per cent; a fit may leave the range from 0 to 1, so it is cut there."""
    middle, low, high = (100 * min(1.0, max(0.0, x)) for x in (value, *ends))
    return f"{middle:.1f} % ({low:.1f} to {high:.1f})"

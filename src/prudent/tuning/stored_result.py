"""What a stored result must say: whoever opens ``tune.json`` or ``split.json`` finds every key, and no contradiction.

The files may have been edited by hand. These functions raise ``KeyError``, ``TypeError`` or ``ValueError``; the callers
say which file it is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.errors import shown
from prudent.report.format import WAYS
from prudent.runs.tuned import KEEP_LOG
from prudent.tuning.verdict import DEPLOY, KEEP_BC

_NUMBER = (int, float)

PLAN = {"algorithm": str, "grids": list, "seeds": list, "settings": dict, "dataset": dict}
GRID = {"algorithm": str, "strength": str, "values": list, "given": bool, "config": dict}
SETTINGS = {"steps": int, "splits": int, "seed": int, "rank_steps": int, "final_steps": int, "resamples": int}
DATASET = {"name": str, "fingerprint": str, "transitions": int, "episodes": int}
PARTS = {"by": str, "seed": list, "train": int, "evaluation": int, "final": int}
DERIVED = ("verdict", "reasons", "alpha", "setting", "winner", "stability")
"""Keys of ``tune.json`` that follow from its splits."""


def check_plan(plan: Any) -> None:
    """The plan in a ``tune.json``."""
    _check(plan, PLAN, "the plan")
    _check(plan["settings"], SETTINGS, "the settings of the plan")
    if not isinstance(plan["settings"]["env"], str | None):
        raise TypeError("env in the settings of the plan is no text")
    _check(plan["dataset"], DATASET, "the dataset of the plan")
    if not plan["grids"]:
        raise ValueError("the plan has no grid")
    for grid in plan["grids"]:
        _check(grid, GRID, "a grid of the plan")


def check_split(split: Any) -> None:
    """One division of the episodes, as both files have it."""
    groups = {"candidates": list, "imitators": list, "imitator": str, "reasons": list, "clone": bool}
    _check(split, {"parts": dict, "behaviour": dict, "final": dict, "verdict": str} | groups, "a split")
    _check(split["parts"], PARTS, "the parts of a split")
    _check_figure(split["behaviour"], "the behaviour policy")
    final, verdict = split["final"], split["verdict"]
    _check(final, {"bc": dict, "differences": dict}, "the final comparison")
    if not isinstance(final["policy"], dict | None):
        raise TypeError("policy in the final comparison is no JSON object")
    for name, gain in final["differences"].items():
        _check_figure(gain, name)
    if verdict not in (DEPLOY, KEEP_BC, KEEP_LOG):
        raise ValueError(f"there is no verdict {verdict!r}")
    for candidate in (*split["candidates"], *split["imitators"]):
        run = candidate["run"]
        # Runs are loaded from there: none lies outside the tuning.
        if run in ("", "..") or Path(run).name != run:
            raise ValueError(f"the run {shown(run)} is no name of a folder")
        if candidate["acting"] not in WAYS:
            raise ValueError(f"no policy acts by {candidate['acting']!r}")
    for group, key in (("candidates", "winner"), ("imitators", "imitator")):
        steps = {candidate["name"]: candidate["step"] for candidate in split[group]}
        name = split[key]
        if name is not None and steps.get(name) is None:
            raise ValueError(f"the {key} {name!r} has no policy among the {group}")
    if split["winner"] is None and verdict == DEPLOY:
        raise ValueError(f"it contradicts itself: its verdict is {verdict!r}, and there is no winner")


def check_derived(stored: Mapping[str, Any], derived: Mapping[str, Any], kept: str | None) -> None:
    """Whether ``tune.json``, as ``stored``, says what follows from its splits (``derived``), and what they keep."""
    for key, value in {**{key: derived[key] for key in DERIVED}, "kept": kept}.items():
        if stored[key] != value:
            pair = f"its {key} is {shown(stored[key])}, and by its splits {shown(value)}"
            raise ValueError(f"it contradicts itself: {pair}")


def _check(content: Any, kinds: Mapping[str, type], what: str) -> None:
    if not isinstance(content, dict):
        raise TypeError(f"{what} is no JSON object")
    for key, kind in kinds.items():
        if key not in content:
            raise ValueError(f"{what} has no {key}")
        if not isinstance(content[key], kind) or (kind is int and isinstance(content[key], bool)):
            raise TypeError(f"{key} of {what} is of another kind")


def _check_figure(figure: Any, what: str) -> None:
    """A value and its interval, or neither."""
    _check(figure, {}, what)
    value, interval = figure["value"], figure["ci95"]
    if not (value is None or isinstance(value, _NUMBER)):
        raise TypeError(f"the value of {what} is no number")
    if interval is not None and not (len(interval) == 2 and all(isinstance(end, _NUMBER) for end in interval)):
        raise TypeError(f"the interval of {what} is not two numbers")

"""Values outside the range of the log, in what a policy is asked."""

import sys
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from prudent.engine.scaling import Scaling
from prudent.errors import OutsideRangeWarning, PrudentError
from prudent.types import Hyper

if TYPE_CHECKING:
    from prudent.engine.population import Population

_ROUNDING = 1e-5
"""A share of the edge: a difference below it is no more than rounding."""


def heed(scaling: Scaling, rows: np.ndarray, where: str = "") -> None:
    """Do with observations (B, S) that leave the log's range what ``outside_range`` says, but for the clipping itself.

    ``refuse`` refuses them. ``warn`` warns of them, ``clip`` of those that are far outside: beyond the range by more
    than its width. A policy warns once of each feature. Nothing is known about the range of a policy that went on
    learning online.

    Raises:
        PrudentError: one is outside, and ``outside_range`` is ``refuse``.
    """
    choice = scaling.outside_range
    if scaling.observation_range is None:
        return
    low, high = scaling.observation_range
    scaled = scaling.observation(torch.from_numpy(np.array(rows)))
    beyond = torch.maximum(low - scaled, scaled - high)
    if choice == "clip":
        beyond = beyond - (high - low) - _ROUNDING * torch.maximum(low.abs(), high.abs())
    found_BS = (beyond > 0).cpu().numpy()
    if choice != "refuse":
        found_BS[:, sorted(scaling.warned_of)] = False
    if not found_BS.any():
        return
    features = np.flatnonzero(found_BS.any(axis=0))
    feature, row = int(features[0]), int(np.flatnonzero(found_BS[:, features[0]])[0])
    bounds = [scaling.in_log_units(end)[feature] for end in (low, high)]
    is_high = bool(scaled[row, feature] > high[feature])
    at = f" in row {row}" if len(rows) > 1 else ""
    # Numbers that only float64 holds, such as Unix times, differ in their last digits alone.
    digits = 6 if scaling.observation_offset is None else 14
    value, *ends = (f"{number:.{digits}g}" for number in (rows[row, feature], *bounds))
    text = f"{where}{name_of(scaling, feature)} is {value}{at}, "
    text += f"{'far ' if choice == 'clip' else ''}outside the range that the log covers, {' to '.join(ends)}"
    more = f"; so {'are' if len(features) > 2 else 'is'} {len(features) - 1} more" if len(features) > 1 else ""
    if choice == "refuse":
        raise PrudentError(f"{text}{more} (outside_range is refuse)")
    scaling.warned_of.update(features.tolist())
    does = f"taken as {ends[is_high]}" if choice == "clip" else "taken as it is"
    text += f": {does}{more} (outside_range is {choice}; said once)"
    warnings.warn(" ".join(text.split()), OutsideRangeWarning, stacklevel=_callers_level())


def _callers_level() -> int:
    """The level of the caller's line for :func:`warnings.warn`: the first one outside this library."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "prudent":
        frame, level = frame.f_back, level + 1
    return level


def name_of(scaling: Scaling, feature: int) -> str:
    """What an observation feature is called."""
    return f"feature {feature}" if scaling.encoding is None else scaling.encoding.features[feature]


def set_outside_range(population: "Population", choice: str) -> None:
    """Change what a trained population does with features outside the range of the log; a checkpoint keeps it.

    Raises:
        ConfigError: it is none of ``clip``, ``warn`` and ``refuse``.
    """
    members = [replace(member, config=replace(member.config, outside_range=choice)) for member in population.members]
    population.members = tuple(members)
    population.hyper = Hyper([member.config for member in members], population.device)
    population.scaling = replace(population.scaling, outside_range=choice, warned_of=set())

"""Part ``scaling``: how a step's time grows with batch, width, proposals and members.

The unit is the workload's step.
"""

from typing import Any

from benchmarks import work
from benchmarks.harness import Measure, Result, Settings, clock_name, column, ratio, shown, spread, take_turns, timed
from prudent.algorithms import cql

AXES: dict[str, tuple[int, ...]] = {
    "batch": (64, 128, 256, 512, 1024),
    "width": (64, 128, 256, 512),
    "proposals": (1, 3, 10, 30),
    "members": (1, 2, 4, 8),
}
HERE = {"batch": 256, "width": 256, "proposals": 10, "members": 1}
LABELS = {
    "batch": "batch size",
    "width": "width of both hidden layers",
    "proposals": "proposals per distribution (N)",
    "members": "members (P), time per member",
}


def settings_at(axis: str, value: int) -> dict[str, Any]:
    """The settings of the workload with one of them changed."""
    changed = {
        "batch": {"batch_size": value},
        "width": {"hidden": (value, value)},
        "proposals": {"n_actions": value},
        "members": {},
    }
    return changed[axis]


def measure(settings: Settings) -> Result:
    """Measure all sizes in turn; the time of several members is divided by their number."""
    axes = {axis: values[:2] for axis, values in AXES.items()} if settings.small else AXES
    measures: dict[str, Measure] = {"item": timed(work.population(cql.Config())[1])}
    for axis, values in axes.items():
        for value in values:
            if value != HERE[axis]:
                members = value if axis == "members" else 1
                measures[f"{axis} {value}"] = timed(work.population(cql.Config(**settings_at(axis, value)), members)[1])
    turns = take_turns(measures, settings, calls=1)
    for turn in turns:
        for value in axes["members"]:
            if value > 1:
                turn[f"members {value}"] /= value
    one = {"item": spread([1.0])}
    ratios = {name: ratio(turns, name, "item") for name in measures if name != "item"}
    return Result(
        part="scaling",
        what="the work item's step with one size changed, over the work item's",
        clock=clock_name(),
        margin=0.15,
        ratios=ratios,
        figures={
            "ms": {name: column(turns, name) for name in measures},
            "axes": {
                axis: {str(v): ratios[f"{axis} {v}"] if v != HERE[axis] else one["item"] for v in values}
                for axis, values in axes.items()
            },
        },
    )


def lines(result: Result) -> list[str]:
    """A line for each axis."""
    told = [f"  the work item's step {shown(result.figures['ms']['item'], '.1f')} ms"]
    for axis, values in result.figures["axes"].items():
        told.append(f"  {LABELS[axis]:<32} " + "   ".join(f"{v}: {r['median']:.2f}" for v, r in values.items()))
    return told

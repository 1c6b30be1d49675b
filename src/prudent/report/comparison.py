"""Other runs beside a run: whether they can stand there, and what there is of them without an environment."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError
from prudent.report.format import Table, number
from prudent.runs import checkpoint
from prudent.runs.read import Run, as_number, mean_of, read_run

_METRICS = {
    "train/q_data": "Q of the data",
    "train/q_policy": "Q of the policy",
    "train/cql_gap": "gap",
    "train/td_error": "TD error",
    "train/critic_loss": "critic loss",
    "train/actor_loss": "actor loss",
}
_NOTE = (
    "The last line of metrics of each run, means over its members. They say how training went, not what a policy is "
    "worth: losses of different algorithms do not compare."
)
_SPACES = ("observation_size", "action_size", "discrete")


def read_others(run: Run, compare: Mapping[str, Path | str] | None) -> dict[str, Run]:
    """The runs to show beside ``run``, by name.

    Raises:
        ConfigError: one has other spaces.
        DataError: one is no run folder.
    """
    others = {name: read_run(folder) for name, folder in (compare or {}).items()}
    ours = _spaces(run)
    for name, other in others.items():
        theirs = _spaces(other)
        if ours and theirs and ours != theirs:
            raise ConfigError(
                f"{name}={other.folder} is of another task: {_told(theirs)}; {run.folder} has {_told(ours)}: "
                "only runs with the same spaces compare"
            )
    return others


def unmeasured(run: Run, others: Mapping[str, Run]) -> list[str]:
    """A sentence per run beside this one that returns do not compare it with, and neither does ``value.json``."""
    against = run.value.get("against")
    weighed = against if isinstance(against, dict) else {}
    ran = _was_run(run)
    told = []
    for name, other in others.items():
        if name in weighed or (ran and _was_run(other)):
            continue
        who = "It" if _was_run(other) else name
        what = "was, this run was not run in an environment" if who == "It" else "was not run in an environment"
        data = str(other.dataset.get("name") or "data without a name")
        same = other.dataset.get("fingerprint") == run.dataset.get("fingerprint")
        about = f"{name} is {other.algorithm} on {data}{'' if same else ', which are other data'}. {who} {what}"
        told.append(f"{about}: compare by prudent value {run.folder} --compare {name}={other.folder}.")
    return told


def beside_section(run: Run, others: Mapping[str, Run]) -> dict[str, Any]:
    """The section of the report: its sentences, and the last metrics of this run and the others; empty without any."""
    if not others:
        return {}
    rows = [("this run", run), *others.items()]
    found = [{metric: _last(one, metric) for metric in _METRICS} for _, one in rows]
    kept = [metric for metric in _METRICS if any(line[metric] is not None for line in found)]
    heads = ["algorithm", "data", "step", *(_METRICS[metric] for metric in kept)]
    lines = [
        {
            "name": name,
            "kind": "overall" if one is run else "other",
            "cells": [
                one.algorithm,
                str(one.dataset.get("name") or "-"),
                f"{step:,}" if isinstance(step := one.status.get("step"), int) else "-",
                *(number(line[metric]) for metric in kept),
            ],
        }
        for (name, one), line in zip(rows, found, strict=True)
    ]
    return {"told": unmeasured(run, others), "table": Table("Beside other runs", heads, lines, _NOTE, "run")}


def _was_run(run: Run) -> bool:
    return as_number(run.best()[1].get("return_mean")) is not None


def _last(run: Run, metric: str) -> float | None:
    """Mean over the members at the last step that has one."""
    members = run.series.get(metric, {})
    step = max((step for series in members.values() for step in series), default=None)
    return None if step is None else mean_of([series.get(step) for series in members.values()])


def _spaces(run: Run) -> dict[str, Any]:
    """Sizes of observation and action and the kind of actions, of its newest checkpoint; empty where none says."""
    for _, folder in reversed(checkpoint.steps(run.folder)):
        try:
            spec = json.loads((folder / checkpoint.DESCRIPTION).read_bytes())["spec"]
            return {name: spec[name] for name in _SPACES}
        except (OSError, KeyError, TypeError, ValueError, RecursionError):
            continue  # of what is damaged nothing is known; where its policy is needed, loading it says so
    return {}


def _told(spaces: Mapping[str, Any]) -> str:
    kind = "discrete actions" if spaces["discrete"] else "action features"
    return f"{spaces['observation_size']} observation features and {spaces['action_size']} {kind}"

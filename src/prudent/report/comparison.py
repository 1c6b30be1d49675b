"""Other runs next to a run: whether they can be compared, and their last metrics."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError
from prudent.report.format import Table, number
from prudent.runs import checkpoint, tuned
from prudent.runs.foreign import parse_json, read_bytes
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
    "The last metrics of each run, averaged over its members. They show how training went, not the value of a policy: "
    "losses of different algorithms cannot be compared."
)
_SPACES = ("observation_size", "action_size", "discrete")


def read_others(run: Run, compare: Mapping[str, Path | str] | None) -> dict[str, Run]:
    """The runs to compare with ``run``, by name.

    Raises:
        ConfigError: one has other spaces.
        DataError: one is not a run folder.
    """
    others = {name: _read(Path(folder)) for name, folder in (compare or {}).items()}
    ours = _spaces(run)
    for name, other in others.items():
        theirs = _spaces(other)
        if ours and theirs and ours != theirs:
            raise ConfigError(
                f"{name}={other.folder} is of another task: {_describe(theirs)}; {run.folder} has {_describe(ours)}: "
                "only runs with the same spaces can be compared"
            )
    return others


def _read(folder: Path) -> Run:
    """A run; of a tuned folder the run that its policy comes from, with this member alone."""
    if not tuned.is_tuned(folder):
        return read_run(folder)
    place, name = tuned.run_of(folder)
    return replace(read_run(place).only(name), folder=folder / tuned.POLICY)


def missing_comparisons(run: Run, others: Mapping[str, Run]) -> list[str]:
    """A sentence for each other run that neither returns nor ``value.json`` compare with this run."""
    against = run.value.get("against")
    estimated = against if isinstance(against, dict) else {}
    evaluated = _is_evaluated(run)
    sentences = []
    for name, other in others.items():
        if name in estimated or (evaluated and _is_evaluated(other)):
            continue
        if _is_evaluated(other):
            missing = "It was run in an environment, this run was not"
        else:
            missing = f"{name} was not run in an environment"
        data = str(other.dataset.get("name") or "data without a name")
        same_data = other.dataset.get("fingerprint") == run.dataset.get("fingerprint")
        about = f"{name} is {other.algorithm} on {data}{'' if same_data else ', which is other data'}. {missing}"
        sentences.append(f"{about}: compare with prudent value {run.folder} --compare {name}={other.folder}.")
    return sentences


def comparison_section(run: Run, others: Mapping[str, Run]) -> dict[str, Any]:
    """The sentences of :func:`missing_comparisons`, and a table of the last metrics; empty without other runs."""
    if not others:
        return {}
    runs = [("this run", run), *others.items()]
    figures = [{metric: _last(each, metric) for metric in _METRICS} for _, each in runs]
    columns = [metric for metric in _METRICS if any(row[metric] is not None for row in figures)]
    heads = ["algorithm", "data", "step", *(_METRICS[metric] for metric in columns)]
    rows = [
        {
            "name": name,
            "kind": "overall" if each is run else "other",
            "cells": [
                each.algorithm,
                str(each.dataset.get("name") or "-"),
                f"{step:,}" if isinstance(step := each.status.get("step"), int) else "-",
                *(number(row[metric]) for metric in columns),
            ],
        }
        for (name, each), row in zip(runs, figures, strict=True)
    ]
    return {
        "sentences": missing_comparisons(run, others),
        "table": Table("Comparison with other runs", heads, rows, _NOTE, "run"),
    }


def _is_evaluated(run: Run) -> bool:
    return as_number(run.best()[1].get("return_mean")) is not None


def _last(run: Run, metric: str) -> float | None:
    """Mean over the members at the last step that has the metric."""
    members = run.series.get(metric, {})
    step = max((step for series in members.values() for step in series), default=None)
    return None if step is None else mean_of([series.get(step) for series in members.values()])


def _spaces(run: Run) -> dict[str, Any]:
    """Sizes, kind and first number of the actions, from the newest readable checkpoint; else empty."""
    for _, folder in reversed(checkpoint.steps(run.folder)):
        try:
            spec = parse_json(read_bytes(folder / checkpoint.DESCRIPTION))["spec"]
            return {name: spec[name] for name in _SPACES} | {"first_action": spec.get("first_action", 0)}
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
            continue  # loading the damaged checkpoint reports it; a report goes without
    return {}


def _describe(spaces: Mapping[str, Any]) -> str:
    first = f" from {spaces['first_action']}" if spaces["first_action"] else ""
    kind = f"discrete actions{first}" if spaces["discrete"] else "action features"
    return f"{spaces['observation_size']} observation features and {spaces['action_size']} {kind}"

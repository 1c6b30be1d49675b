"""What came out of a suite: one small JSON file, and the table that is made of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from prudent import algorithms
from prudent.bench.cells import COMPLETE, MISSING, Standing
from prudent.bench.suite import Cell, Suite
from prudent.data import normalized_score
from prudent.environments.make import uses_bullet, uses_mujoco
from prudent.errors import PrudentError
from prudent.report.terminal import COLUMNS, cell, text_table
from prudent.runs.folder import read_json, read_run
from prudent.runs.metrics import read_metrics

FIGURES = ("return_mean", "normalized_score", "iqm", "ci95", "predicted_value", "realized_value", "lower_bound_share")
_HEADS = {key: COLUMNS[key] for key in FIGURES} | {"steps": "steps", "minutes": "minutes", "seeds": "seeds"}
_LIBRARIES = ("prudent", "torch", "gymnasium", "mujoco", "pybullet")
_MACHINE = (*_LIBRARIES, "processor", "device", "threads")
# Installed simulators that a suite does not use are not what it was measured with.
_SIMULATORS = {"mujoco": uses_mujoco, "pybullet": uses_bullet}


def collect(suite: Suite, out: Path, standings: Mapping[str, Standing]) -> dict[str, Any]:
    """Everything that the table and the figure show, ready for JSON; None stands for what has no value.

    ``datasets`` holds, per dataset, the mean return of its episodes and a row per algorithm, best IQM first: its
    figures where the cell is complete, mean return and IQM of each seed (``seed_returns``, ``seed_iqm``), the minutes
    that its steps took (evaluations, checkpoints and what a kill threw away are left out), and its state.
    """
    machines: dict[str, list[Any]] = {}
    datasets = []
    for data in suite.datasets:
        rows, own = [], {"return_mean": None, "normalized_score": None, "transitions": None, "episodes": None}
        for one in (c for c in suite.cells if c.data.name == data.name):
            folder = out / one.name
            rows.append(_row(one, folder, standings[one.name]))
            if standings[one.name].state == MISSING or not (folder / "config.json").is_file():
                continue
            about = read_run(folder)["dataset"]
            mean = about["mean_return"]
            own = {"return_mean": mean, "normalized_score": normalized_score(data.env, mean)}
            own |= {key: about[key] for key in ("transitions", "episodes")}
            _note_machine(machines, folder, data.env)
        rows.sort(key=lambda row: (row["iqm"] is None, -(row["iqm"] or 0.0)))
        datasets.append({"name": data.name, "env": data.env, "data": own, "algorithms": rows})
    about = {"suite": suite.name, "title": suite.title, "seeds": list(suite.seeds)}
    return {**about, "machine": machines, "datasets": datasets}


def _note_machine(machines: dict[str, list[Any]], folder: Path, env: str) -> None:
    """Add what a run was trained with, where that is new: the cells may come from several machines."""
    path = folder / "environment.json"
    found = read_json(path) if path.exists() else {}
    for key in _MACHINE:
        used = key not in _SIMULATORS or _SIMULATORS[key](env)
        if used and key in found and found[key] not in machines.setdefault(key, []):
            machines[key].append(found[key])


def _row(one: Cell, folder: Path, at: Standing) -> dict[str, Any]:
    row: dict[str, Any] = {
        "algorithm": one.algorithm,
        "title": algorithms.get(one.algorithm).TITLE,
        "state": at.state,
        "step": at.step,
        "steps": one.options.steps,
        "seeds": len(one.members),
        "minutes": minutes(folder),
        "reason": at.reason,
        **dict.fromkeys(FIGURES),
        "seed_returns": [],
        "seed_iqm": [],
    }
    if at.state != COMPLETE:
        return row
    found = read_json(folder / "evaluation.json")
    try:
        row |= {key: found["overall"][key] for key in FIGURES}
        own = [found["members"][member.name] for member in one.members]
        row |= {"seed_returns": [m["return_mean"] for m in own], "seed_iqm": [m["iqm"] for m in own]}
    except (KeyError, TypeError):
        raise PrudentError(f"{folder / 'evaluation.json'} is damaged: figures are missing") from None
    lost = sum(value is None for value in row["seed_returns"])
    if lost:
        row["reason"] = f"{lost} of {len(one.members)} seeds diverged"
    return row


def minutes(folder: Path) -> float | None:
    """Minutes that the steps of a run took, summed over resumes; None before the first line of metrics.

    Each line says how long a step took since the one before it; evaluations and checkpoints do not count.
    """
    timed = "time/ms_per_step"
    at = {row["step"]: row[timed] for row in read_metrics(folder / "metrics.jsonl") if timed in row}
    milliseconds, before = 0.0, 0
    for step in sorted(at):
        milliseconds += (step - before) * at[step]
        before = step
    return milliseconds / 60_000 if at else None


# --- tables -----------------------------------------------------------------------------------------------------------


def text(results: Mapping[str, Any]) -> str:
    """The table for a terminal; below it what failed, what the columns are, and with what it was measured."""
    head, rows = _table(results)
    table = text_table(head, [[f"  {row[0]}" if is_algorithm else row[0], *row[1:]] for is_algorithm, row in rows])
    wide = len(table.splitlines()[1])
    about = [fill(one, max(wide, 80)) for one in (*_notes(results), _about(results))]
    return "\n\n".join([results["title"], "\n".join(line.rstrip() for line in table.splitlines()), *about])


def markdown(results: Mapping[str, Any]) -> str:
    """The same for a page."""
    head, rows = _table(results)
    body = [row if is_algorithm else [f"**{row[0]}**", *row[1:]] for is_algorithm, row in rows]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    table = "\n".join(f"| {' | '.join(one.replace('|', '/') for one in line)} |" for line in lines)
    return "\n\n".join([table, *_notes(results), _about(results)]) + "\n"


def _table(results: Mapping[str, Any]) -> tuple[list[str], list[tuple[bool, list[str]]]]:
    """Heads, and rows with whether they are an algorithm's; columns that nobody has a figure for are left out."""
    entries: list[tuple[bool, str, Mapping[str, Any]]] = []
    for dataset in results["datasets"]:
        entries.append((False, f"{dataset['name']}: the data", dataset["data"]))
        entries += [(True, row["title"], _without_lone_value(row)) for row in dataset["algorithms"]]
    shown = [key for key in _HEADS if any(figures.get(key) is not None for _, _, figures in entries)]
    rows = [
        (is_algorithm, [name, *(_shown(key, figures, is_algorithm) for key in shown)])
        for is_algorithm, name, figures in entries
    ]
    return ["policy", *(_HEADS[key] for key in shown)], rows


def _without_lone_value(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A realised value stands beside a prediction, or not at all."""
    return row if row["predicted_value"] is not None else {**row, "realized_value": None}


def _shown(key: str, figures: Mapping[str, Any], is_algorithm: bool) -> str:
    value = figures.get(key)
    if value is None:
        return "-" if is_algorithm or key == "return_mean" else ""
    return f"{value:,}" if key in ("steps", "seeds") else cell(key, value)


def _notes(results: Mapping[str, Any]) -> list[str]:
    """A line for each cell that is not complete, or lost a seed."""
    lines = []
    for dataset in results["datasets"]:
        for row in dataset["algorithms"]:
            at = f"{row['state']} at step {row['step']:,} of {row['steps']:,}" if row["step"] else row["state"]
            told = [at] * (row["state"] != COMPLETE) + [row["reason"]] * bool(row["reason"])
            if told:
                lines.append(f"{dataset['name']}, {row['title']}: {', '.join(told)}")
    return lines


def _about(results: Mapping[str, Any]) -> str:
    """What the columns are, and with what they were measured."""
    machine = results["machine"]
    parts = [f"{key} {_several(machine[key])}" for key in _LIBRARIES if machine.get(key)]
    parts += [_several(machine[key]) for key in ("processor", "device") if machine.get(key)]
    parts += [f"{_several(machine['threads'])} thread(s)"] if machine.get("threads") else []
    return (
        "Returns are of the deterministic policy, over all episodes of all seeds; IQM is their interquartile mean, "
        "with its bootstrap interval. Predicted and realised are discounted, of the sampled policy. Minutes are for "
        f"the steps of all seeds at once, evaluations left out. Measured with {', '.join(parts) or 'nothing yet'}."
    )


def _several(values: Sequence[Any]) -> str:
    return " and ".join(str(value) for value in values)

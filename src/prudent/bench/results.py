"""The results of a suite: one small JSON file, and the table made from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from prudent import algorithms
from prudent.bench.cells import COMPLETE, MISSING, CellStatus
from prudent.bench.suite import Cell, Suite
from prudent.data import normalized_score
from prudent.environments.make import uses_bullet, uses_mujoco
from prudent.errors import PrudentError
from prudent.report import terminal
from prudent.report.terminal import COLUMNS, text_table
from prudent.runs.folder import read_json, read_run
from prudent.runs.metrics import events

FIGURES = ("return_mean", "normalized_score", "iqm", "ci95", "predicted_value", "realized_value", "lower_bound_share")
_HEADS = {key: COLUMNS[key] for key in FIGURES} | {"steps": "steps", "minutes": "minutes", "seeds": "seeds"}
_LIBRARIES = ("prudent", "torch", "gymnasium", "mujoco", "pybullet")
_MACHINE = (*_LIBRARIES, "processor", "device", "threads")
# Simulators are listed only where a suite uses them.
_SIMULATORS = {"mujoco": uses_mujoco, "pybullet": uses_bullet}


def collect(suite: Suite, out: Path, statuses: Mapping[str, CellStatus]) -> dict[str, Any]:
    """Everything that the table and the figure show, ready for JSON; None stands for a missing value.

    ``datasets`` has, per dataset, the mean return of its episodes and a row per algorithm, best IQM first: its state,
    its figures if the cell is complete, mean return and IQM of each seed (``seed_returns``, ``seed_iqm``), and the
    minutes that its steps took (without evaluations, checkpoints and steps lost to a kill).
    """
    machines: dict[str, list[Any]] = {}
    datasets = []
    for data in suite.datasets:
        rows = []
        log = {"return_mean": None, "normalized_score": None, "transitions": None, "episodes": None}
        for cell in (c for c in suite.cells if c.data.name == data.name):
            folder, status = out / cell.name, statuses[cell.name]
            rows.append(_row(cell, folder, status))
            if status.state == MISSING or not (folder / "config.json").is_file():
                continue
            stored = read_run(folder)["dataset"]
            mean = stored["mean_return"]
            log = {"return_mean": mean, "normalized_score": normalized_score(data.env, mean)}
            log |= {key: stored[key] for key in ("transitions", "episodes")}
            _add_machine(machines, folder, data.env)
        rows.sort(key=lambda row: (row["iqm"] is None, -(row["iqm"] or 0.0)))
        datasets.append({"name": data.name, "env": data.env, "data": log, "algorithms": rows})
    about = {"suite": suite.name, "title": suite.title, "seeds": list(suite.seeds)}
    return {**about, "machine": machines, "datasets": datasets}


def _add_machine(machines: dict[str, list[Any]], folder: Path, env: str) -> None:
    """Add the versions and the machine of a run, if they are new: cells may come from several machines."""
    path = folder / "environment.json"
    stored = read_json(path) if path.exists() else {}
    for key in _MACHINE:
        used = key not in _SIMULATORS or _SIMULATORS[key](env)
        if used and key in stored and stored[key] not in machines.setdefault(key, []):
            machines[key].append(stored[key])


def _row(cell: Cell, folder: Path, status: CellStatus) -> dict[str, Any]:
    row: dict[str, Any] = {
        "algorithm": cell.algorithm,
        "title": algorithms.get(cell.algorithm).TITLE,
        "state": status.state,
        "step": status.step,
        "steps": cell.options.steps,
        "seeds": len(cell.members),
        "minutes": minutes(folder),
        "reason": status.reason,
        **dict.fromkeys(FIGURES),
        "seed_returns": [],
        "seed_iqm": [],
    }
    if status.state != COMPLETE:
        return row
    evaluation = read_json(folder / "evaluation.json")
    try:
        row |= {key: evaluation["overall"][key] for key in FIGURES}
        seeds = [evaluation["members"][member.name] for member in cell.members]
        row |= {"seed_returns": [seed["return_mean"] for seed in seeds], "seed_iqm": [seed["iqm"] for seed in seeds]}
    except (KeyError, TypeError):
        raise PrudentError(f"{folder / 'evaluation.json'} is damaged: figures are missing") from None
    diverged = sum(value is None for value in row["seed_returns"])
    if diverged:
        row["reason"] = f"{diverged} of {len(cell.members)} seeds diverged"
    return row


def minutes(folder: Path) -> float | None:
    """Minutes that the steps of a run took, summed over resumes; None before the first line of metrics.

    Each line has the mean time of a step since the line before, without evaluations and checkpoints.
    """
    key = "time/ms_per_step"
    times = {row["step"]: row[key] for row in events(folder / "metrics.jsonl") if key in row}
    milliseconds, before = 0.0, 0
    for step in sorted(times):
        milliseconds += (step - before) * times[step]
        before = step
    return milliseconds / 60_000 if times else None


# --- tables -----------------------------------------------------------------------------------------------------------


def text(results: Mapping[str, Any]) -> str:
    """The table for a terminal; below it what failed, what the columns mean, and versions and machine."""
    head, rows = _table(results)
    table = text_table(head, [[f"  {row[0]}" if is_algorithm else row[0], *row[1:]] for is_algorithm, row in rows])
    wide = len(table.splitlines()[1])
    notes = [fill(note, max(wide, 80)) for note in (*_notes(results), _about(results))]
    return "\n\n".join([results["title"], "\n".join(line.rstrip() for line in table.splitlines()), *notes])


def markdown(results: Mapping[str, Any]) -> str:
    """The same in Markdown."""
    head, rows = _table(results)
    body = [row if is_algorithm else [f"**{row[0]}**", *row[1:]] for is_algorithm, row in rows]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    table = "\n".join(f"| {' | '.join(text.replace('|', '/') for text in line)} |" for line in lines)
    return "\n\n".join([table, *_notes(results), _about(results)]) + "\n"


def _table(results: Mapping[str, Any]) -> tuple[list[str], list[tuple[bool, list[str]]]]:
    """Heads, and rows with a mark whether they are of an algorithm; columns without any figure are left out."""
    entries: list[tuple[bool, str, Mapping[str, Any]]] = []
    for dataset in results["datasets"]:
        entries.append((False, f"{dataset['name']}: the data", dataset["data"]))
        entries += [(True, row["title"], _without_lone_realized(row)) for row in dataset["algorithms"]]
    keys = [key for key in _HEADS if any(figures.get(key) is not None for _, _, figures in entries)]
    rows = [
        (is_algorithm, [name, *(_text(key, figures, is_algorithm) for key in keys)])
        for is_algorithm, name, figures in entries
    ]
    return ["policy", *(_HEADS[key] for key in keys)], rows


def _without_lone_realized(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row without its realised value if it has no predicted one to compare with."""
    return row if row["predicted_value"] is not None else {**row, "realized_value": None}


def _text(key: str, figures: Mapping[str, Any], is_algorithm: bool) -> str:
    value = figures.get(key)
    if value is None:
        return "-" if is_algorithm or key == "return_mean" else ""
    return f"{value:,}" if key in ("steps", "seeds") else terminal.cell(key, value)


def _notes(results: Mapping[str, Any]) -> list[str]:
    """A line for each cell that is not complete or has diverged seeds."""
    lines = []
    for dataset in results["datasets"]:
        for row in dataset["algorithms"]:
            state = f"{row['state']} at step {row['step']:,} of {row['steps']:,}" if row["step"] else row["state"]
            parts = [state] * (row["state"] != COMPLETE) + [row["reason"]] * bool(row["reason"])
            if parts:
                lines.append(f"{dataset['name']}, {row['title']}: {', '.join(parts)}")
    return lines


def _about(results: Mapping[str, Any]) -> str:
    """What the columns mean, and with which versions and machine they were measured."""
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

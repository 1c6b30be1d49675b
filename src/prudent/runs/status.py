"""``status.json``: the state of a run, and whether it may be built upon."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError, PrudentError
from prudent.runs.folder import read_json, write_json


def is_finished(run: Path) -> bool:
    """Whether a run has made all of its steps, by its ``status.json``.

    Raises:
        PrudentError: ``status.json`` is damaged.
    """
    status = run / "status.json"
    return status.is_file() and read_json(status).get("state") == "finished"


def write_status(
    run: Path,
    state: str,
    step: int,
    steps: int,
    message: str = "",
    incidents: Sequence[Mapping[str, Any]] = (),
    stopped_by: str = "",
) -> None:
    """Write ``status.json``: running, finished, interrupted or failed, with one line for people.

    ``incidents`` are failures after which training went on, with ``step``, ``kind``, ``why`` and ``member``.
    ``stopped_by`` names the callback that made this the last step.
    """
    text = message or f"{state}, step {step} of {steps}"
    if state == "finished" and incidents:
        text += _kinds(incidents)
    content: dict[str, Any] = {"state": state, "step": step, "steps": steps, "message": text}
    if stopped_by:
        content["stopped_by"] = stopped_by
    if incidents:
        content["incidents"] = list(incidents)
    write_json(run / "status.json", content, durable=False)


def incidents(run: Path, until: int) -> list[dict[str, Any]]:
    """The incidents in ``status.json`` up to a step; none if the file is missing or damaged."""
    try:
        stored = read_json(run / "status.json").get("incidents")
    except PrudentError:
        return []
    rows = [row for row in stored if isinstance(row, dict)] if isinstance(stored, list) else []
    return [row for row in rows if isinstance(row.get("step"), int) and row["step"] <= until]


def trouble(run: Path) -> str:
    """What went wrong in a run that went on, to stand behind a line about it; empty if nothing did."""
    return _kinds(incidents(run, sys.maxsize))


def _kinds(incidents: Sequence[Mapping[str, Any]]) -> str:
    """Each kind of incident once, with the number of members where there are several."""
    members: dict[str, set[Any]] = {}
    for incident in incidents:
        members.setdefault(str(incident.get("kind")), set()).add(incident.get("member"))
    if not members:
        return ""
    counted = [kind if len(who) < 2 else f"{kind} ({len(who)} members)" for kind, who in members.items()]
    return f"; not all went well: {', '.join(counted)}"


def check_ended(run: Path) -> None:
    """Refuse a run that has not ended. Print a line for one that ended before its last step.

    A folder without ``status.json``, such as a single checkpoint, passes.

    Raises:
        ConfigError: the run is still training or was killed.
        PrudentError: ``status.json`` is damaged.
    """
    if not (run / "status.json").is_file():
        return
    status = read_json(run / "status.json")
    state = status.get("state")
    if state == "running":
        config = run / "config.json"
        online = config.is_file() and "finetuned_from" in read_json(config)
        advice = "wait for it, or fine-tune anew" if online else f"resume it first: prudent train --resume {run}"
        raise ConfigError(f"{run} is still training or was killed: {advice}")
    if state in ("interrupted", "failed"):
        print(f"{run} did not finish: {state} at step {status.get('step')} of {status.get('steps')}")

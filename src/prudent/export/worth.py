"""What is known of the worth of a policy: the verdict, its value with an interval, its return in an environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.runs import tuned
from prudent.runs.folder import read_json
from prudent.runs.foreign import as_written
from prudent.runs.read import as_interval, as_number


def of_tuning(folder: Path) -> dict[str, Any]:
    """The verdict of a tuning with its reasons, and the value of the policy that it keeps.

    The value is that of ``value.json``, which rests on episodes named later, or else that of the final part.

    Raises:
        PrudentError: a file is damaged.
    """
    result = tuned.read(folder)
    with as_written(folder / tuned.RESULT):
        split = result["splits"][0]
        kept_winner = result["kept"] == split["winner"]
        stored = split["final"].get("policy" if kept_winner else "bc")
        found: dict[str, Any] = {
            "verdict": str(result["verdict"]),
            "reasons": [str(reason) for reason in result["reasons"]],
            "value": None if stored is None else _value(stored, stored.get("lead", "fqe"), "the tuning's final part"),
            "return": None,
        }
    later = _of_file(folder, None, None)
    return {**found, "value": later or found["value"]}


def of_run(folder: Path, name: str, step: int, verdict: str | None, reasons: list[str]) -> dict[str, Any]:
    """The verdict, and what ``value.json`` and ``evaluation.json`` of a run say about one member at one step.

    Raises:
        PrudentError: a file is damaged.
    """
    found: dict[str, Any] = {"verdict": verdict, "reasons": reasons, "value": _of_file(folder, name, step)}
    place = folder / "evaluation.json"
    if not place.is_file():
        return {**found, "return": None}
    evaluation = read_json(place, strict=False)
    with as_written(place):
        row = (evaluation.get("members") or {}).get(name)
        if row is None or evaluation.get("step") != step or as_number(row.get("return_mean")) is None:
            return {**found, "return": None}
    env = read_json(folder / "config.json").get("env")
    with as_written(place):
        return {**found, "return": _return(row, env if isinstance(env, str) else "its environment")}


def _return(row: Mapping[str, Any], env: str) -> dict[str, Any]:
    return {
        "mean": as_number(row["return_mean"]),
        "iqm": as_number(row.get("iqm")),
        "interval": _interval(row.get("ci95")),
        "env": env,
    }


def _of_file(folder: Path, name: str | None, step: int | None) -> dict[str, Any] | None:
    """The value in ``value.json``; None if there is none, or if it is of another member or step."""
    place = folder / "value.json"
    if not place.is_file():
        return None
    content = read_json(place, strict=False)
    with as_written(place):
        if step is not None and content.get("step") != step:
            return None
        own = [policy for policy in content["policies"] if not policy["run"]]
        wanted = content["best"] if name is None else name
        stored = next((policy for policy in own if policy["title"] == wanted), None)
        return None if stored is None else _value(stored, content.get("lead", "fqe"), str(content["dataset"]), content)


def _value(
    stored: Mapping[str, Any], lead: str, dataset: str, content: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    estimate = stored[lead]
    value = as_number(estimate["value"])
    if value is None:
        return None
    about = content or {}
    return {
        "value": value,
        "interval": _interval(estimate["ci95"]),
        "level": 0.95,
        "by": lead,
        "discount": as_number(stored.get("discount")),
        "dataset": dataset,
        "episodes": about.get("episodes", stored.get("support", {}).get("episodes")),
        "trained_on_these": about.get("seen") if content else False,
    }


def _interval(stored: Any) -> list[float] | None:
    ends = as_interval(stored)
    return None if ends is None else list(ends)

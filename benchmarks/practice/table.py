"""Adds up the stored runs, and writes them as Markdown tables for the docs."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Head and rows."""
WORTH_IT = 0.1
"""Where the best run of the grid gains this share of the log's value, a verdict should say so."""


def read(folder: Path, names: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """The truths of the problems, and the finished runs, in the order of ``names``."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    found.sort(key=lambda row: (names.index(row["problem"]), row.get("seed", -1)))
    return [row for row in found if "seed" not in row], [row for row in found if "seed" in row]


def truly_worse(gain: Row | None) -> bool:
    """Whether a policy loses against the log, by more than two standard errors of the simulation."""
    return gain is not None and gain["gain"] < -2 * gain["error"]


def best_of_grid(row: Row) -> Row | None:
    """The true gain of the best run of the grid; None if no run has a policy."""
    return max(row["grid"].values(), key=lambda gain: gain["gain"], default=None)


def worth_it(row: Row) -> bool:
    """Whether the best run of the grid truly gains 10 % or more of the log's value."""
    best = best_of_grid(row)
    return best is not None and best["gain"] >= WORTH_IT * abs(row["log"]["value"])


def summarise(rows: Sequence[Row]) -> Row:
    """Counts over runs: deployed, wrongly deployed, deployed where it was worth it, kept and not worse than the log."""
    deployed, worth, kept = (
        [row for row in rows if row["deployed"]],
        [row for row in rows if worth_it(row)],
        [row for row in rows if row["policy"] is not None],
    )
    return {
        "runs": len(rows),
        "verdicts": dict(Counter(row["verdict"] for row in rows).most_common()),
        "deployed": len(deployed),
        "worse": sum(truly_worse(row["policy"]) for row in deployed),
        "worth_it": len(worth),
        "worth_it_deployed": sum(row["deployed"] for row in worth),
        "kept": len(kept),
        "kept_not_worse": sum(not truly_worse(row["policy"]) for row in kept),
        "covered": [sum(inside), len(inside)] if (inside := [_inside(row) for row in rows if _asked(row)]) else [0, 0],
    }


def _asked(row: Row) -> bool:
    """Whether the predicted gain has an interval that can be held against the truth: that of a winner in the grid."""
    return bool(row["predicted"] and row["predicted"]["ci95"] and row["winner"] in row["grid"])


def _inside(row: Row) -> bool:
    low, high = row["predicted"]["ci95"]
    return low <= row["grid"][row["winner"]]["gain"] <= high


# --- tables -----------------------------------------------------------------------------------------------------------


def truth_table(truths: Sequence[Row]) -> Table:
    """What the log is worth, and a better rule."""
    head = ["problem", "what it has", "discount", "value of the log", "a better rule", "bad ends"]
    rows = [
        [
            f"`{t['problem']}`",
            t["about"],
            f"{t['discount']:g}",
            f"{t['log']['value']:.4g} (+- {t['log']['error']:.2g})",
            _share(t["better"]["gain"], t),
            f"{t['log']['bad']:.1%}, {t['better']['bad']:.1%}",
        ]
        for t in truths
    ]
    return head, rows


def summary_table(rows: Sequence[Row]) -> Table:
    """A line per problem, and one for all."""
    head = ["problem", "runs", "verdicts", "deployed, but worse than the log", "deployed where the best gains 10 %"]
    head += ["policy in the folder not worse than the log", "true gain within the interval"]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"`{row['problem']}`", []).append(row)
    groups |= {"**all**": list(rows)} if len(groups) > 1 else {}
    return head, [[name, *_summary_cells(summarise(own))] for name, own in groups.items()]


def _summary_cells(found: Row) -> list[str]:
    verdicts = ", ".join(f"*{verdict}* {count}" for verdict, count in found["verdicts"].items())
    shares = [
        (found["worse"], found["deployed"]),
        (found["worth_it_deployed"], found["worth_it"]),
        (found["kept_not_worse"], found["kept"]),
        found["covered"],
    ]
    return [str(found["runs"]), verdicts, *(f"{part} of {whole}" for part, whole in shares)]


def run_table(rows: Sequence[Row]) -> Table:
    """A line per run; gains in per cent of the log's true value."""
    head = ["problem", "seed", "verdict", "winner", "predicted gain", "its true gain", "best of the grid"]
    head += ["in the folder", "true gain of that", "bad ends: log, folder", "minutes"]
    return head, [_run_cells(row) for row in rows]


def _run_cells(row: Row) -> list[str]:
    best, predicted, policy = best_of_grid(row), row["predicted"], row["policy"]
    interval = predicted and predicted["ci95"]
    winner = row["grid"].get(row["winner"])
    return [
        f"`{row['problem']}`",
        str(row["seed"]),
        f"*{row['verdict']}*",
        row["winner"] or "-",
        f"{_share(predicted['gain'], row)} {_interval(interval, row)}" if interval else "-",
        _gain(winner, row),
        _gain(best, row),
        row["kept"] or "no policy",
        _gain(policy, row),
        f"{row['log']['bad']:.1%}" + ("" if policy is None else f", {policy['bad']:.1%}"),
        "-" if row["seconds"] is None else f"{row['seconds'] / 60:.0f}",
    ]


def _interval(interval: Sequence[float], row: Row) -> str:
    low, high = (100 * end / abs(row["log"]["value"]) for end in interval)
    return f"({low:+.0f} to {high:+.0f})"


def _gain(gain: Row | None, row: Row) -> str:
    if gain is None:
        return "-"
    return f"{_share(gain['gain'], row)} (+- {100 * gain['error'] / abs(row['log']['value']):.1f})"


def _share(gain: float, row: Row) -> str:
    """A gain in per cent of the log's true value."""
    return f"{100 * gain / abs(row['log']['value']):+.0f} %"

"""Plain-text tables for the terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from prudent.errors import shown

COLUMNS = {
    "return_mean": "return",
    "return_std": "std",
    "normalized_score": "score",
    "iqm": "IQM",
    "ci95": "its 95 % interval",
    "predicted_value": "predicted",
    "realized_value": "realised",
    "lower_bound_share": "bound held",
}

_MOST_ACTIONS = 12


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with columns as wide as their content, the first aligned left, the others right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )

    return "\n".join([line(header), "  ".join("-" * w for w in widths), *(line(row) for row in rows)])


def evaluation_table(summary: Mapping[str, Any]) -> str:
    """An evaluation's summary: a row per member, and one over all members if there are several.

    With several settings (alphas, say), a row per setting takes the place of the one over all members, which would
    describe no policy. With one seed per setting these rows are left out as well: they would repeat the members' rows.

    Returns are of the deterministic policy. Predicted and realised are discounted values of the stochastic policy, the
    one that the critic estimates; the bound held at start states where the prediction was not above the realised value.
    """
    rows = dict(summary["members"])
    settings = summary.get("settings") or {}
    if settings and len(settings) < len(rows):
        rows |= settings
    elif len(rows) > 1 and not settings:
        rows["all"] = summary["overall"]
    keys = [key for key in COLUMNS if any(figures[key] is not None for figures in rows.values())]
    body = [[name, *(cell(key, figures[key]) for key in keys)] for name, figures in rows.items()]
    return text_table(["member", *(COLUMNS[key] for key in keys)], body)


def cell(key: str, value: Any) -> str:
    """One figure of a summary as text."""
    if value is None:
        return "-"
    if key == "ci95":
        return f"{value[0]:.1f} to {value[1]:.1f}"
    return f"{value:.0%}" if key == "lower_bound_share" else f"{value:.1f}"


def support_table(figures: Mapping[str, Any]) -> str:
    """:meth:`prudent.coverage.result.SupportResult.to_json` as text: shares outside, actions, and what they mean."""
    rows = dict(figures["members"])
    if len(rows) > 1:
        rows["all"] = figures["overall"]
    heads = [
        "member",
        "outside",
        "its 95 % interval",
        "beyond 99 %",
        "states",
        "actions",
        "worst 1 %",
        "leaves the data",
    ]
    body = [[name, *_support_cells(row)] for name, row in rows.items()]
    log = {name: _percent(row["fresh_outside"]) for name, row in figures["thresholds"].items()}
    body.append(["the log itself", log["decision"], "-", "-", log["state"], log["action"], "-", "-"])
    sentences = [f"- {sentence}" for sentence in figures["reading"]]
    return "\n\n".join([text_table(heads, body), _action_table(figures["actions"]), "\n".join(sentences)])


def value_table(figures: Mapping[str, Any]) -> str:
    """:meth:`prudent.ope.result.ValueResult.to_json` as text: estimates, differences, and what they mean."""
    from prudent.report.value import value_tables

    tables = [
        text_table([table.first, *table.heads], [[row["name"], *row["cells"]] for row in table.rows])
        + "\n"
        + textwrap.fill(table.note, 110)
        for table in value_tables(figures)
    ]
    sentences = [f"- {sentence}" for sentence in (*figures["reasons"], *figures["cautions"], *figures["reading"])]
    return "\n\n".join([*tables, "\n".join(sentences)])


def _support_cells(row: Mapping[str, Any]) -> list[str]:
    if row["outside"] is None:
        return ["diverged", *["-"] * 6]
    ends, times = row["interval"], row["worst"]["times_threshold"]
    return [
        _percent(row["outside"]),
        "-" if ends is None else f"{ends[0]:.1%} to {ends[1]:.1%}",
        _percent(row["outside_strict"]),
        _percent(row["state_outside"]),
        _percent(row["action_outside"]),
        "-" if times is None else f"{times:.1f} x",
        "yes" if row["leaves_data"] else "no",
    ]


def _action_table(actions: Sequence[Mapping[str, Any]]) -> str:
    """The first features or actions; the JSON has all of them."""
    if "feature" in actions[0]:
        heads = ["action feature", "log: 0.5 %", "50 %", "99.5 %", "policy: 0.5 %", "50 %", "99.5 %", "outside"]
    else:
        heads = ["action", "logged", "share", "taken", "share"]
    body = [_action_cells(row) for row in actions]
    return text_table(heads, body[:_MOST_ACTIONS]) + (
        f"\n... and {len(body) - _MOST_ACTIONS} more" if len(body) > _MOST_ACTIONS else ""
    )


def _action_cells(row: Mapping[str, Any]) -> list[str]:
    if "feature" in row:
        return [str(row["feature"]), *(f"{v:.3f}" for v in (*row["logged"], *row["taken"])), _percent(row["outside"])]
    cells = ((f"{row[key]:,}", _percent(row[f"{key}_share"])) for key in ("logged", "taken"))
    label = f" ({shown(row['label'])})" if "label" in row else ""
    return [f"{row['action']}{label}", *(cell for pair in cells for cell in pair)]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"

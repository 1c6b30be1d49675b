"""Tables of what the policies earned in their environment."""

from collections.abc import Mapping
from typing import Any

from prudent.report.format import Table, interval, number, share
from prudent.runs.read import NOTHING, SUMMARY_KEYS, Run

HEADS = {
    "return_mean": "return",
    "return_std": "± episodes",
    "normalized_score": "score",
    "iqm": "IQM",
    "ci95": "95 % of IQM",
    "predicted_value": "predicted",
    "realized_value": "realised",
    "lower_bound_share": "bound held",
}
_POLICIES = {"deterministic": "Evaluation", "stochastic": "Evaluation of the sampled policy"}
_NOTE = (
    "IQM is the mean of the middle half of the episodes; its bootstrap interval follows. Predicted is the critics' "
    "value of the start states, realised the discounted return from there, both in the units of training. The bound "
    "held where the predicted value was not above the realised one."
)


def evaluation_tables(run: Run, others: Mapping[str, Run]) -> list[Table]:
    """A table of the deterministic policy, then one of the stochastic policy.

    Each has a row per setting (or one over all members), a row per other run, and a row per member. The row of another
    run is over all its members, or of its best setting if it has several.
    """
    tables = []
    for policy, heading in _POLICIES.items():
        summary, source = run.summary(policy)
        if not summary:
            continue
        rows = _setting_rows(run, policy) or [_row("all members", "overall", summary.get("", {}))]
        rows += [_row(name, "other", figures) for name, figures in _other_rows(others, policy).items() if figures]
        rows += [_row(name, "member", figures) for name, figures in summary.items() if name]
        note = f"From {source}." if tables else f"From {source}. {_NOTE}"
        tables.append(_without_empty_columns(heading, rows, note))
    return tables


def _row(name: str, kind: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    formats = {"ci95": interval, "lower_bound_share": share}
    return {"name": name, "kind": kind, "cells": [formats.get(key, number)(figures.get(key)) for key in SUMMARY_KEYS]}


def _setting_rows(run: Run, policy: str) -> list[dict[str, Any]]:
    """A row per setting, the best one marked; empty if there is one setting only."""
    best, settings = run.best()[0], run.settings(policy)
    rows = []
    for setting, figures in settings.items():
        seeds = run.seeds(setting)
        label = f"{setting}, {seeds} seed{'' if seeds == 1 else 's'}" if seeds else setting
        is_best = setting == best
        label += f" (best of {len(settings)})" if is_best else ""
        rows.append(_row(label, "overall" if is_best else "group", figures))
    return rows


def _other_rows(others: Mapping[str, Run], policy: str) -> dict[str, dict[str, Any]]:
    rows = {}
    for name, other in others.items():
        setting = other.best()[0]
        if setting:
            rows[f"{name}, {setting} (best of {len(other.settings())})"] = other.settings(policy).get(setting, {})
        elif not other.settings():
            rows[name] = other.summary(policy)[0].get("", {})
    return rows


def _without_empty_columns(heading: str, rows: list[dict[str, Any]], note: str) -> Table:
    """The table without the columns that are empty in every row; the return always stays."""
    columns = [i for i, _ in enumerate(SUMMARY_KEYS) if i == 0 or any(row["cells"][i] != NOTHING for row in rows)]
    for row in rows:
        row["cells"] = [row["cells"][i] for i in columns]
    return Table(heading, [HEADS[SUMMARY_KEYS[i]] for i in columns], rows, note)

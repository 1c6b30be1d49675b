"""A dataset described in text or as JSON: ``prudent data describe``."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prudent.data.audit import Finding, audit
from prudent.data.columns import counted
from prudent.data.dataset import Dataset
from prudent.data.mapped.folder import is_mapped
from prudent.data.readers._budget import Budget
from prudent.data.readers.stream import rows_of
from prudent.data.suggestions import suggest_alpha, suggest_discount
from prudent.data.summary import summary
from prudent.errors import shown

_MOST_ACTIONS, _MOST_FEATURES = 12, 24


def describe_dict(dataset: Dataset, made: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """What :func:`describe` says, ready for JSON.

    The figures of :func:`prudent.data.summary.summary`, ``features`` by name (None: no names), ``findings``,
    ``notes``, ``made``, ``suggested_discount``, and ``suggested_alpha``, which may be None.
    """
    _check_readable(dataset)
    suggestion = suggest_alpha(dataset)
    return {
        **summary(dataset),
        "features": None if (encoding := dataset.meanings.encoding) is None else list(encoding.features),
        "findings": [finding.as_dict() for finding in audit(dataset)],
        "notes": list(dataset.notes),
        "made": {name: dict(about) for name, about in (made or {}).items()},
        "suggested_discount": asdict(suggest_discount(dataset)),
        "suggested_alpha": None if suggestion is None else asdict(suggestion),
    }


def describe(dataset: Dataset, made: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Sizes, episodes, returns, action ranges, problems with row numbers, notes and suggested settings, as text.

    ``made`` holds what each file says about its origin, by file name: see
    :func:`prudent.data.readers.provenance.read`.
    """
    _check_readable(dataset)
    figures = summary(dataset)
    findings = audit(dataset)
    blocks = [
        _head(figures),
        _features(dataset),
        _actions(figures),
        _problems(findings, dataset),
        _notes(dataset.notes),
    ]
    blocks += [_made(made or {}), _suggestions(dataset)]
    return "\n\n".join(block for block in blocks if block)


def _check_readable(dataset: Dataset) -> None:
    """Check that rows on disk fit into memory.

    Raises:
        DataError: they do not fit.
    """
    if is_mapped(dataset):
        size = sum(column.nbytes for column in rows_of(dataset, slice(None)).values())
        Budget().spend(size, stored=size, key="looking for problems in all of its rows", name=dataset.name)


def part_line(place: Path | str, part: Dataset) -> str:
    """Size and returns of a part of a log, in one line: ``parts/train: 60 episodes in 12 groups, ...``."""
    groups = f" in {counted(part.n_units, 'group')}" if "group" in part.extra else ""
    returns = part.episode_returns
    return (
        f"{place}: {counted(part.n_episodes, 'episode')}{groups}, {counted(len(part), 'transition')}, mean return "
        f"{returns.mean():.4g} ({returns.min():.4g} to {returns.max():.4g}), fingerprint {part.fingerprint}"
    )


def _head(figures: dict[str, Any]) -> str:
    kind = "discrete action" if figures["discrete"] else "action feature"
    spaces = f"{counted(figures['observation_size'], 'observation feature')}, {counted(figures['action_size'], kind)}"
    spaces += f" numbered from {figures['first_action']}" if figures["first_action"] else ""
    returns = _spread(figures["episode_return"])
    if figures["normalized_score"] is not None:
        returns += f"; mean scores {figures['normalized_score']:.1f} (0 random, 100 expert)"
    lines = [
        figures["name"],
        f"  transitions   {figures['transitions']:,}",
        f"  spaces        {spaces}",
        f"  episodes      {figures['episodes']:,}: {figures['terminated']:,} terminated, "
        f"{figures['truncated']:,} truncated",
        f"  lengths       {_spread(figures['episode_length'])}",
        f"  returns       {returns}",
        f"  rewards       {_spread(figures['reward'])}",
        f"  columns       {_optional(figures)}",
        f"  fingerprint   {figures['fingerprint']}",
    ]
    return "\n".join(lines)


def _optional(figures: dict[str, Any]) -> str:
    """The columns that only some logs have."""
    groups = "none" if figures["groups"] is None else f"{figures['groups']:,}"
    dt = "none, every step takes 1" if figures["dt"] is None else _spread(figures["dt"])
    return f"groups {groups}; dt {dt}; logged probabilities {'yes' if figures['logged_probabilities'] else 'none'}"


def _spread(numbers: dict[str, float]) -> str:
    low, high = _number(numbers["min"]), _number(numbers["max"])
    if low == high:
        return f"all {low}"
    return f"mean {_number(numbers['mean'])}, std {_number(numbers['std'])}, {low} to {high}"


def _features(dataset: Dataset) -> str:
    """The names of observation features, by the numbers that findings give; empty without names."""
    if dataset.meanings.encoding is None:
        return ""
    names = dataset.meanings.encoding.features
    lines = [f"  {number:>7} {shown(name)}" for number, name in enumerate(names[:_MOST_FEATURES])]
    more = [f"  ... and {len(names) - _MOST_FEATURES} more"] if len(names) > _MOST_FEATURES else []
    return "\n".join(["Observation features", *lines, *more])


def _actions(figures: dict[str, Any]) -> str:
    table = figures["actions"]
    if figures["discrete"]:
        masked, labels = "forbidden" in table[0], [shown(row["label"]) for row in table if "label" in row]
        width = max(map(len, ["label", *labels[:_MOST_ACTIONS]]))
        label_head = f" {'label':>{width}}" if labels else ""
        lines = [f"  {'action':>6}{label_head} {'taken':>10}  share" + ("  forbidden in" if masked else "")]
        for number, row in enumerate(table[:_MOST_ACTIONS]):
            forbidden = f"  {row['forbidden']:>12.1%}" if masked else ""
            label = f" {labels[number]:>{width}}" if labels else ""
            lines.append(f"  {row['action']:>6}{label} {row['count']:>10,} {row['share']:>6.1%}{forbidden}")
        return "\n".join(["Actions taken", *lines, *_more(len(table))])
    declared = table[0]["low"] is not None
    heading = "Actions (bounds declared)" if declared else "Actions (no bounds declared, [-1, 1] assumed)"
    lines = [f"  {'feature':>7} {'min':>9} {'mean':>9} {'max':>9} {'std':>9}  at bounds"]
    for feature, row in enumerate(table[:_MOST_ACTIONS]):
        bounds = f"  of {row['low']:.4g} to {row['high']:.4g}" if declared else ""
        lines.append(
            f"  {feature:>7} {row['min']:>9.3f} {row['mean']:>9.3f} {row['max']:>9.3f} {row['std']:>9.3f}"
            f"  {row['share_at_bounds']:>8.1%}{bounds}"
        )
    return "\n".join([heading, *lines, *_more(len(table))])


def _more(count: int) -> list[str]:
    return [f"  ... and {count - _MOST_ACTIONS} more"] if count > _MOST_ACTIONS else []


def _problems(findings: list[Finding], dataset: Dataset) -> str:
    if not findings:
        return "Problems: none found"
    lines = [f"Problems ({len(findings)})"]
    for finding in findings:
        where = ""
        if finding.rows:
            numbers = ", ".join(_row_text(row, finding, dataset) for row in finding.rows)
            rest = ", ..." if finding.count > len(finding.rows) else ""
            where = f": {finding.unit.removesuffix('s') if finding.count == 1 else finding.unit} {numbers}{rest}"
        lines.append(f"  {finding.kind} ({finding.count:,}){where}")
        lines.append(f"    {finding.advice}")
    return "\n".join(lines)


def _row_text(row: int, finding: Finding, dataset: Dataset) -> str:
    """The number of a row, feature or action; of an action with its label, where it has one."""
    labels = dataset.meanings.labels if finding.unit == "actions" else None
    return str(row) if labels is None else f"{row} ({shown(labels[row])})"


def _notes(notes: tuple[str, ...]) -> str:
    return "\n".join(["Notes", *(f"  {note}" for note in notes)]) if notes else ""


def _made(made: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, about in made.items():
        lines += [f"How {name} was made, as the file says", *(f"  {k}: {v}" for k, v in about.items() if k != "notes")]
        lines += [f"  note: {note}" for note in about.get("notes", ())]
    return "\n".join(lines)


def _suggestions(dataset: Dataset) -> str:
    discount = suggest_discount(dataset)
    per = dataset.meanings.clock if "dt" in dataset.extra else "step"
    lines = [f"Suggested discount: {discount.discount:.4g} per {per}", f"  {discount.why}"]
    suggestion = suggest_alpha(dataset, discount.discount)
    if suggestion is None:
        sizes = f"{counted(len(dataset), 'transition')} in {counted(dataset.n_episodes, 'episode')}"
        return "\n".join([*lines, "Suggested alpha: none", f"  {sizes} tell too little about returns"])
    lines += [
        f"Suggested alpha of CQL: {suggestion.alpha:g} with --reward-scale auto (try {suggestion.low:g} to "
        f"{suggestion.high:g}), which is {suggestion.raw:.3g} for raw rewards",
        f"  {suggestion.why}",
    ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == round(value) else f"{value:.4g}"

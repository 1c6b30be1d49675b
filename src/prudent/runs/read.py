"""Reading everything that a run folder holds: settings, state, and each metric as a series per member."""

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prudent import algorithms
from prudent.engine.members import ALL_SEEDS, settings_of
from prudent.errors import DataError
from prudent.runs.folder import read_json
from prudent.runs.foreign import check_plain, opened
from prudent.runs.metrics import events

Series = dict[int, float]
"""One metric of one member: step -> figure."""

NOTHING = "-"
"""Shown in place of a missing figure."""

SUMMARY_KEYS = (
    "return_mean",
    "return_std",
    "normalized_score",
    "iqm",
    "ci95",
    "predicted_value",
    "realized_value",
    "lower_bound_share",
)
"""The figures of an evaluation, for a member and for all members."""

MEANS = ("return_mean", "normalized_score", "predicted_value", "realized_value", "lower_bound_share")
"""The figures that may be averaged over members. A spread over episodes may not: it is no spread over seeds."""

_MOST_FIGURES, _FIGURES_OF_A_SERIES = 20_000_000, 8
"""Figures of metrics.jsonl that are read, about 2 GB; the first one of a metric and member takes as much as eight."""

_LARGEST = 1e100

# Used if evaluation.json is missing: the last evaluation during training logged the same figures under these names.
_SUMMARY_METRICS = {
    "return_mean": "eval/return",
    "return_std": "eval/return_std",
    "normalized_score": "eval/normalized_score",
    "predicted_value": "eval/predicted_value",
    "realized_value": "eval/realized_value",
    "lower_bound_share": "eval/lower_bound_share",
}


@dataclass(frozen=True)
class Run:
    """The JSON files of a run folder, and its metrics as ``series[metric][member name][step]``."""

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    support: dict[str, Any] = field(default_factory=dict)
    value: dict[str, Any] = field(default_factory=dict)
    histograms: dict[str, Any] = field(default_factory=dict)
    series: dict[str, dict[str, Series]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The members' names, in the order of the population."""
        members = self.config.get("members") or []
        named = [str(member["name"]) for member in members if isinstance(member, dict) and "name" in member]
        measured = [name for members in self.series.values() for name in members]
        return list(dict.fromkeys(named + measured))

    @property
    def algorithm(self) -> str:
        """``CQL``, as it is written in a heading."""
        return title_of(str(self.config.get("algorithm") or "run"))

    @property
    def dataset(self) -> dict[str, Any]:
        """The ``dataset`` entry of ``config.json``."""
        return dict(self.config.get("dataset") or {})

    @property
    def data_mean(self) -> float | None:
        """Mean return of the episodes in the data; None if it is not known."""
        return as_number(self.dataset.get("mean_return"))

    def only(self, name: str) -> "Run":
        """One member alone: its settings and metrics, without evaluation and values, which may be of others."""
        members = [m for m in self.config.get("members") or [] if isinstance(m, dict) and m.get("name") == name]
        series = {metric: {name: rows[name]} for metric, rows in self.series.items() if name in rows}
        return replace(
            self, config={**self.config, "members": members}, evaluation={}, support={}, value={}, series=series
        )

    def groups(self) -> dict[str, list[str]]:
        """The members of each setting, which differ only in their seed.

        ``{"alpha=5": ["alpha=5,seed=0", "alpha=5,seed=1"]}``; the key is empty if there is only one setting.
        """
        names = self.names
        groups = settings_of(names)
        return {"" if key == ALL_SEEDS else key: [names[i] for i in group] for key, group in groups.items()}

    def over_seeds(self, metric: str, names: Sequence[str]) -> dict[int, tuple[float, float, float]]:
        """Mean, smallest and largest value over these members, by step. Steps without a finite value are absent."""
        members = self.series.get(metric, {})
        all_series = [members[name] for name in names if name in members]
        steps = sorted({step for series in all_series for step in series})
        spans = {step: span([series[step] for series in all_series if step in series]) for step in steps}
        return {step: figures for step, figures in spans.items() if figures is not None}

    def settings(self, policy: str = "deterministic") -> dict[str, dict[str, Any]]:
        """Figures over the seeds of each setting; empty if there is only one setting.

        Older evaluations have no ``settings``, and neither have the metrics: they give means over members only.
        """
        for evaluation in [self.evaluation] * (policy == "deterministic") + [self.evaluation.get(policy)]:
            if isinstance(evaluation, dict) and isinstance(evaluation.get("settings"), dict) and evaluation["settings"]:
                return {str(name): dict(row or {}) for name, row in evaluation["settings"].items()}
        groups, summary = self.groups(), self.summary(policy)[0]
        rows_of = {group: [summary[name] for name in names if name in summary] for group, names in groups.items()}
        if len(groups) < 2 or not any(rows_of.values()):
            return {}
        return {
            group or ALL_SEEDS: {key: mean_of([row.get(key) for row in rows]) for key in MEANS}
            for group, rows in rows_of.items()
        }

    def best(self) -> tuple[str, dict[str, Any]]:
        """The setting with the highest mean return of the deterministic policy, and its figures.

        With one setting: ``""`` and the figures of all members. If no setting has a return: no figures.
        """
        settings = self.settings()
        if not settings:
            return "", self.summary()[0].get("", {})
        returns = {
            name: mean for name, row in settings.items() if (mean := as_number(row.get("return_mean"))) is not None
        }
        if not returns:
            return "", {}
        name = max(returns, key=returns.__getitem__)
        return name, settings[name]

    def seeds(self, setting: str) -> int:
        """The number of members of a setting; ``""`` means all members."""
        if not setting:
            return len(self.names)
        return len(settings_of(self.names).get(setting, []))

    def summary(self, policy: str = "deterministic") -> tuple[dict[str, dict[str, Any]], str]:
        """The evaluation by member, overall under the name ``""``, and where it comes from, in words.

        Empty if the policy was never run in an environment.
        """
        # The top level of evaluation.json merges both policies: returns of the deterministic one, which is deployed,
        # and predicted values of the sampled one, which the critics evaluate.
        top_level = [self.evaluation] if policy == "deterministic" else []
        for evaluation in [*top_level, self.evaluation.get(policy)]:
            if isinstance(evaluation, dict) and (evaluation.get("overall") or evaluation.get("members")):
                rows = {"": evaluation.get("overall")} | (evaluation.get("members") or {})
                step = self.evaluation.get("step")
                source = "evaluation.json" + (f", step {step:,}" if isinstance(step, int) else "")
                return {str(name): dict(row or {}) for name, row in rows.items()}, source
        return self._summary_of_metrics() if policy == "deterministic" else ({}, "")

    def _summary_of_metrics(self) -> tuple[dict[str, dict[str, Any]], str]:
        returns = self.series.get("eval/return", {})
        step = max((step for series in returns.values() for step in series), default=None)
        if step is None:
            return {}, ""
        table = {
            name: {key: self.series.get(metric, {}).get(name, {}).get(step) for key, metric in _SUMMARY_METRICS.items()}
            for name in self.names
        }
        overall = {key: mean_of([row[key] for row in table.values()]) for key in MEANS}
        return {"": overall} | table, f"the last evaluation of the training, at step {step:,}"

    def diverged(self) -> dict[str, int]:
        """Diverged members with the step: they were stopped, or a loss became NaN or infinite."""
        # A member that was rolled back went on training. Its losses just before the rollback do not count.
        rolled_back = {(row["member"], row["step"]) for row in self.incidents() if row["kind"] == "rolled back"}
        diverged = {row["member"]: row["step"] for row in self.incidents() if row["kind"] == "stopped"}
        for metric in ("train/critic_loss", "train/actor_loss"):
            for name, series in self.series.get(metric, {}).items():
                bad = [step for step, f in series.items() if not math.isfinite(f) and (name, step) not in rolled_back]
                if bad:
                    diverged[name] = min([*bad, *([diverged[name]] if name in diverged else [])])
        return diverged

    def incidents(self) -> list[dict[str, Any]]:
        """Failures after which training went on: ``step``, ``kind``, ``why``, and ``member`` ("" for no member)."""
        stored = self.status.get("incidents")
        types = {"step": int, "kind": str, "why": str}
        rows = [row for row in stored if isinstance(row, dict)] if isinstance(stored, list) else []
        rows = [row for row in rows if all(isinstance(row.get(key), kind) for key, kind in types.items())]
        return [{**row, "member": str(row.get("member") or "")} for row in rows]


def title_of(algorithm: str) -> str:
    """``CQL`` for ``cql``. An algorithm that this version does not have keeps its name."""
    name = algorithms.stored(algorithm)
    return algorithms.get(name).TITLE if name in algorithms.names() else name


def read_run(folder: Path | str) -> Run:
    """Read a run folder. All files but ``config.json`` may be missing.

    Raises:
        DataError: there is no ``config.json``, or this is the folder of a tuning.
    """
    folder = Path(folder)
    if (folder / "tune.json").is_file():
        raise DataError(
            f"{folder} is a tuning, not a run: its report is {folder / 'report.html'}, its runs are below it"
        )
    check_plain(folder)
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a run folder: it has no config.json")
    return Run(
        folder=folder,
        config=_read_object(folder / "config.json"),
        environment=_read_object(folder / "environment.json"),
        status=_read_object(folder / "status.json"),
        evaluation=_read_object(folder / "evaluation.json"),
        support=_read_object(folder / "support.json"),
        value=_read_object(folder / "value.json"),
        histograms=_read_object(folder / "dataset.json"),
        series=_read_series(folder / "metrics.jsonl"),
    )


def _read_series(path: Path) -> dict[str, dict[str, Series]]:
    """``series[metric][member name][step]``.

    Raises:
        DataError: a line is damaged, or there are more figures than fit into memory.
    """
    series: dict[str, dict[str, Series]] = {}
    room = _MOST_FIGURES
    for row in events(path):
        member = str(row.get("name", row.get("member", 0)))
        for metric, figure in row.items():
            if "/" not in metric or isinstance(figure, bool) or not isinstance(figure, (int, float)):
                continue
            members = series.setdefault(metric, {})
            if member not in members:
                members[member] = {}
                room -= _FIGURES_OF_A_SERIES
            # A figure that no plot can show is none: the member has diverged.
            members[member][row["step"]] = float(figure) if abs(figure) < _LARGEST else math.nan
            room -= 1
            if room < 0:
                raise DataError(
                    f"{path}: holds more than {_MOST_FIGURES:,} figures, too many for a report; keep every tenth of "
                    "its steps, and log less often (--log-every)"
                )
    return series


def _read_object(path: Path) -> dict[str, Any]:
    return read_json(path, strict=False) if path.is_file() else {}


def as_number(value: Any) -> float | None:
    """A finite number that a plot can show, or None for anything else (null, NaN, text, 1e300)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST:
        return None
    return float(value)


def mean_of(values: Sequence[Any]) -> float | None:
    """Mean of the numbers among ``values``; None if there are none."""
    figures = [figure for value in values if (figure := as_number(value)) is not None]
    return sum(figures) / len(figures) if figures else None


def as_interval(value: Any) -> tuple[float, float] | None:
    """``[low, high]`` as two numbers, or None."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = as_number(value[0]), as_number(value[1])
    return None if low is None or high is None else (low, high)


def latest_videos(folder: Path) -> list[tuple[str, Path]]:
    """The newest GIF of each kind in ``videos/`` as ``(label, path)``. A kind is a file name without its step."""
    newest: dict[str, tuple[tuple[int, str], Path]] = {}
    for path in (folder / "videos").glob("*.gif"):
        # Only files that begin like a GIF are embedded. A broken file must not prevent the report.
        if not path.is_file() or not _is_gif(path):
            continue
        steps = re.findall(r"step[_-]?(\d+)", path.stem)
        kind = re.sub(r"step[_-]?\d+", "", path.stem).strip("_- ")
        rank = (int(steps[-1]) if steps else -1, path.name)
        if kind not in newest or rank > newest[kind][0]:
            newest[kind] = (rank, path)
    return [(_video_label(kind, rank[0]), path) for kind, (rank, path) in sorted(newest.items())]


def _is_gif(path: Path) -> bool:
    with opened(path, sys.maxsize) as file:
        return file.read(4) == b"GIF8"


def _video_label(kind: str, step: int) -> str:
    return ", ".join(part for part in (kind, f"step {step:,}" if step >= 0 else "") if part)


def span(figures: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean, smallest and largest of the finite figures; None if there are none."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return (sum(finite) / len(finite), min(finite), max(finite)) if finite else None

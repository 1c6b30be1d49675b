"""A run folder as the report sees it: settings, state, and every metric as a series per member."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prudent import algorithms
from prudent.engine.members import ALL_SEEDS, settings_of
from prudent.errors import DataError
from prudent.runs.folder import read_json
from prudent.runs.metrics import read_metrics

Series = dict[int, float]
"""One metric of one member: step -> figure."""

NOTHING = "-"
"""Stands where a figure would, had there been one."""

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
"""What an evaluation says about a member, and about all of them."""

MEANS = ("return_mean", "normalized_score", "predicted_value", "realized_value", "lower_bound_share")
"""Those whose mean over members says something; the spread over episodes is not the spread over seeds."""

# Where evaluation.json is absent, the last evaluation during training says the same under these names.
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
        """What ``config.json`` says about the data."""
        return dict(self.config.get("dataset") or {})

    @property
    def data_mean(self) -> float | None:
        """Mean return of the episodes in the data, where known."""
        return as_number(self.dataset.get("mean_return"))

    def groups(self) -> dict[str, list[str]]:
        """Members that differ in nothing but their seed, by what they have in common.

        ``{"alpha=5": ["alpha=5,seed=0", "alpha=5,seed=1"]}``; the key is empty when seeds are all there is.
        """
        names = self.names
        groups = settings_of(names)
        return {"" if key == ALL_SEEDS else key: [names[i] for i in group] for key, group in groups.items()}

    def over_seeds(self, metric: str, names: Sequence[str]) -> dict[int, tuple[float, float, float]]:
        """Mean, smallest and largest over these members, by step; steps without a number are absent."""
        members = self.series.get(metric, {})
        series = [members[name] for name in names if name in members]
        steps = sorted({step for one in series for step in one})
        spans = {step: span([one[step] for one in series if step in one]) for step in steps}
        return {step: found for step, found in spans.items() if found is not None}

    def settings(self, policy: str = "deterministic") -> dict[str, dict[str, Any]]:
        """Figures over the seeds of each setting where there are several, else nothing.

        Evaluations from before they had ``settings``, and the metrics, give the means over members alone.
        """
        for given in [self.evaluation] * (policy == "deterministic") + [self.evaluation.get(policy)]:
            if isinstance(given, dict) and isinstance(given.get("settings"), dict) and given["settings"]:
                return {str(name): dict(row or {}) for name, row in given["settings"].items()}
        groups, summary = self.groups(), self.summary(policy)[0]
        found = {group: [summary[name] for name in names if name in summary] for group, names in groups.items()}
        if len(groups) < 2 or not any(found.values()):
            return {}
        return {
            group or ALL_SEEDS: {key: mean_of([row.get(key) for row in rows]) for key in MEANS}
            for group, rows in found.items()
        }

    def best(self) -> tuple[str, dict[str, Any]]:
        """The setting with the highest mean return of the deterministic policy, and its figures.

        With one setting, ``""`` and the figures of all members; with several that all lack a return, no figures.
        """
        settings = self.settings()
        if not settings:
            return "", self.summary()[0].get("", {})
        known = {
            name: mean for name, row in settings.items() if (mean := as_number(row.get("return_mean"))) is not None
        }
        if not known:
            return "", {}
        name = max(known, key=known.__getitem__)
        return name, settings[name]

    def seeds(self, setting: str) -> int:
        """How many members a setting has; ``""`` stands for all of them."""
        if not setting:
            return len(self.names)
        return len(settings_of(self.names).get(setting, []))

    def summary(self, policy: str = "deterministic") -> tuple[dict[str, dict[str, Any]], str]:
        """Evaluation per member and, under the name ``""``, overall; and where it comes from, in words.

        Empty when the policy was never run in an environment.
        """
        # The top of evaluation.json takes from each policy what is meaningful: the returns of the
        # deterministic one, which is deployed, and the promise to the sampled one, which the critics value.
        places = [self.evaluation] if policy == "deterministic" else []
        for given in [*places, self.evaluation.get(policy)]:
            if isinstance(given, dict) and (given.get("overall") or given.get("members")):
                rows = {"": given.get("overall")} | (given.get("members") or {})
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
        """Members that were stopped, or of which a loss stopped being a number, and the step from which on."""
        # A member that was set back went on: the figures of the stretch that it lost mean nothing.
        back = {(row["member"], row["step"]) for row in self.incidents() if row["kind"] == "rolled back"}
        found = {row["member"]: row["step"] for row in self.incidents() if row["kind"] == "stopped"}
        for metric in ("train/critic_loss", "train/actor_loss"):
            for name, series in self.series.get(metric, {}).items():
                bad = [step for step, f in series.items() if not math.isfinite(f) and (name, step) not in back]
                if bad:
                    found[name] = min([*bad, *([found[name]] if name in found else [])])
        return found

    def incidents(self) -> list[dict[str, Any]]:
        """What went wrong on the way where training went on: ``step``, ``kind``, ``why``, ``member`` ("" for none)."""
        rows = self.status.get("incidents")
        kinds = {"step": int, "kind": str, "why": str}
        whole = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        whole = [row for row in whole if all(isinstance(row.get(key), kind) for key, kind in kinds.items())]
        return [{**row, "member": str(row.get("member") or "")} for row in whole]


def title_of(algorithm: str) -> str:
    """``CQL`` for ``cql``; a run of another version may have an algorithm that is not here."""
    name = algorithms.stored(algorithm)
    return algorithms.get(name).TITLE if name in algorithms.names() else name


def read_run(folder: Path | str) -> Run:
    """Read a run folder. Only ``config.json`` has to be there; raises :class:`DataError` without it."""
    folder = Path(folder)
    if (folder / "tune.json").is_file():
        raise DataError(
            f"{folder} is a tuning, not a run: its report is {folder / 'report.html'}, its runs are below it"
        )
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a run folder: it has no config.json")
    series: dict[str, dict[str, Series]] = {}
    for row in read_metrics(folder / "metrics.jsonl"):
        member = str(row.get("name", row.get("member", 0)))
        for metric, figure in row.items():
            if "/" in metric and isinstance(figure, (int, float)):
                series.setdefault(metric, {}).setdefault(member, {})[int(row["step"])] = float(figure)
    return Run(
        folder=folder,
        config=_read_object(folder / "config.json"),
        environment=_read_object(folder / "environment.json"),
        status=_read_object(folder / "status.json"),
        evaluation=_read_object(folder / "evaluation.json"),
        support=_read_object(folder / "support.json"),
        value=_read_object(folder / "value.json"),
        histograms=_read_object(folder / "dataset.json"),
        series=series,
    )


def _read_object(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def as_number(value: Any) -> float | None:
    """A finite number, or None for everything else (null, NaN, text)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def mean_of(values: Sequence[Any]) -> float | None:
    """Mean of what are numbers among ``values``; None when none is."""
    figures = [figure for value in values if (figure := as_number(value)) is not None]
    return sum(figures) / len(figures) if figures else None


def as_interval(value: Any) -> tuple[float, float] | None:
    """``[low, high]`` as two numbers, or None."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = as_number(value[0]), as_number(value[1])
    return None if low is None or high is None else (low, high)


def latest_videos(folder: Path) -> list[tuple[str, Path]]:
    """The newest GIF of every kind in ``videos/``: ``(label, path)``, a kind being the name without its
    step."""
    newest: dict[str, tuple[tuple[int, str], Path]] = {}
    for path in (folder / "videos").glob("*.gif"):
        # Only what begins as a GIF does is embedded; a broken file is no reason to have no report.
        if not path.is_file() or path.read_bytes()[:4] != b"GIF8":
            continue
        steps = re.findall(r"step[_-]?(\d+)", path.stem)
        kind = re.sub(r"step[_-]?\d+", "", path.stem).strip("_- ")
        rank = (int(steps[-1]) if steps else -1, path.name)
        if kind not in newest or rank > newest[kind][0]:
            newest[kind] = (rank, path)
    return [(_video_label(kind, rank[0]), path) for kind, (rank, path) in sorted(newest.items())]


def _video_label(kind: str, step: int) -> str:
    return ", ".join(part for part in (kind, f"step {step:,}" if step >= 0 else "") if part)


def span(figures: Sequence[float]) -> tuple[float, float, float] | None:
    """Mean, smallest and largest of the finite figures; None when there are none."""
    finite = [figure for figure in figures if math.isfinite(figure)]
    return (sum(finite) / len(finite), min(finite), max(finite)) if finite else None

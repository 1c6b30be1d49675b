"""One self-contained ``report.html`` from a run folder: no script, nothing loaded from elsewhere, safe to
open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.files import replace
from prudent.report import pages
from prudent.report.comparison import beside_section, read_others
from prudent.report.curves import readings
from prudent.report.data_picture import data_words
from prudent.report.figures import draw_figures
from prudent.report.predictions import starts
from prudent.report.value import value_section
from prudent.report.verdict import judge, tables
from prudent.runs.read import Run, latest_videos, read_run

MOST_VIDEOS = 6
LARGEST_VIDEO = 6_000_000
"""Bytes; a larger GIF is linked, not embedded."""

_FILES = (
    "config.json",
    "environment.json",
    "status.json",
    "evaluation.json",
    "support.json",
    "value.json",
    "dataset.json",
    "metrics.jsonl",
    "curves.png",
    "eval_returns.png",
    "promises.png",
    "support.png",
    "data.png",
    "events.tensorboard",
    "checkpoints",
    "videos",
)

_PICTURES = {
    "eval_returns": (
        "Return over gradient steps",
        "Evaluation return during training. Lines are means over seeds, bands reach from the lowest to the "
        "highest seed; dashed lines are other runs.",
    ),
    "curves": (
        "Losses, values and settings over gradient steps",
        "What moved during training, over gradient steps.",
    ),
}
_CONSERVATIVE = " Q of random actions should fall below Q of the data: that is what makes the critics conservative."
_PROMISED = (
    "What the critics promise at a start state against {}, of the sampled policy of the best setting. Above the "
    "diagonal the promise was kept{}"
)


def write_report(run_folder: Path | str, compare: Mapping[str, Path | str] | None = None) -> Path:
    """Draw the pictures of a run and write its ``report.html``; returns the path of the report.

    ``compare`` names further run folders to show beside it (``{"BC": folder}``). Works with whatever is
    there: only ``config.json`` is needed. Raises :class:`prudent.errors.DataError` when a file of the run
    cannot be read, and ConfigError when one of ``compare`` has other spaces.
    """
    run = read_run(run_folder)
    others = read_others(run, compare)
    pictures = draw_figures(run, others)
    return replace(run.folder / "report.html", _render(run, others, pictures).encode("utf-8"), durable=False)


def _render(run: Run, others: Mapping[str, Run], pictures: Mapping[str, Path]) -> str:
    return pages.render(
        "report.html.j2",
        title=_title(run),
        facts=_facts(run),
        verdict=judge(run, others),
        tables=tables(run, others),
        value=value_section(run),
        promises=_promises(run, pictures.get("promises")),
        pictures=[_picture(run, name, pictures[name]) for name in _PICTURES if name in pictures],
        beside=beside_section(run, others),
        readings=readings(run),
        support=_support(run, pictures.get("support")),
        data=_data(run, pictures.get("data")),
        videos=_videos(run, others),
        dataset=pages.setting_pairs(run.dataset),
        settings=pages.setting_pairs({"algorithm": run.config.get("algorithm")} | dict(run.config.get("config") or {})),
        training=pages.setting_pairs({"env": run.config.get("env")} | dict(run.config.get("train") or {})),
        environment=pages.setting_pairs(run.environment),
        files=pages.links(run.folder, _FILES),
    )


def _title(run: Run) -> str:
    data = run.dataset.get("name")
    return f"{run.algorithm} on {data}" if data else run.algorithm


def _facts(run: Run) -> list[str]:
    facts = [str(run.config.get("env") or "no environment")]
    step, steps = run.status.get("step"), run.status.get("steps")
    if isinstance(step, int):
        of = f" of {steps:,}" if isinstance(steps, int) and steps != step else ""
        facts.append(f"{step:,}{of} steps")
    if run.status.get("state"):
        facts.append(str(run.status["state"]))
    count = len(run.names)
    return [*facts, f"{count} member{'' if count == 1 else 's'}"]


def _picture(run: Run, name: str, path: Path) -> dict[str, str]:
    alt, caption = _PICTURES[name]
    if name == "curves" and run.over_seeds("train/cql_gap", run.names):
        caption += _CONSERVATIVE
    return {"name": name, "data": pages.data_uri(path, "image/png"), "alt": alt, "caption": caption}


def _promises(run: Run, path: Path | None) -> dict[str, str]:
    """The picture of predicted against realised value, or against that by the log; nothing without one."""
    if path is None:
        return {}
    if starts(run) is not None:
        alt, against, kept = "realised", "the discounted return that followed", "; each realised return is one draw."
    else:
        alt, against = "fitted", "its value by fitted Q evaluation, as nothing was run in an environment"
        kept = " as far as the log can tell: both are estimates."
    title = f"Predicted against {alt} value of start states"
    caption = _PROMISED.format(against, kept)
    # One panel is legible at the width of a phone, several are not.
    name = "promises wide" if int.from_bytes(path.read_bytes()[16:20], "big") > 700 else "promises"
    return {"name": name, "data": pages.data_uri(path, "image/png"), "alt": title, "caption": caption}


def _support(run: Run, picture: Path | None) -> dict[str, Any]:
    """The picture of support and its sentences; nothing where the run does not tell."""
    reading = run.support.get("reading")
    if not isinstance(reading, list):
        return {}
    alt = "Distance of decisions to the logged ones of other episodes, of the log and of the policy"
    data = None if picture is None else pages.data_uri(picture, "image/png")
    return {"picture": data, "alt": alt, "reading": [str(sentence) for sentence in reading]}


def _data(run: Run, picture: Path | None) -> dict[str, Any]:
    """The picture of the data and its sentences."""
    alt = "Histograms of episode returns, episode lengths and actions of the data"
    return {
        "picture": None if picture is None else pages.data_uri(picture, "image/png"),
        "alt": alt,
        "words": data_words(run),
    }


def _videos(run: Run, others: Mapping[str, Run]) -> list[dict[str, str]]:
    """The newest rollout of every kind, of this run and of those beside it."""
    shown = []
    for name, source in [(run.algorithm, run), *others.items()]:
        for label, path in latest_videos(source.folder):
            if path.stat().st_size <= LARGEST_VIDEO:
                caption = f"{name}, {label}" if label else name
                shown.append(
                    {"data": pages.data_uri(path, "image/gif"), "alt": f"Rollout of {caption}", "caption": caption}
                )
    return shown[:MOST_VIDEOS]

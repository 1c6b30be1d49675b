"""One self-contained ``report.html`` from a run folder: no script, nothing loaded from elsewhere, safe to
open."""

import base64
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import prudent
from prudent.files import replace
from prudent.report.data_picture import data_words
from prudent.report.figures import draw_figures
from prudent.report.reading import readings
from prudent.report.run import NOTHING, Run, latest_videos, read_run
from prudent.report.verdict import judge, tables

MOST_VIDEOS = 6
LARGEST_VIDEO = 6_000_000
"""Bytes; a larger GIF is linked, not embedded."""

_FILES = (
    "config.json",
    "environment.json",
    "status.json",
    "evaluation.json",
    "support.json",
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
    "promises": (
        "Predicted against realised value of start states",
        "What the critics promise at a start state against the discounted return that followed, of the sampled policy "
        "of the best setting. Above the diagonal the promise was kept; each realised return is one draw.",
    ),
    "curves": (
        "Losses, values and settings over gradient steps",
        "What moved during training, over gradient steps. Q of random actions should fall below Q of the "
        "data: that is what makes the critics conservative.",
    ),
}


def write_report(run_folder: Path | str, compare: Mapping[str, Path | str] | None = None) -> Path:
    """Draw the pictures of a run and write its ``report.html``; returns the path of the report.

    ``compare`` names further run folders to show beside it (``{"BC": folder}``). Works with whatever is
    there: only ``config.json`` is needed. Raises :class:`prudent.errors.DataError` when a file of the run
    cannot be read.
    """
    run = read_run(run_folder)
    others = {name: read_run(folder) for name, folder in (compare or {}).items()}
    pictures = draw_figures(run, others)
    return replace(run.folder / "report.html", _render(run, others, pictures).encode("utf-8"), durable=False)


def _render(run: Run, others: Mapping[str, Run], pictures: Mapping[str, Path]) -> str:
    import jinja2

    # The data's name and everything else may come from a stranger: escaping is on and a misspelt variable an
    # error.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files("prudent.report").joinpath("report.html.j2").read_text("utf-8"))
    return template.render(
        title=_title(run),
        facts=_facts(run),
        verdict=judge(run, others),
        tables=tables(run, others),
        pictures=[_picture(name, pictures[name]) for name in _PICTURES if name in pictures],
        readings=readings(run),
        support=_support(run, pictures.get("support")),
        data=_data(run, pictures.get("data")),
        videos=_videos(run, others),
        dataset=_pairs(run.dataset),
        settings=_pairs({"algorithm": run.config.get("algorithm")} | dict(run.config.get("config") or {})),
        training=_pairs({"environment": run.config.get("env")} | dict(run.config.get("train") or {})),
        environment=_pairs(run.environment),
        files=[{"name": name, "href": quote(name)} for name in _FILES if (run.folder / name).exists()],
        version=prudent.__version__,
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


def _picture(name: str, path: Path) -> dict[str, str]:
    alt, caption = _PICTURES[name]
    return {"name": name, "data": _data_uri(path, "image/png"), "alt": alt, "caption": caption}


def _support(run: Run, picture: Path | None) -> dict[str, Any]:
    """The picture of support and its sentences; nothing where the run does not tell."""
    reading = run.support.get("reading")
    if not isinstance(reading, list):
        return {}
    alt = "Distance of decisions to the logged ones of other episodes, of the log and of the policy"
    data = None if picture is None else _data_uri(picture, "image/png")
    return {"picture": data, "alt": alt, "reading": [str(sentence) for sentence in reading]}


def _data(run: Run, picture: Path | None) -> dict[str, Any]:
    """The picture of the data and its sentences."""
    alt = "Histograms of episode returns, episode lengths and actions of the data"
    return {
        "picture": None if picture is None else _data_uri(picture, "image/png"),
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
                shown.append({"data": _data_uri(path, "image/gif"), "alt": f"Rollout of {caption}", "caption": caption})
    return shown[:MOST_VIDEOS]


def _data_uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _pairs(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as they are shown: names without underscores, lists with commas, nothing hidden."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name} {inner}", shown) for inner, shown in _pairs(value)]
        else:
            pairs.append((str(name).replace("_", " "), _shown(value)))
    return pairs


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        # Sentences, such as the notes on the data, would run into each other with commas.
        separator = "; " if any(isinstance(item, str) and " " in item for item in value) else ", "
        return separator.join(_shown(item) for item in value) or NOTHING
    return str(value)

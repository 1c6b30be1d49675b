"""``report.html`` of a run folder: one self-contained file, no script, nothing loaded from elsewhere, safe to open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prudent.files import replace
from prudent.report import pages
from prudent.report.comparison import comparison_section, read_others
from prudent.report.curves import readings
from prudent.report.data_picture import data_sentences
from prudent.report.evaluation import evaluation_tables
from prudent.report.figures import draw_figures
from prudent.report.predictions import start_values
from prudent.report.value import value_section
from prudent.report.verdict import judge
from prudent.runs.foreign import as_written
from prudent.runs.read import Run, latest_videos, read_run

MOST_VIDEOS = 6
LARGEST_VIDEO = 6_000_000
"""Bytes; a larger GIF is not embedded, only linked."""

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

_TRAINING_PICTURES = {
    "eval_returns": (
        "Return over gradient steps",
        "Evaluation return during training. Lines are means over seeds, bands reach from the lowest to the "
        "highest seed; dashed lines are other runs.",
    ),
    "curves": ("Losses, values and settings over gradient steps", "Training metrics over gradient steps."),
}
_CONSERVATIVE = " Q of random actions should fall below Q of the data: that is what makes the critics conservative."
_SUPPORT_ALT = "Distances of decisions to the logged ones of other episodes, for the log and for the policy"
_SUPPORT_CAPTION = (
    "How far the policy's decisions lie from the logged ones, and how far logged decisions lie from those of other "
    "episodes."
)
_DATA_ALT = "Histograms of episode returns, episode lengths and actions of the data"


def write_report(run_folder: Path | str, compare: Mapping[str, Path | str] | None = None) -> Path:
    """Draw the pictures of a run and write its ``report.html``; returns the path of the report.

    ``compare`` names other run folders to show next to it (``{"BC": folder}``). Of the files of a run only
    ``config.json`` is needed.

    Raises:
        DataError: a file of a run cannot be read, or holds other things than a run writes.
        ConfigError: a run of ``compare`` has other spaces.
    """
    run = read_run(run_folder)
    others = read_others(run, compare)
    with as_written(" or ".join(str(one.folder) for one in (run, *others.values()))):
        pictures = draw_figures(run, others)
        page = pages.encoded(_render(run, others, pictures))
    return replace(run.folder / "report.html", page, durable=False)


def _render(run: Run, others: Mapping[str, Run], pictures: Mapping[str, Path]) -> str:
    config = run.config
    return pages.render(
        "report.html.j2",
        title=_title(run),
        facts=_facts(run),
        verdict=judge(run, others),
        tables=evaluation_tables(run, others),
        value=value_section(run),
        predictions=_predictions(run, pictures.get("promises")),
        training_pictures=[
            _training_picture(run, name, pictures[name]) for name in _TRAINING_PICTURES if name in pictures
        ],
        comparison=comparison_section(run, others),
        readings=readings(run),
        support=_support(run, pictures.get("support")),
        data=_data(run, pictures.get("data")),
        videos=_videos(run, others),
        dataset=pages.setting_pairs(run.dataset),
        settings=pages.setting_pairs({"algorithm": config.get("algorithm")} | dict(config.get("config") or {})),
        training=pages.setting_pairs(
            {"env": config.get("env")}
            | dict(config.get("train") or {})
            | ({"goes on from": origin} if (origin := config.get("continued_from")) else {})
        ),
        environment=pages.setting_pairs(run.environment),
        files=pages.links(run.folder, _FILES),
    )


def _title(run: Run) -> str:
    data = run.dataset.get("name")
    return f"{run.algorithm} on {data}" if data else run.algorithm


def _facts(run: Run) -> list[str]:
    """The line below the title: environment, steps, state, members."""
    facts = [str(run.config.get("env") or "no environment")]
    step, steps = run.status.get("step"), run.status.get("steps")
    if isinstance(step, int):
        total = f" of {steps:,}" if isinstance(steps, int) and steps != step else ""
        facts.append(f"{step:,}{total} steps")
    if run.status.get("state"):
        facts.append(str(run.status["state"]))
    origin = run.config.get("continued_from")
    if isinstance(origin, dict) and isinstance(origin.get("step"), int):
        named = f" of {Path(origin['run']).name}" if isinstance(origin.get("run"), str) else ""
        facts.append(f"goes on from step {origin['step']:,}{named}")
    count = len(run.names)
    return [*facts, f"{count} member{'' if count == 1 else 's'}"]


def _training_picture(run: Run, name: str, path: Path) -> dict[str, str]:
    alt, caption = _TRAINING_PICTURES[name]
    if name == "curves" and run.over_seeds("train/cql_gap", run.names):
        caption += _CONSERVATIVE
    return pages.figure(path, name, alt, caption)


def _predictions(run: Run, path: Path | None) -> dict[str, str]:
    """The picture of predicted against realised or fitted value; empty without one."""
    if path is None:
        return {}
    if start_values(run) is not None:
        kind, followed = "realised", "the discounted return that followed"
        certainty = "; each realised return is one episode."
    else:
        kind = "fitted"
        followed = "its value by fitted Q evaluation, because the policy was not run in an environment"
        certainty = " as far as the log can tell: both are estimates."
    caption = (
        f"A dot per start state: the value that the critics predict, against {followed}, both for "
        f"the sampled policy of the best setting. Above the diagonal the prediction was a lower bound{certainty}"
    )
    # One panel fits the width of a phone, several do not.
    style = "predictions wide" if int.from_bytes(path.read_bytes()[16:20], "big") > 700 else "predictions"
    return pages.figure(path, style, f"Predicted against {kind} value of start states", caption)


def _support(run: Run, path: Path | None) -> dict[str, Any]:
    """The picture of support and its sentences; empty without ``support.json``."""
    sentences = run.support.get("reading")
    if not isinstance(sentences, list):
        return {}
    picture = None if path is None else pages.figure(path, "support", _SUPPORT_ALT, _SUPPORT_CAPTION)
    return {"picture": picture, "sentences": [str(sentence) for sentence in sentences]}


def _data(run: Run, path: Path | None) -> dict[str, str]:
    """The picture of the data; empty without one."""
    return {} if path is None else pages.figure(path, "curves", _DATA_ALT, " ".join(data_sentences(run)))


def _videos(run: Run, others: Mapping[str, Run]) -> list[dict[str, str]]:
    """The newest video of every kind, of this run and of the others."""
    videos = []
    for name, source in [(run.algorithm, run), *others.items()]:
        for label, path in latest_videos(source.folder):
            if path.stat().st_size <= LARGEST_VIDEO:
                caption = f"{name}, {label}" if label else name
                data = pages.data_uri(path, "image/gif")
                videos.append({"data": data, "alt": f"Rollout of {caption}", "caption": caption})
    return videos[:MOST_VIDEOS]

"""Run folders whose JSON somebody edited: every key gets every kind of wrong value.

``edits`` lists the changes of one file, ``refusals`` reads an edited run with every verb that reads runs.
"""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prudent.coverage.support import support
from prudent.errors import PrudentError
from prudent.report import write_report
from prudent.runs import checkpoint
from prudent.runs.folder import dataset_of, environment_of, members, read_run
from prudent.runs.status import check_ended
from prudent.training.resume import resume

WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    -1e308,
    float("nan"),
    "",
    "text \x1b[31m \udcff \0",
    [],
    [None],
    [["a"], 1],
    {},
    {"a": {"b": 1}},
)
GONE = object()
"""Stands for a key that is left out."""


def paths(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of some JSON is; of a list only the first and the last one."""
    yield place
    entries = content.items() if isinstance(content, dict) else []
    if isinstance(content, list):
        entries = [(i, content[i]) for i in sorted({0, len(content) - 1}) if content]
    for key, value in entries:
        yield from paths(value, (*place, key))


def edited(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return {} if value is GONE else value
    made = copy.deepcopy(content)
    node = made
    for key in place[:-1]:
        node = node[key]
    if value is GONE:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return made


def edits(content: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place with every wrong value."""
    for place in paths(content):
        for value in (*WRONG, GONE):
            yield place, value


def write(path: Path, content: Any) -> None:
    """JSON, or lines of JSON."""
    lines = content if path.suffix == ".jsonl" and isinstance(content, list) else [content]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")


def read(path: Path) -> Any:
    """The inverse of :func:`write`."""
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def verbs(run: Path) -> list[Callable[[], Any]]:
    """What reads a run: report, resume, evaluate, support and value, as far as they read its folder."""

    def policies() -> None:
        population, _ = checkpoint.load(run)
        support(population, dataset_of(run, read_run(run), None), decisions=20, reference=40)

    def facts() -> None:
        members(read_run(run))
        check_ended(run)
        environment_of(run)

    return [lambda: write_report(run), facts, policies, lambda: resume(run)]


def refusals(run: Path, chosen: list[Callable[[], Any]] | None = None) -> list[str]:
    """The errors of one line with which an edited run is refused; anything else is raised."""
    lines = []
    for verb in verbs(run) if chosen is None else chosen:
        try:
            verb()
        except PrudentError as error:
            lines.append(str(error))
            if "\n" in lines[-1]:
                raise AssertionError("not one line") from error
    return lines


def fresh(trained: Path, run: Path) -> Path:
    """A new copy of a run."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(trained, run)
    return run

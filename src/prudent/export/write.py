"""Writes an export, and compares an export with its run."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prudent import files
from prudent.data import Dataset
from prudent.engine.population import Population
from prudent.errors import ConfigError, PrudentError
from prudent.export import about, agreement, folder, formats
from prudent.export.card import card
from prudent.export.graph import FLAG, PolicyGraph
from prudent.export.reference import Reference
from prudent.runs import checkpoint
from prudent.runs.foreign import as_written

UNKNOWN: dict[str, Any] = {"verdict": None, "reasons": [], "value": None, "return": None}
"""The worth of a policy of which nothing is known."""


@dataclass(frozen=True, eq=False)
class Request:
    """What to export.

    Attributes:
        population: a population of one.
        dataset: the log that it learned from.
        kind: ``onnx`` or ``torch``.
        acting: ``mode`` or ``sample``.
        fallback: what it does with a decision outside the data: ``flag``, ``refuse`` or ``nearest``.
        reference: logged decisions to compare with; None leaves the check out.
        worth: as :mod:`prudent.export.worth` finds it.
        license: of the data, if it is stated.
        run: the folder of the run or checkpoint; None if there is none.
    """

    population: Population
    dataset: Dataset
    kind: str
    acting: str
    fallback: str = FLAG
    reference: Reference | None = None
    worth: Mapping[str, Any] = field(default_factory=lambda: UNKNOWN)
    license: str | None = None
    run: Path | None = None


def export(request: Request, out: Path) -> dict[str, Any]:
    """Write the export into a new folder ``out``; returns the content of its ``policy.json``.

    The graph is run on logged rows and compared with the policy before the folder is there.

    Raises:
        ConfigError: ``out`` is taken, a library of the format is missing, or a fallback has nothing to rest on.
        PrudentError: the policy has diverged, or the graph does not do what it does.
    """
    formats.check_installed(request.kind)
    if request.reference is None and request.fallback != FLAG:
        raise ConfigError(f"the fallback {request.fallback} needs the support check, which this export has not")
    population = request.population
    graph = PolicyGraph(population, request.acting, request.fallback, request.reference)
    rows = agreement.logged_rows(request.dataset)
    with folder.written_whole(out) as aside:
        content = about.describe(graph, population, request.kind, request.reference)
        content |= {"data": about.of_data(request.dataset, request.license), **request.worth}
        place = aside / formats.FILES[request.kind]
        agreement.check_alive(population, rows)
        formats.write(graph, place, request.kind)
        whole = formats.runner(place, request.kind, graph.outputs)
        content["checked"] = agreement.compare(whole, population, rows, content)
        content["run"] = _run_of(request, out)
        if request.kind == "onnx":
            formats.write_action_alone(place, aside / folder.ACTION, graph.inputs)
            alone = formats.runner(aside / folder.ACTION, "onnx", ("action",))
            agreement.compare_action(alone, whole, rows, content, population.spec.discrete)
            shutil.copyfile(Path(__file__).with_name("act.py"), aside / folder.ACT)
        files.write(aside / folder.ABOUT, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        files.write(aside / folder.CARD, card(content).encode())
    return content


def _run_of(request: Request, out: Path) -> dict[str, Any] | None:
    """Where the policy comes from, seen from the export, and which checkpoint it is."""
    if request.run is None:
        return None
    place = checkpoint.newest(request.run)[0]
    try:
        path = os.path.relpath(place.resolve(), out.resolve())
    except ValueError:  # another drive, on Windows
        path = str(place.resolve())
    return {"checkpoint": path, "sha256": checkpoint.digest(place)}


def check(path: Path, run: Path | None, say: Callable[[str], None]) -> None:
    """Verify the files of an export, then run its graph beside its policy, if that is there.

    ``run`` is a run folder or checkpoint; None takes the one that the export names.

    Raises:
        PrudentError: a file was changed or is gone, or the graph does not do what the policy of the run does.
    """
    content = folder.verify(path, say)
    with as_written(path / folder.ABOUT):
        stored, kind, name = content["run"], content["graph"]["format"], content["member"]["name"]
        if kind not in formats.FILES:
            raise PrudentError(
                f"{path / folder.ABOUT} names the format {kind!r}, which is none of {', '.join(formats.FILES)}"
            )
        place = run or (None if stored is None else path / stored["checkpoint"])
        if place is None or not place.is_dir():
            say("not compared with its run: " + ("the export names none" if place is None else f"{place} is gone"))
            return
        population = _same_policy(place, content, name, given=run is not None)
        formats.check_installed(kind)
        outputs = tuple(content["outputs"])
        graph = formats.runner(path / formats.FILES[kind], kind, outputs)
        rows = agreement.made_up_rows(population)
        found = agreement.compare(graph, population, rows, content)
    say(
        f"the graph does what {name} of {place} does: on {found['rows']:,} {found['source']} the largest difference is "
        f"{found['largest_difference']:.1e}"
    )


def _same_policy(place: Path, content: Mapping[str, Any], name: str, given: bool) -> Population:
    """The policy of a run as a population of one."""
    if not given and checkpoint.digest(place) != content["run"]["sha256"]:
        raise PrudentError(f"{place} is another checkpoint than the export was made of: export again")
    population, _ = checkpoint.load(place)
    if name not in population.names:
        raise PrudentError(f"{place} has no member {name}, which the export is of: {', '.join(population.names)}")
    if population.algorithm_name != content["algorithm"]:
        raise PrudentError(f"{place} is of {population.algorithm_name}, the export of {content['algorithm']}")
    return population.member(population.names.index(name))

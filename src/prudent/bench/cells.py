"""How the cells of a suite stand in their folders, and training what is left of one."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from prudent.algorithms import check_actions
from prudent.bench.suite import Cell, Data
from prudent.data import Dataset, load_dataset
from prudent.environments.make import check_fits
from prudent.errors import FAILURES, ConfigError, DataError, Interrupted, in_one_line
from prudent.runs.folder import check_free, members, read_json, read_run
from prudent.training import start
from prudent.training.resume import resume

COMPLETE, PARTIAL, FAILED, MISSING = "complete", "partial", "failed", "missing"

# Of how training was asked for, what the figures of the table depend on. Steps may grow: the run is taken further.
_COMPARED = ("env", "eval_every", "eval_episodes")


@dataclass(frozen=True)
class Standing:
    """How a cell stands: ``state``, the step it has reached, and in one line why it failed."""

    state: str
    step: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if self.state == MISSING:
            return self.state
        at = f"{self.state} at step {self.step:,}" if self.step and self.state != COMPLETE else self.state
        return f"{at}: {self.reason}" if self.reason else at


def standing(cell: Cell, out: Path) -> Standing:
    """How ``cell`` stands below ``out``.

    Raises:
        ConfigError: its folder holds something else than the suite asks for.
        PrudentError: a file of it is damaged.
    """
    folder = out / cell.name
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return Standing(MISSING)
    if not (folder / "config.json").is_file():
        check_free(folder, "choose another --out or delete it")
    stored = read_run(folder)
    difference = _difference(cell, stored)
    if difference:
        raise ConfigError(f"{folder} was trained otherwise: {difference}; choose another --out or delete that folder")
    path = folder / "status.json"
    status = read_json(path) if path.exists() else {}
    state, step = status.get("state"), int(status.get("step", 0))
    if state == "failed":
        return Standing(FAILED, step, str(status.get("message", "")))
    done = state == "finished" and step >= cell.options.steps
    return Standing(COMPLETE if done else PARTIAL, step)


def _difference(cell: Cell, stored: Mapping[str, Any]) -> str:
    """In what a run's ``config.json`` is not what the suite asks for; empty where it is."""
    if stored["algorithm"] != cell.algorithm:
        return f"its algorithm is {stored['algorithm']}"
    try:
        found_members = members(stored)
    except ConfigError as error:
        return str(error)
    seeds, found = ([m.seed for m in group] for group in (cell.members, found_members))
    if seeds != found:
        return f"its seeds are {found}, the suite has {seeds}"
    asked = cell.members[0].config
    for f in fields(asked):
        wanted = getattr(asked, f.name)
        for value in (getattr(member.config, f.name) for member in found_members):
            if value != wanted:
                return f"its {f.name} is {value}, the suite has {wanted}"
    settings = stored["train"]
    for key in _COMPARED:
        if settings.get(key) != getattr(cell.options, key):
            return f"its {key} is {settings.get(key)}, the suite has {getattr(cell.options, key)}"
    if int(settings.get("steps", 0)) > cell.options.steps:
        return f"its steps are {settings['steps']}, the suite has {cell.options.steps}"
    return _other_sources(cell.data.sources, settings.get("sources") or {})


def _other_sources(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    for key in {**stored, **asked}:
        wanted, found = asked.get(key), stored.get(key)
        if key == "source" and found is not None:
            # A run keeps files by their full path.
            ways = [(text, str(Path(text).expanduser().resolve())) for text in asked["source"]]
            if len(ways) == len(found) and all(one in way for one, way in zip(found, ways, strict=True)):
                continue
        if wanted != found:
            return f"the {key} of its data is {found}, the suite has {wanted}"
    return ""


class Datasets:
    """The datasets of a suite, one at a time in memory."""

    def __init__(self) -> None:
        self._name, self._held = "", None

    def get(self, data: Data) -> Dataset:
        """The dataset, from where it is.

        Raises:
            DataError: it is not there, or cannot be read.
        """
        if self._held is None or self._name != data.name:
            self._held = None
            self._name, self._held = data.name, load_dataset(**data.sources)
        return self._held

    def check(self, data: Data, cells: list[Cell], out: Path) -> None:
        """Refuse data that cannot be read, and algorithms and environments that do not fit them, before anything is
        trained.

        Raises:
            ConfigError: they do not fit, or other cells of these data were trained on others.
            DataError: the data are not there, or cannot be read.
        """
        try:
            dataset = self.get(data)
        except DataError as error:
            raise DataError(f"{error} (dataset {data.name} of the suite; --datasets trains on others alone)") from error
        for cell in cells:
            check_actions(cell.algorithm, dataset.spec.discrete, data.name)
        check_fits(data.env, dataset.spec)
        for folder in sorted((out / data.name).glob("*/config.json")):
            if read_run(folder.parent)["dataset"]["fingerprint"] != dataset.fingerprint:
                raise ConfigError(
                    f"{folder.parent} was trained on other data than {data.name} holds now: choose another --out or "
                    "delete that folder"
                )


def complete(cell: Cell, out: Path, datasets: Datasets) -> Standing:
    """Train what is left of a cell, and say how it stands then; what fails is told, not raised.

    Raises:
        Interrupted: a signal stopped the run, after saving.
    """
    folder, options, before = out / cell.name, cell.options, standing(cell, out)
    try:
        dataset = datasets.get(cell.data)
        if before.state == MISSING:
            start.train(start.Request(dataset, cell.algorithm, cell.members, options, folder, cell.data.sources))
        else:
            resume(folder, options.steps, dataset, options.device, options.threads, options.env)
    except Interrupted:
        raise
    except FAILURES as error:
        return Standing(FAILED, standing(cell, out).step, in_one_line(error))
    return standing(cell, out)

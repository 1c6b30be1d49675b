"""The status of a suite's cells, read from their run folders, and training what is left of one."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from prudent import files
from prudent.algorithms import check_actions
from prudent.bench.suite import Cell, Data
from prudent.config import AUTO
from prudent.data import Dataset, load_dataset
from prudent.environments.make import check_fits
from prudent.errors import FAILURES, ConfigError, DataError, Interrupted, PrudentError, in_one_line, shown
from prudent.runs import loggers
from prudent.runs.folder import check_free, members, read_json, read_run
from prudent.runs.foreign import as_written
from prudent.training import start
from prudent.training.resume import resume

COMPLETE, PARTIAL, FAILED, MISSING = "complete", "partial", "failed", "missing"

# The options of training that the table depends on. Steps may grow: the run is then trained for longer.
_COMPARED = ("env", "eval_every", "eval_episodes")


@dataclass(frozen=True)
class CellStatus:
    """The ``state`` of a cell, its last step, and one line why it failed."""

    state: str
    step: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if self.state == MISSING:
            return self.state
        text = f"{self.state} at step {self.step:,}" if self.step and self.state != COMPLETE else self.state
        return f"{text}: {self.reason}" if self.reason else text


def cell_status(cell: Cell, out: Path) -> CellStatus:
    """The status of ``cell`` by its folder in ``out``.

    Raises:
        ConfigError: the folder holds another run than the suite asks for.
        PrudentError: a file of the run is damaged.
    """
    folder = out / cell.name
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return CellStatus(MISSING)
    if not (folder / "config.json").is_file():
        check_free(folder, "choose another --out or delete it")
    stored = read_run(folder)
    with as_written(folder):
        difference = _difference(cell, stored, folder)
    if difference:
        raise ConfigError(f"{folder} was trained differently: {difference}; choose another --out or delete that folder")
    path = folder / "status.json"
    status = read_json(path) if path.exists() else {}
    state, step = status.get("state"), status.get("step", 0)
    if type(step) is not int:
        raise PrudentError(f"{path} is damaged: its step is {shown(step)}")
    if state == "failed":
        return CellStatus(FAILED, step, str(status.get("message", "")))
    complete = state == "finished" and step >= cell.options.steps
    return CellStatus(COMPLETE if complete else PARTIAL, step)


def _difference(cell: Cell, stored: Mapping[str, Any], folder: Path) -> str:
    """How a run's ``config.json`` differs from what the suite asks for; empty if it does not."""
    if stored["algorithm"] != cell.algorithm:
        return f"its algorithm is {stored['algorithm']}"
    try:
        stored_members = members(stored)
    except ConfigError as error:
        return str(error)
    seeds, stored_seeds = ([member.seed for member in group] for group in (cell.members, stored_members))
    if seeds != stored_seeds:
        return f"its seeds are {stored_seeds}, the suite has {seeds}"
    config = cell.members[0].config
    # What return_range or auto ask for is known when the data are, and then stored as reward_scale.
    from_data = getattr(config, "return_range", None) is not None or config.reward_scale == AUTO
    derived = {"reward_scale"} if from_data else set()
    for f in (f for f in fields(config) if f.name not in derived):
        expected = getattr(config, f.name)
        for value in (getattr(member.config, f.name) for member in stored_members):
            if value != expected:
                return f"its {f.name} is {value}, the suite has {expected}"
    settings = stored["train"]
    for key in _COMPARED:
        if settings.get(key) != getattr(cell.options, key):
            return f"its {key} is {settings.get(key)}, the suite has {getattr(cell.options, key)}"
    if type(settings.get("steps", 0)) is not int:
        raise PrudentError(f"{folder / 'config.json'} is damaged: its steps are {shown(settings['steps'])}")
    if settings.get("steps", 0) > cell.options.steps:
        return f"its steps are {settings['steps']}, the suite has {cell.options.steps}"
    return _source_difference(cell.data.sources, settings.get("sources") or {})


def _source_difference(sources: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
    for key in {**stored, **sources}:
        expected, value = sources.get(key), stored.get(key)
        if key == "source" and value is not None:
            # A run stores files by their full path.
            spellings = [(text, str(files.expand_user(text).resolve())) for text in sources["source"]]
            if len(spellings) == len(value) and all(v in both for v, both in zip(value, spellings, strict=True)):
                continue
        if expected != value:
            return f"the {key} of its data is {value}, the suite has {expected}"
    return ""


class Datasets:
    """The datasets of a suite; only the last one used is kept in memory."""

    def __init__(self) -> None:
        self._name, self._dataset = "", None

    def get(self, data: Data) -> Dataset:
        """The dataset.

        Raises:
            DataError: it is missing or cannot be read.
        """
        if self._dataset is None or self._name != data.name:
            self._dataset = None  # frees its memory before the next one is loaded
            self._name, self._dataset = data.name, load_dataset(**data.sources)
        return self._dataset

    def check(self, data: Data, cells: list[Cell], out: Path) -> None:
        """Check before training that the data can be read and that algorithms and environment fit them.

        Raises:
            ConfigError: they do not fit, or cells of this dataset were trained when it held other data.
            DataError: the data are missing or cannot be read.
        """
        try:
            dataset = self.get(data)
        except DataError as error:
            raise DataError(f"{error} (dataset {data.name} of the suite; --datasets can leave it out)") from error
        for cell in cells:
            check_actions(cell.algorithm, dataset.spec.discrete, data.name)
            loggers.check(cell.options.logger)
        check_fits(data.env, dataset.spec)
        for folder in sorted((out / data.name).glob("*/config.json")):
            if read_run(folder.parent)["dataset"]["fingerprint"] != dataset.fingerprint:
                raise ConfigError(
                    f"{folder.parent} was trained on other data than {data.name} holds now: choose another --out or "
                    "delete that folder"
                )


def train_cell(cell: Cell, out: Path, datasets: Datasets) -> CellStatus:
    """Train what is left of a cell; returns its new status, which also says if and why training failed.

    Raises:
        Interrupted: a signal stopped the run, after saving.
    """
    folder, options, before = out / cell.name, cell.options, cell_status(cell, out)
    try:
        dataset = datasets.get(cell.data)
        if before.state == MISSING:
            start.train(start.Request(dataset, cell.algorithm, cell.members, options, folder, cell.data.sources))
        else:
            resume(folder, options.steps, dataset, options.device, options.threads, options.env, logger=options.logger)
    except Interrupted:
        raise
    except FAILURES as error:
        return CellStatus(FAILED, cell_status(cell, out).step, in_one_line(error))
    return cell_status(cell, out)

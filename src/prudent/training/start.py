"""Runs in a folder: :func:`train` starts one, :func:`resume` goes on with one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from prudent.config import to_json
from prudent.coverage import support
from prudent.data import BUILTIN, Dataset
from prudent.data.audit import cautions
from prudent.data.columns import check_bounds
from prudent.data.readers.mapping import read_map
from prudent.data.summary import histograms
from prudent.engine.loop import fit
from prudent.engine.members import Member
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.environments.make import check_fits, spec_of
from prudent.runs.folder import check_free, create, describe, locked, write_json
from prudent.runs.machine import environment
from prudent.runs.metrics import to_plain
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.recorder import Recorder
from prudent.training.session import record

RESUMES = "go on with: prudent train --resume {}"


def train(
    dataset: Dataset,
    algorithm: str,
    members: Sequence[Member],
    options: Options,
    out: Path | str,
    sources: Mapping[str, Any] | None = None,
) -> Population:
    """Train a population and leave a complete run folder at ``out``.

    ``sources`` are the arguments with which :func:`prudent.data.load_dataset` finds the dataset again; :func:`resume`
    needs them unless it is handed the dataset. Nothing is written before everything has been checked.

    Raises:
        ConfigError: the folder is taken, or data, settings and environment do not fit each other.
        Interrupted: a signal or the time limit stopped the run, after saving.
    """
    folder = Path(out)
    with _begun(dataset, algorithm, members, options, folder, sources) as (population, dataset, told):
        for line in told:
            print(line)
        return _run(population, dataset, options, folder, RESUMES.format(folder))


def begin(
    dataset: Dataset,
    algorithm: str,
    members: Sequence[Member],
    options: Options,
    out: Path | str,
    sources: Mapping[str, Any] | None = None,
) -> list[str]:
    """What :func:`train` does before its first step, and no more: :func:`resume` takes it from there.

    Returns what there is to say of the data.
    """
    with _begun(dataset, algorithm, members, options, Path(out), sources) as (_, _, told):
        return told


@contextmanager
def _begun(
    dataset: Dataset,
    algorithm: str,
    members: Sequence[Member],
    options: Options,
    folder: Path,
    sources: Mapping[str, Any] | None,
) -> Iterator[tuple[Population, Dataset, list[str]]]:
    """A run folder with all but its training, locked; what is to be trained on what, and what to say of that."""
    check_free(folder)
    device = prepare_process(options)
    if options.env is not None:
        check_fits(options.env, dataset.spec)
        dataset = _with_bounds(dataset, options.env)
    population = new_population(dataset, algorithm, members, device)
    with locked(create(folder)):
        check_free(folder)
        problems = [str(finding) for finding in cautions(dataset)]
        settings = asdict(options) | {"sources": _findable(sources) if sources else None}
        write_json(folder / "config.json", describe(population, dataset, settings, problems))
        with advice_on_interrupt(RESUMES.format(folder)):
            write_json(folder / "environment.json", environment(device, dataset))
            write_json(folder / "dataset.json", histograms(dataset))
            yield population, dataset, [f"{dataset.name}: {told}" for told in (*dataset.notes, *problems)]


def _with_bounds(dataset: Dataset, env_id: str) -> Dataset:
    """The dataset with the environment's action bounds where it declares none itself.

    Raises:
        DataError: an action lies outside them.
    """
    if dataset.spec.action_low is not None or dataset.spec.discrete:
        return dataset
    found = spec_of(env_id)
    spec = replace(dataset.spec, action_low=found.action_low, action_high=found.action_high)
    check_bounds(dataset.action, spec, dataset.name)
    return dataset.relabelled(spec=spec)


def _findable(sources: Mapping[str, Any]) -> dict[str, Any]:
    """``sources`` as JSON, files by their full path, a mapping by what it says: a resume finds them from anywhere."""

    def findable(source: str | Path) -> str:
        path, text = Path(source).expanduser(), str(source)
        return str(path.resolve()) if text not in BUILTIN and path.exists() else text

    given = sources["source"]
    several = [given] if isinstance(given, str | Path) else given
    found = {name: to_plain(v) for name, v in sources.items()} | {"source": [findable(one) for one in several]}
    if sources.get("mapping") is not None:
        found["mapping"] = {key: v for key, v in to_json(read_map(sources["mapping"])).items() if v not in (None, [])}
    return found


def _run(
    population: Population,
    dataset: Dataset,
    options: Options,
    folder: Path,
    advice: str,
    extra: Mapping[str, Tensor] | None = None,
    resume_at: int | None = None,
) -> Population:
    """Learn from the dataset; ``resume_at`` is the step after which earlier metrics are cut."""

    def learn(recorder: Recorder) -> None:
        fit(population, dataset, options.steps, recorder)
        # The run is saved: it must not end as a failed one because of this.
        recorder.attempt("support failed", lambda: support.write(folder, population, dataset))

    return record(population, dataset, options, folder, learn, advice, extra, resume_at)

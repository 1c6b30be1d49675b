"""Runs in a folder: :func:`train` starts one, :func:`resume` goes on with one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from prudent import algorithms, checkpoint, envs, files, loggers, report, runs, supported
from prudent.config import from_json, to_json
from prudent.data import BUILTIN, Dataset, load_dataset
from prudent.data.audit import cautions
from prudent.data.columns import check_bounds
from prudent.data.portrait import histograms
from prudent.data.readers.mapping import read_map
from prudent.ended import goes_on
from prudent.errors import ConfigError, DataError
from prudent.loop import Options, fit, prepare_process
from prudent.members import Member
from prudent.population import Population
from prudent.recorder import Recorder
from prudent.recording import record
from prudent.scaling import Scaling

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
    runs.check_free(folder)
    device = prepare_process(options)
    if options.env is not None:
        envs.check_fits(options.env, dataset.spec)
        dataset = _with_bounds(dataset, options.env)
    population = new_population(dataset, algorithm, members, device)
    with runs.locked(runs.create(folder)):
        runs.check_free(folder)
        problems = [str(finding) for finding in cautions(dataset)]
        settings = asdict(options) | {"sources": _findable(sources) if sources else None}
        runs.write_json(folder / "config.json", runs.describe(population, dataset, settings, problems))
        with goes_on(RESUMES.format(folder)):
            runs.write_json(folder / "environment.json", runs.environment(device, dataset))
            runs.write_json(folder / "dataset.json", histograms(dataset))
            yield population, dataset, [f"{dataset.name}: {told}" for told in (*dataset.notes, *problems)]


def new_population(dataset: Dataset, algorithm: str, members: Sequence[Member], device: Any) -> Population:
    """An untrained population with the dataset's scaling.

    Raises:
        ConfigError: the algorithm is not for these actions.
        DataError: actions lie outside -1 to 1 and no bounds are declared.
    """
    algorithms.check_actions(algorithm, dataset.spec.discrete, dataset.name)
    scaling = Scaling.fit(dataset, members[0].config.normalize_observations)
    return Population(algorithm, members, dataset.spec, scaling, device)


def _with_bounds(dataset: Dataset, env_id: str) -> Dataset:
    """The dataset with the environment's action bounds where it declares none itself.

    Raises:
        DataError: an action lies outside them.
    """
    if dataset.spec.action_low is not None or dataset.spec.discrete:
        return dataset
    found = envs.spec_of(env_id)
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
    found = {name: loggers.plain(v) for name, v in sources.items()} | {"source": [findable(one) for one in several]}
    if sources.get("mapping") is not None:
        found["mapping"] = {key: v for key, v in to_json(read_map(sources["mapping"])).items() if v not in (None, [])}
    return found


def resume(
    folder: Path | str,
    steps: int | None = None,
    dataset: Dataset | None = None,
    device: str | None = None,
    threads: int | None = None,
    env: str | None = None,
    max_minutes: float | None = None,
    advice: str | None = None,
) -> Population:
    """Go on with the run in ``folder`` from its newest checkpoint that verifies, up to ``steps`` in all.

    A run without a checkpoint starts with its first step; one that has nothing left to do says so. Without ``dataset``
    it is found again where it was; ``device``, ``threads``, ``env`` and ``max_minutes`` replace those that the run
    began with. ``advice`` tells who stops it how to go on.

    Raises:
        PrudentError: the folder holds no run, no checkpoint verifies, or the dataset is not the one it was trained on.
        Interrupted: a signal or the time limit stopped the run, after saving.
    """
    folder = Path(folder)
    stored = runs.read_run(folder)
    if "finetuned_from" in stored:
        begun = stored["finetuned_from"]["run"]
        raise ConfigError(f"{folder} was fine-tuned online and cannot be resumed; anew: prudent finetune {begun}")
    settings = dict(stored["train"])
    sources = settings.pop("sources", None)
    changed = {"steps": steps, "device": device, "threads": threads, "env": env, "max_minutes": max_minutes}
    asked = from_json(Options, settings)
    options = replace(asked, **{name: v for name, v in changed.items() if v is not None})
    chosen = prepare_process(options)
    check_writable(folder)
    with runs.locked(folder):
        files.clear_leftovers(folder)
        population, extra, start = None, {}, None
        if checkpoint.steps(folder):
            population, extra, skipped = checkpoint.load(folder, str(chosen))
            for reason in skipped:
                print(f"skipped a checkpoint: {reason}")
            start = population.state.step
            if start >= options.steps:
                told = f"at step {start}, {options.steps} were asked for; --steps takes it further"
                print(f"{folder} has nothing left to do: it is {told}")
                if start >= asked.steps:
                    _make_sure_finished(folder, start)
                return population
        dataset = dataset_of(folder, stored, dataset)
        if options.env is not None:
            envs.check_fits(options.env if env else runs.registered(options.env), dataset.spec)
        if population is None:
            if (folder / "status.json").exists():
                print("no checkpoint was saved before this run ended: it starts over")
            fresh = dataset if options.env is None else _with_bounds(dataset, options.env)
            population = new_population(fresh, stored["algorithm"], runs.members(stored), chosen)
        train_settings = {**settings, "steps": options.steps, "sources": sources}
        runs.write_json(folder / "config.json", {**stored, "train": train_settings})
        for difference in runs.differences(folder, chosen):
            print(f"{difference}: the last digits may differ from an uninterrupted run")
        advice = advice or RESUMES.format(folder)
        with goes_on(advice):
            return _run(population, dataset, options, folder, advice, extra, -1 if start is None else start)


def check_writable(folder: Path) -> None:
    """Refuse a run folder that nothing can be added to.

    Raises:
        ConfigError: this is one.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} may not be written to: mend its permissions, or copy it and resume the copy")


def dataset_of(folder: Path, stored: Mapping[str, Any], dataset: Dataset | None) -> Dataset:
    """The dataset of a run, found again where it was unless it is given.

    Raises:
        ConfigError: nothing says where it was, it is not the one the run was trained on, or its columns are not there.
        DataError: it is not there any more, or cannot be read.
    """
    if dataset is None:
        sources = stored["train"].get("sources")
        if sources is None:
            raise ConfigError(f"{folder} was trained on a dataset that lived in memory: name it, or hand it over")
        try:
            dataset = load_dataset(**sources)
        except (DataError, ConfigError) as error:
            raise type(error)(f"{error} (the data of {folder}; if they are elsewhere now, name them)") from error
    if dataset.fingerprint != stored["dataset"]["fingerprint"]:
        raise ConfigError(f"{folder} was trained on other data than {dataset.name} holds now (fingerprint differs)")
    return dataset


def _make_sure_finished(folder: Path, step: int) -> None:
    """Bring a run that was killed between its last checkpoint and its report to its end."""
    if not runs.is_finished(folder):
        runs.write_status(folder, "finished", step, step)
    elif (folder / "report.html").exists():
        return
    report.write_report(folder)


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
        recorder.attempt("support failed", lambda: supported.write(folder, population, dataset))

    return record(population, dataset, options, folder, learn, advice, extra, resume_at)

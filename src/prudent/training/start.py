"""A new run: :func:`train` checks everything, begins a run folder and trains in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from prudent import algorithms, files
from prudent.config import check_names, to_json
from prudent.data import BUILTIN, Dataset
from prudent.data.audit import cautions
from prudent.data.columns import check_bounds
from prudent.data.readers.mapping import read_map
from prudent.engine import windows
from prudent.engine.loop import fit
from prudent.engine.members import Member
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.environments.make import check_fits, spec_of
from prudent.errors import ConfigError
from prudent.evaluation.rollouts import check_memory
from prudent.runs import checkpoint, loggers
from prudent.runs.begin import begin_run
from prudent.runs.folder import check_free, create, locked
from prudent.runs.metrics import to_plain
from prudent.training.callbacks import check_callbacks
from prudent.training.going_on import CONTINUED, GoOn, prepared
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.session import session
from prudent.types import Spec


def resume_advice(folder: Path, algorithm: str) -> str:
    """How to go on with a run of ``algorithm`` that was stopped."""
    own = algorithms.code_of(algorithms.get(algorithm))
    file = "" if own is None or own.package else f" --algo {own.source.path}"
    return f"go on with: prudent train --resume {folder}{file}"


@dataclass(frozen=True)
class Request:
    """What to train, on what, and where to.

    Attributes:
        dataset: the log to learn from.
        algorithm: a name from :mod:`prudent.algorithms`.
        members: who trains together.
        options: how to train.
        folder: the run folder to create, a path or its text.
        sources: the arguments with which :func:`prudent.data.load_dataset` finds the dataset again. A resumed run
            needs them, unless it is handed the dataset. None for a dataset that lives in memory only.
        remarks: whether :func:`train` prints what the user should know about the dataset.
        trained: a population from which training goes on, as ``go_on`` says, in place of new weights; ``members`` are
            its own. None begins with new weights.
        callbacks: see :mod:`prudent.training.callbacks`.
    """

    dataset: Dataset
    algorithm: str
    members: Sequence[Member]
    options: Options
    folder: Path
    sources: Mapping[str, Any] | None = None
    remarks: bool = True
    trained: Population | None = None
    go_on: GoOn = field(default_factory=GoOn)
    callbacks: Sequence[Any] = ()

    def __post_init__(self):
        object.__setattr__(self, "folder", Path(self.folder))


@dataclass(frozen=True)
class BegunRun:
    """A run whose folder is written and that has not trained yet."""

    population: Population
    dataset: Dataset  # with the environment's action bounds, where the log declares none
    remarks: tuple[str, ...]  # what the user should know about the data, one line each


def train(request: Request) -> Population:
    """Train a population and leave a complete run folder. Nothing is written before everything has been checked.

    Raises:
        ConfigError: the folder is taken, or data, settings and environment do not fit each other.
        Interrupted: a signal or the time limit stopped the run, after saving.
    """
    with begin(request) as run:
        for remark in run.remarks if request.remarks else ():
            print(remark)
        advice = resume_advice(request.folder, request.algorithm)
        parts = run.population, run.dataset, request.options, request.folder, advice
        with session(*parts, callbacks=request.callbacks) as recorder:
            if request.trained is not None:
                recorder.begin_with_evaluation()
            fit(run.population, run.dataset, request.options.steps, recorder)
        return run.population


@contextmanager
def begin(request: Request) -> Iterator[BegunRun]:
    """Check a request and write its run folder, without training. The folder stays locked inside the ``with`` block.

    :func:`prudent.training.resume.resume` can train such a run.

    Raises:
        ConfigError: as :func:`train`.
    """
    folder, options, dataset = request.folder, request.options, request.dataset
    check_free(folder)
    check_callbacks(request.callbacks, options.env)
    loggers.check(options.logger)
    device = prepare_process(options)
    if options.env is not None:
        check_fits(options.env, dataset.spec)
        check_memory(len(request.members), options.eval_episodes)
        dataset = with_environment_bounds(dataset, options.env)
    if request.trained is None:
        population, more = new_population(dataset, request.algorithm, request.members, device), {}
    else:
        population = prepared(request.trained, dataset, request.go_on, device)
        more = {CONTINUED: request.go_on.described(population)}
    with locked(create(folder)):
        # Again: another process may have taken the folder before it was locked.
        check_free(folder)
        problems = [str(finding) for finding in cautions(dataset)]
        settings = asdict(options) | {"sources": _absolute(request.sources) if request.sources else None}
        with advice_on_interrupt(resume_advice(folder, request.algorithm)):
            if request.trained is not None:
                # Before config.json: a folder that is a run has the weights that it goes on from.
                checkpoint.save(folder, population, {}, options.keep)
            begin_run(folder, population, dataset, settings, problems, **more)
            told = windows.taken_as_one(request.members, population.members)
            remarks = remarks_on(dataset, (*told, *problems))
            yield BegunRun(population, dataset, (*request.go_on.sentences(population), *remarks) if more else remarks)


def remarks_on(dataset: Dataset, problems: Sequence[object]) -> tuple[str, ...]:
    """What the user should know about a dataset with these ``problems``, one line each: first the reader's notes."""
    return tuple(f"{dataset.name}: {text}" for text in (*dataset.notes, *problems))


_SMALL_PART = 0.6
"""Logged actions that span less of an environment's bounds may be in other units."""
_MOST = 0.99
"""Declared bounds that span less of an environment's are said to be narrower."""


def with_environment_bounds(dataset: Dataset, env_id: str) -> Dataset:
    """The dataset with the environment's action bounds, if it declares none itself; a note says so.

    Declared bounds that are narrower than the environment's are kept, and a note says that too.

    Raises:
        DataError: an action lies outside them.
    """
    env_spec = spec_of(env_id)
    if dataset.spec.discrete or env_spec.action_low is None:
        return dataset
    if dataset.spec.action_low is not None:
        note = _note_on_narrower_bounds(dataset.spec, env_spec, env_id)
        return dataset if note is None else dataset.relabelled(notes=(*dataset.notes, note))
    spec = replace(dataset.spec, action_low=env_spec.action_low, action_high=env_spec.action_high)
    check_bounds(dataset.action, spec, dataset.name)
    return dataset.relabelled(spec=spec, notes=(*dataset.notes, _note_on_bounds(dataset, spec, env_id)))


def _note_on_bounds(dataset: Dataset, spec: Spec, env_id: str) -> str:
    """Which bounds were taken, and whether the logged actions look like fractions of them."""
    low, high = np.array(spec.action_low), np.array(spec.action_high)
    note = f"no action bounds are declared: {_numbers(low)} to {_numbers(high)} taken from {env_id}"
    edge = np.abs(dataset.action).max(axis=0)
    # Whoever clips or scales to [-1, 1] reaches 1, and never more.
    squashed = (np.abs(edge - 1) <= 1e-3) & (np.minimum(high, -low) >= 1.01)
    if not squashed.any():
        return note + _on_reach(dataset, low, high)
    feature = int(np.flatnonzero(squashed)[0])
    return (
        f"{note}; but logged actions (feature {feature}) stop at exactly 1: if the recorder scaled them to [-1, 1], "
        "multiply them back to the environment's units"
    )


def _on_reach(dataset: Dataset, low: np.ndarray, high: np.ndarray) -> str:
    """That logged actions stay in a small part of the bounds, as those in other units would; empty if they do not."""
    least, most = dataset.action.min(axis=0), dataset.action.max(axis=0)
    few = np.flatnonzero(most - least < _SMALL_PART * (high - low))
    if not len(few):
        return ""
    feature = int(few[0])
    return (
        f"; logged actions (feature {feature}) only go from {least[feature]:.3g} to {most[feature]:.3g}: "
        "are they in the environment's units?"
    )


def _note_on_narrower_bounds(spec: Spec, env: Spec, env_id: str) -> str | None:
    """That policies will not use all of an environment's actions; None if they may."""
    low, high, env_low, env_high = (
        np.array(bound, dtype=np.float64)
        for bound in (spec.action_low, spec.action_high, env.action_low, env.action_high)
    )
    if (high - low >= _MOST * (env_high - env_low)).all():
        return None
    scaled = (low == -1).all() and (high == 1).all()
    question = "if the recorder scaled them to [-1, 1], multiply them back" if scaled else "are both in the same units?"
    return (
        f"declared action bounds {_numbers(low)} to {_numbers(high)} are kept, though {env_id} takes "
        f"{_numbers(env_low)} to {_numbers(env_high)}: {question}"
    )


def _numbers(values: np.ndarray) -> str:
    """One number if all are equal, else a list."""
    return f"{values[0]:g}" if (values == values[0]).all() else str([float(f"{v:g}") for v in values])


def options_of_fit(
    dataset: Dataset, device: str, out: Path | str | None, given: dict[str, Any], callbacks: Sequence[Any] = ()
) -> Options:
    """The options of a call of an agent's ``fit``, checked.

    Raises:
        ConfigError: ``dataset`` is none, an option does not exist or needs ``out``, or a callback cannot be called.
    """
    if not isinstance(dataset, Dataset):
        raise ConfigError(f"fit takes a dataset, got {dataset!r}: hand it prudent.load_dataset(...)")
    if "device" in given:
        raise ConfigError("device is a setting of the agent: give it to the constructor")
    check_names(Options, given)
    others = given.keys() - {"steps", "threads", "tf32", *(("log_every",) if callbacks else ())}
    if others and out is None:
        raise ConfigError(f"{', '.join(sorted(others))}: only with out, the folder to write to")
    check_callbacks(callbacks, given.get("env"))
    return Options(device=device, **given)


def _absolute(sources: Mapping[str, Any]) -> dict[str, Any]:
    """``sources`` as JSON with full paths and the mapping's content, so that a resume works from any folder."""

    def absolute(source: str | Path) -> str:
        path, text = files.expand_user(source), str(source)
        return str(path.resolve()) if text not in BUILTIN and path.exists() else text

    source = sources["source"]
    all_sources = [source] if isinstance(source, str | Path) else source
    stored = {name: to_plain(value) for name, value in sources.items()}
    stored["source"] = [absolute(source) for source in all_sources]
    if sources.get("mapping") is not None:
        roles = to_json(read_map(sources["mapping"]))
        stored["mapping"] = {role: value for role, value in roles.items() if value not in (None, [], {})}
    return stored

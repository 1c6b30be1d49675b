"""Going on with a run in its folder.

The folder is locked, and the newest checkpoint that verifies is loaded: networks, targets, Adam's moments, random
states, step. The dataset is loaded again and its fingerprint compared. Metrics of later steps are cut from the files;
running sums, the guard's memory, the best evaluation and earlier incidents come back. Then training goes on, and
computes the lost steps again with the same random numbers. So the run ends as if it had never been stopped. Without a
checkpoint it starts over. If all steps were made, only status and report are written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prudent import files, report
from prudent.config import from_json
from prudent.data import Dataset
from prudent.data.encoding import check_same
from prudent.engine.loop import fit
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.environments.make import check_fits
from prudent.errors import ConfigError
from prudent.runs import checkpoint, loggers
from prudent.runs.folder import check_writable, dataset_of, locked, members, read_run, safe_env_id, write_json
from prudent.runs.machine import differences
from prudent.runs.metrics import events
from prudent.runs.status import is_finished, write_status
from prudent.training.callbacks import check_callbacks
from prudent.training.going_on import CONTINUED
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.session import session
from prudent.training.start import resume_advice, with_environment_bounds


def resume(
    folder: Path | str,
    steps: int | None = None,
    dataset: Dataset | None = None,
    device: str | None = None,
    threads: int | None = None,
    env: str | None = None,
    max_minutes: float | None = None,
    logger: Sequence[str] | None = None,
    advice: str | None = None,
    callbacks: Sequence[Any] = (),
) -> Population:
    """Go on with the run in ``folder`` from its newest checkpoint that verifies, up to ``steps`` in all.

    A run without a checkpoint starts at its first step. A run that has made all of its steps says so.

    Args:
        folder: the run folder.
        steps: gradient steps in all; None for those the run began with.
        dataset: what the run was trained on; None loads it again from where it was.
        device, threads, env, max_minutes, logger: replace the run's options this time; they are not stored.
        advice: tells a user who stops the run how to go on.
        callbacks: see :mod:`prudent.training.callbacks`. They begin anew: checkpoints do not have their state.

    Raises:
        PrudentError: the folder holds no run, no checkpoint verifies, or the dataset is not the one it was trained on.
        Interrupted: a signal or the time limit stopped the run, after saving.
    """
    folder = Path(folder)
    stored = _read_resumable(folder)
    original = from_json(Options, {name: value for name, value in stored["train"].items() if name != "sources"})
    changes = {"steps": steps, "device": device, "threads": threads, "env": env, "max_minutes": max_minutes}
    changes["logger"] = logger
    options = replace(original, **{name: value for name, value in changes.items() if value is not None})
    check_callbacks(callbacks, options.env)
    loggers.check(options.logger)
    torch_device = prepare_process(options)
    check_writable(folder)
    with locked(folder):
        files.clear_leftovers(folder)
        saved = _newest_checkpoint(folder, stored, torch_device)
        if saved.population is not None and saved.step >= options.steps:
            _end_again(folder, saved.step, options.steps, original.steps)
            return saved.population
        dataset = dataset_of(folder, stored, dataset)
        if saved.population is not None:
            check_same(saved.population.scaling.encoding, dataset.meanings.encoding, dataset.name, "what was trained")
        _say_gap(folder, saved.step, original.log_every)
        if options.env is not None:
            check_fits(options.env if env else safe_env_id(options.env), dataset.spec)
        population = saved.population or _start_over(folder, stored, dataset, options, torch_device)
        write_json(folder / "config.json", {**stored, "train": {**stored["train"], "steps": options.steps}})
        for difference in differences(folder, torch_device):
            print(f"{difference}: the last digits may differ from an uninterrupted run")
        advice = advice or resume_advice(folder, stored["algorithm"])
        with advice_on_interrupt(advice):
            parts = population, dataset, options, folder, advice, saved.extra, saved.step
            with session(*parts, callbacks=callbacks) as recorder:
                if saved.step == _first_step(stored):
                    recorder.begin_with_evaluation()
                fit(population, dataset, options.steps, recorder)
            return population


@dataclass(frozen=True)
class _Saved:
    """What the newest checkpoint holds; without a checkpoint no population, and step -1."""

    population: Population | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    step: int = -1


def _read_resumable(folder: Path) -> dict[str, Any]:
    """``config.json`` of a run that can be resumed.

    Raises:
        PrudentError: the folder holds no run, or one that was fine-tuned online.
    """
    stored = read_run(folder)
    if "finetuned_from" in stored:
        origin = stored["finetuned_from"]
        offline = origin.get("run", "RUN") if isinstance(origin, dict) else "RUN"
        raise ConfigError(f"{folder} was fine-tuned online and cannot be resumed; anew: prudent finetune {offline}")
    return stored


def _newest_checkpoint(folder: Path, stored: Mapping[str, Any], device: torch.device) -> _Saved:
    """The newest checkpoint that verifies.

    Raises:
        PrudentError: there are checkpoints and none verifies, or it belongs to another run.
    """
    if not checkpoint.steps(folder):
        return _Saved()
    population, extra = checkpoint.load(folder, str(device), print)
    if population.algorithm_name != stored["algorithm"] or list(population.members) != members(stored):
        raise ConfigError(
            f"the checkpoints in {folder} belong to another run ({population.algorithm_name}, "
            f"{', '.join(population.names)}): its config.json does not describe them"
        )
    return _Saved(population, extra, population.state.step)


def _say_gap(folder: Path, step: int, log_every: int) -> None:
    """Say that metrics before a checkpoint are missing, if they are."""
    logged = max((row["step"] for row in events(folder / "metrics.jsonl")), default=0)
    if logged < step - step % log_every:
        print(
            f"{folder / 'metrics.jsonl'} ends at step {logged}, before the checkpoint of step {step}: curves have a gap"
        )


def _end_again(folder: Path, step: int, steps: int, original_steps: int) -> None:
    """Say that nothing is left to do, and write the status and the report that a killed run may lack."""
    print(f"{folder} has nothing left to do: it is at step {step}, {steps} were asked for; --steps takes it further")
    if step < original_steps:
        return
    if not is_finished(folder):
        write_status(folder, "finished", step, step)
    elif (folder / "report.html").exists():
        return
    report.write_report(folder)


def _first_step(stored: Mapping[str, Any]) -> int | None:
    """The step from which a run went on from another one; None if it began with new weights."""
    origin = stored.get(CONTINUED)
    return origin.get("step") if isinstance(origin, dict) else None


def _start_over(
    folder: Path, stored: Mapping[str, Any], dataset: Dataset, options: Options, device: torch.device
) -> Population:
    """The untrained population of a run that was stopped before its first checkpoint.

    Raises:
        ConfigError: the run went on from another one, so its first weights are no untrained ones.
    """
    if CONTINUED in stored:
        raise ConfigError(
            f"{folder} has no checkpoint, not even the one that it went on from: start anew with prudent train --from"
        )
    if (folder / "status.json").exists():
        print("no checkpoint was saved before this run ended: it starts over")
    if options.env is not None:
        dataset = with_environment_bounds(dataset, options.env)
    return new_population(dataset, stored["algorithm"], members(stored), device)

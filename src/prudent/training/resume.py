"""Going on with a run in its folder."""

from dataclasses import replace
from pathlib import Path

from prudent import files, report
from prudent.config import from_json
from prudent.data import Dataset
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.environments.make import check_fits
from prudent.errors import ConfigError
from prudent.runs import checkpoint
from prudent.runs.folder import check_writable, dataset_of, locked, members, read_run, registered, write_json
from prudent.runs.machine import differences
from prudent.runs.status import is_finished, write_status
from prudent.training.interrupts import advice_on_interrupt
from prudent.training.start import RESUMES, _run, _with_bounds


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
    stored = read_run(folder)
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
    with locked(folder):
        files.clear_leftovers(folder)
        population, extra, start = None, {}, None
        if checkpoint.steps(folder):
            population, extra = checkpoint.load(folder, str(chosen), print)
            start = population.state.step
            if start >= options.steps:
                told = f"at step {start}, {options.steps} were asked for; --steps takes it further"
                print(f"{folder} has nothing left to do: it is {told}")
                if start >= asked.steps:
                    _make_sure_finished(folder, start)
                return population
        dataset = dataset_of(folder, stored, dataset)
        if options.env is not None:
            check_fits(options.env if env else registered(options.env), dataset.spec)
        if population is None:
            if (folder / "status.json").exists():
                print("no checkpoint was saved before this run ended: it starts over")
            fresh = dataset if options.env is None else _with_bounds(dataset, options.env)
            population = new_population(fresh, stored["algorithm"], members(stored), chosen)
        train_settings = {**settings, "steps": options.steps, "sources": sources}
        write_json(folder / "config.json", {**stored, "train": train_settings})
        for difference in differences(folder, chosen):
            print(f"{difference}: the last digits may differ from an uninterrupted run")
        advice = advice or RESUMES.format(folder)
        with advice_on_interrupt(advice):
            return _run(population, dataset, options, folder, advice, extra, -1 if start is None else start)


def _make_sure_finished(folder: Path, step: int) -> None:
    """Bring a run that was killed between its last checkpoint and its report to its end."""
    if not is_finished(folder):
        write_status(folder, "finished", step, step)
    elif (folder / "report.html").exists():
        return
    report.write_report(folder)

"""Everything around a training: logs, status, report, and a policy saved where it is stopped."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from torch import Tensor

from prudent import files, report
from prudent.data import Dataset
from prudent.engine.guard import Guard, largest_value
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.errors import Interrupted, PrudentError
from prudent.runs.metrics import available_loggers
from prudent.training.interrupts import stop_requests
from prudent.training.progress import Progress
from prudent.training.recorder import Recorder


def record(
    population: Population,
    dataset: Dataset,
    options: Options,
    folder: Path,
    learn: Callable[[Recorder], None],
    advice: str,
    extra: Mapping[str, Tensor] | None = None,
    resume_at: int | None = None,
) -> Population:
    """``learn`` with everything around it: logs, status, report, and a policy saved where it is stopped.

    The rewards of ``dataset`` say which values are possible. ``advice`` tells the user who stopped it how to go on,
    ``extra`` is what an earlier recorder saved, ``resume_at`` the step after which earlier metrics are cut.

    Raises:
        Interrupted: a signal or the time limit stopped it, after saving.
        PrudentError: every member has diverged, or the last checkpoint or the report cannot be written.
    """
    with ExitStack() as stack:
        requests = stack.enter_context(stop_requests())
        log = stack.enter_context(available_loggers(folder, population.names, resume_at))
        progress = stack.enter_context(Progress(options.steps, population.state.step))
        guard = Guard(population, options, largest_value(population, dataset))
        recorder = Recorder(population, options, folder, log, progress, guard, requests)
        recorder.restore(extra or {})
        recorder.status("running")
        try:
            stopped = _learned_or_stopped(learn, recorder, advice)
        except Exception as error:
            # A full disk, say: nothing that fails here may hide why the run ended.
            with suppress(Exception):
                recorder.status("failed", f"{type(error).__name__}: {error}")
            _report_if_possible(folder)
            raise
        recorder.status("interrupted" if stopped else "finished", stopped)
    if stopped:
        _report_if_possible(folder)
        raise Interrupted(stopped)
    try:
        report.write_report(folder)
    except OSError as error:
        told = f"its report is not ({files.error_text(error)}); once that is mended: prudent report {folder}"
        raise PrudentError(f"{folder} is finished and saved, {told}") from error
    return population


def _learned_or_stopped(learn: Callable[[Recorder], None], recorder: Recorder, advice: str) -> str:
    """Nothing, or what to tell of a run that was stopped and has been saved.

    Raises:
        PrudentError: the last checkpoint cannot be written.
    """
    try:
        try:
            learn(recorder)
        except Interrupted as error:
            recorder.save(must=True)
            return f"{error}; its policy is saved; {advice}"
    except OSError as error:
        raise PrudentError(
            f"the last steps are not saved: {files.error_text(error)}; mend that and {advice}"
        ) from error
    return ""


def _report_if_possible(folder: Path) -> None:
    with suppress(Exception):
        report.write_report(folder)

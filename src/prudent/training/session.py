"""Everything around a training: logs, status, report, and a checkpoint when it is stopped."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from torch import Tensor

from prudent import files, report
from prudent.coverage import support
from prudent.data import Dataset
from prudent.engine.guard import Guard, Incident, largest_value
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.errors import Interrupted, PrudentError
from prudent.runs.loggers import local_loggers, tracker_types
from prudent.runs.metrics import Loggers
from prudent.runs.trackers.tracked import Trackers, tracked
from prudent.training.interrupts import stop_requests
from prudent.training.progress import Progress
from prudent.training.recorder import Recorder


@contextmanager
def session(
    population: Population,
    dataset: Dataset,
    options: Options,
    folder: Path,
    advice: str,
    extra: Mapping[str, Tensor] | None = None,
    resume_at: int | None = None,
) -> Iterator[Recorder]:
    """Train inside the ``with`` block and tell the recorder of each step::

        with session(population, dataset, options, folder, advice) as recorder:
            fit(population, dataset, options.steps, recorder)

    At the end of the block the run folder gets its final status and its report, and a finished run ``support.json``. If
    a signal or the time limit stops the training, a checkpoint is saved first. Trackers end last: they get the report.

    Args:
        population: what trains.
        dataset: what it learns from. Its rewards say which values are possible.
        options: how to train.
        folder: the run folder.
        advice: tells a user who stopped the run how to go on.
        extra: tensors that an earlier recorder saved in the checkpoint.
        resume_at: metrics of later steps are cut from the files. None for a new run.

    Raises:
        Interrupted: a signal or the time limit stopped the run, after saving.
        PrudentError: every member has diverged, or the last checkpoint or the report cannot be written.
    """
    # The order matters: what ends the recording, an interruption for example, is how the trackers' runs end.
    with (
        tracked(tracker_types(options.logger), folder, population.names, resume_at) as trackers,
        _recording(population, dataset, options, folder, advice, extra or {}, resume_at, trackers) as recorder,
    ):
        yield recorder


@contextmanager
def _recording(
    population: Population,
    dataset: Dataset,
    options: Options,
    folder: Path,
    advice: str,
    extra: Mapping[str, Tensor],
    resume_at: int | None,
    trackers: Trackers,
) -> Iterator[Recorder]:
    """All of :func:`session` but the beginning and the end of the ``trackers``."""
    stopped = ""
    with ExitStack() as stack:
        requests = stack.enter_context(stop_requests())
        local = stack.enter_context(local_loggers(options.logger, folder, population.names, resume_at))
        progress = stack.enter_context(Progress(options.steps, population.state.step))
        guard = Guard(population, options, largest_value(population, dataset))
        recorder = Recorder(population, options, folder, Loggers([local, trackers]), progress, guard, requests)
        recorder.restore(extra)
        trackers.on_failure = partial(_tracker_failed, recorder)
        for reason in trackers.failures:
            trackers.on_failure(reason)
        recorder.status("running")
        try:
            with _disk_errors_named(advice):
                try:
                    yield recorder
                    # An attempt: the run is saved, so it must not end as a failed one if this goes wrong.
                    recorder.attempt("support failed", lambda: support.write(folder, population, dataset))
                except Interrupted as error:
                    recorder.save(must=True)
                    stopped = f"{error}; its policy is saved; {advice}"
        except Exception as error:
            # Nothing that fails here, on a full disk for example, may hide why the run ended.
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
        reason = files.error_text(error)
        raise PrudentError(
            f"{folder} is finished and saved, its report is not ({reason}); "
            f"once that is mended: prudent report {folder}"
        ) from error


def _tracker_failed(recorder: Recorder, reason: str) -> None:
    recorder.happened(Incident(recorder.population.state.step, "tracker failed", reason))


@contextmanager
def _disk_errors_named(advice: str) -> Iterator[None]:
    """Turn a disk error into one line that says how to go on."""
    try:
        yield
    except OSError as error:
        reason = files.error_text(error)
        raise PrudentError(f"the last steps are not saved: {reason}; mend that and {advice}") from error


def _report_if_possible(folder: Path) -> None:
    with suppress(Exception):
        report.write_report(folder)

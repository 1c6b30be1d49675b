"""Everything around a training: logs, status, report, and a checkpoint when it is stopped."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

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
from prudent.training.callbacks import Callbacks, noted_on
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
    callbacks: Sequence[Any] = (),
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
        callbacks: see :mod:`prudent.training.callbacks`. What one of them raises ends the run, after saving.

    Raises:
        Interrupted: a signal or the time limit stopped the run, after saving.
        PrudentError: every member has diverged, or the last checkpoint or the report cannot be written.
    """
    # The order matters: what ends the recording, an interruption for example, is how the trackers' runs end.
    with tracked(tracker_types(options.logger), folder, population.names, resume_at) as trackers:
        parts = population, dataset, options, folder, advice, extra or {}, resume_at
        with _recording(*parts, trackers, callbacks) as recorder:
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
    callbacks: Sequence[Any],
) -> Iterator[Recorder]:
    """All of :func:`session` but the beginning and the end of the ``trackers``."""
    stopped = ""
    with ExitStack() as stack:
        requests = stack.enter_context(stop_requests())
        local = stack.enter_context(local_loggers(options.logger, folder, population.names, resume_at))
        progress = stack.enter_context(Progress(options.steps, population.state.step))
        guard = Guard(population, options, largest_value(population, dataset))
        loggers = Loggers([local, trackers])
        recorder = Recorder(population, options, folder, loggers, progress, guard, requests, callbacks)
        recorder.restore(extra)
        trackers.on_failure = partial(_tracker_failed, recorder)
        for reason in trackers.failures:
            trackers.on_failure(reason)
        recorder.status("running")
        try:
            with _disk_errors_named(advice, recorder.callbacks):
                try:
                    yield recorder
                    # An attempt: the run is saved, so it must not end as a failed one if this goes wrong.
                    recorder.attempt("support failed", lambda: support.write(folder, population, dataset))
                except Interrupted as error:
                    recorder.save(must=True)
                    stopped = f"{error}; its policy is saved; {advice}"
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # the last two from a callback
            message = f"{type(error).__name__}: {error}"
            # Nothing that fails here, on a full disk for example, may hide why the run ended.
            with suppress(Exception):
                if recorder.callbacks.failed:
                    message += f" ({error.__notes__[-1]})"
                    recorder.save()
            with suppress(Exception):
                recorder.status("failed", message)
            _report_if_possible(folder)
            with noted_on(error):
                recorder.callbacks.end("failed", message)
            raise
        ended_early = recorder.callbacks.training.message
        recorder.status("interrupted" if stopped else "finished", stopped or ended_early)
    if stopped:
        _report_if_possible(folder)
        recorder.callbacks.end("interrupted", stopped)
        raise Interrupted(stopped)
    _write_report(folder)
    recorder.callbacks.end("stopped" if ended_early else "finished", ended_early)


def _write_report(folder: Path) -> None:
    """Write the report of a finished run.

    Raises:
        PrudentError: it cannot be written.
    """
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
def _disk_errors_named(advice: str, callbacks: Callbacks) -> Iterator[None]:
    """Turn a disk error into one line that says how to go on. One of a callback stays what it is."""
    try:
        yield
    except OSError as error:
        if callbacks.failed:
            raise
        reason = files.error_text(error)
        raise PrudentError(f"the last steps are not saved: {reason}; mend that and {advice}") from error


def _report_if_possible(folder: Path) -> None:
    with suppress(Exception):
        report.write_report(folder)

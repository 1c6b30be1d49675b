"""Everything around a training: logs, status, report, and a policy saved where it is stopped."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from prudent import files, loggers, report
from prudent.data import Dataset
from prudent.errors import Interrupted, PrudentError
from prudent.guard import Guard, largest_value
from prudent.loop import Options
from prudent.population import Population
from prudent.progress import Progress
from prudent.recorder import Recorder

STOPPED_BY = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
"""Ctrl-C, and what schedulers send before they take a machine away (SIGUSR1 by arrangement; Windows has none)."""


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
        log = stack.enter_context(loggers.available_loggers(folder, population.names, resume_at))
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
        told = f"its report is not ({files.told(error)}); once that is mended: prudent report {folder}"
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
        raise PrudentError(f"the last steps are not saved: {files.told(error)}; mend that and {advice}") from error
    return ""


def _report_if_possible(folder: Path) -> None:
    with suppress(Exception):
        report.write_report(folder)


_collecting: list[list[int]] = []
"""The list of the requests that are being collected, if any are."""


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collects the first of the signals in :data:`STOPPED_BY`; a second one acts as it always did: at once.

    Within another of these it is the other one's list, so that no request is forgotten between two trainings.
    """
    if _collecting:
        yield _collecting[-1]
        return
    received: list[int] = []
    previous: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: Any) -> None:
        received.append(number)
        restore()

    try:
        for number in STOPPED_BY:
            previous[number] = signal.signal(number, handle)
    except ValueError:
        # Only the main thread may set handlers; a run in another thread is stopped by its owner.
        previous.clear()
    _collecting.append(received)
    try:
        yield received
    finally:
        _collecting.clear()
        restore()

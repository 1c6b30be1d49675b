"""Members that cannot train together: a folder with one run for each group, trained one after the other.

Each run is like any other; ``groups.json`` lists their names in order. All of them are created before the first one
trains, so that a stopped training can go on, whichever group it was in.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent import algorithms, report
from prudent.data import Dataset
from prudent.engine.members import Group
from prudent.engine.options import Options
from prudent.engine.process import choose_device
from prudent.errors import FAILURES, Interrupted, PrudentError, in_one_line
from prudent.runs.folder import check_free, check_writable, dataset_of, read_json, read_run, write_json
from prudent.runs.foreign import check_plain
from prudent.runs.status import is_finished
from prudent.training.interrupts import advice_on_interrupt, stop_requests
from prudent.training.resume import resume as resume_run
from prudent.training.start import Request, begin, resume_advice

INDEX = "groups.json"


def start(
    dataset: Dataset,
    algorithm: str,
    groups: Sequence[Group],
    options: Options,
    folder: Path,
    sources: Mapping[str, Any] | None = None,
) -> None:
    """Train every group in a run folder of its name below ``folder``.

    Arguments are those of :class:`~prudent.training.start.Request`, errors those of
    :func:`~prudent.training.start.train`.
    """
    check_free(folder)
    # The runs are written aside first, so that the folder has all of its groups or does not exist.
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with stop_requests():
        try:
            with advice_on_interrupt(f"nothing has trained yet, {folder} is not there: start anew"):
                remarks: tuple[str, ...] = ()
                for group in groups:
                    with begin(Request(dataset, algorithm, group.members, options, aside / group.name, sources)) as run:
                        remarks = run.remarks
                write_json(aside / INDEX, {"groups": [group.name for group in groups]})
                if folder.exists():
                    folder.rmdir()  # check_free allows an empty folder
                aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        for remark in remarks:
            print(remark)
        resume(folder, dataset=dataset)


def is_in(folder: Path) -> bool:
    """Whether a folder holds groups."""
    return (folder / INDEX).is_file()


def runs_of(folder: Path) -> dict[str, Path]:
    """The run folders of the groups, by name.

    Raises:
        PrudentError: ``groups.json`` is damaged, or the folder holds a link or a special file.
    """
    names = read_json(folder / INDEX).get("groups")
    if not isinstance(names, list) or not names or not all(_is_plain_name(name) for name in names):
        raise PrudentError(f"{folder / INDEX} is damaged: no list of groups")
    check_plain(folder)
    return {name: folder / name for name in names}


def _is_plain_name(name: Any) -> bool:
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")


def resume(
    folder: Path,
    dataset: Dataset | None = None,
    steps: int | None = None,
    max_minutes: float | None = None,
    **changes: Any,
) -> None:
    """Resume each group as :func:`prudent.training.resume.resume` does, then show all groups in each one's report.

    A group that fails does not stop the others. ``max_minutes``, or the limit the groups began with, is for all groups
    together.

    Raises:
        Interrupted: a signal or the time limit stopped a group, after saving.
        PrudentError: a run is missing or read-only, the data are missing, or groups failed. Each failure has been
            printed.
    """
    runs, started_at = runs_of(folder), time.monotonic()
    configs = {name: read_run(run) for name, run in runs.items()}
    for name, run in runs.items():
        algorithms.check_code(configs[name]["algorithm"], configs[name].get("code"), run)
    advice = resume_advice(folder, next(iter(configs.values()))["algorithm"])
    unfinished = [name for name, run in runs.items() if steps is not None or not is_finished(run)]
    for name in unfinished:
        check_writable(runs[name])
        dataset = dataset_of(runs[name], configs[name], dataset)
    if changes.get("device") is not None:
        choose_device(changes["device"])
    failed: list[str] = []
    with stop_requests() as requests:
        for name, run in runs.items():
            print(f"group {name}")
            limit = configs[name]["train"].get("max_minutes") if max_minutes is None else max_minutes
            # The limit does not matter for a finished group, which only says that it is finished.
            left = None if limit is None or name not in unfinished else limit - (time.monotonic() - started_at) / 60
            if requests or (left is not None and left <= 0):
                reason = f"by {signal.Signals(requests[0]).name}" if requests else "after the minutes of max_minutes"
                raise Interrupted(f"stopped before this group {reason}; {advice}")
            try:
                resume_run(run, steps, dataset, max_minutes=left, advice=advice, **changes)
            except Interrupted:
                raise
            except FAILURES as error:
                failed.append(name)
                print(f"group {name} failed: {in_one_line(error)}", file=sys.stderr)
    trained = {name: run for name, run in runs.items() if name not in failed}
    for name, run in trained.items():
        report.write_report(run, {other: path for other, path in trained.items() if other != name})
    if failed:
        raise PrudentError(f"{len(failed)} of {len(runs)} groups failed, as said above: {', '.join(failed)}")

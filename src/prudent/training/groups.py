"""Members that cannot train together: a folder with a run for each group of them, trained one after the other.

Every run in it is one like any other; ``groups.json`` has their names in order. All are created before the first
trains, so that what was stopped goes on, whichever was under way.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent import report
from prudent.data import Dataset
from prudent.engine.members import Group
from prudent.engine.options import Options
from prudent.engine.process import choose_device
from prudent.errors import FAILURES, Interrupted, PrudentError, in_one_line
from prudent.runs.folder import check_free, check_writable, dataset_of, read_json, read_run, write_json
from prudent.runs.status import is_finished
from prudent.training.interrupts import advice_on_interrupt, stop_requests
from prudent.training.resume import resume as resume_one
from prudent.training.start import RESUMES, begin

INDEX = "groups.json"


def start(
    dataset: Dataset,
    algorithm: str,
    groups: Sequence[Group],
    options: Options,
    out: Path | str,
    sources: Mapping[str, Any] | None = None,
) -> None:
    """Train every group in a run folder of its name at ``out``.

    Arguments and errors are those of :func:`prudent.training.start.train`.
    """
    folder = Path(out)
    check_free(folder)
    # Aside, so that the folder is there with all of its groups or not at all.
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    with stop_requests():
        try:
            with advice_on_interrupt(f"nothing has trained yet, {folder} is not there: start anew"):
                told = [begin(dataset, algorithm, one.members, options, aside / one.name, sources) for one in groups]
                write_json(aside / INDEX, {"groups": [group.name for group in groups]})
                if folder.exists():
                    folder.rmdir()  # an empty one, which may be named
                aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        for line in told[0]:
            print(line)
        resume(folder, dataset=dataset)


def is_in(folder: Path) -> bool:
    """Whether a folder holds groups."""
    return (folder / INDEX).is_file()


def runs_of(folder: Path) -> dict[str, Path]:
    """The run folders of the groups, by name.

    Raises:
        PrudentError: what says so is damaged.
    """
    found = read_json(folder / INDEX).get("groups")
    names = found if isinstance(found, list) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise PrudentError(f"{folder / INDEX} is damaged: no list of groups")
    return {name: folder / name for name in names}


def resume(
    folder: Path,
    dataset: Dataset | None = None,
    steps: int | None = None,
    max_minutes: float | None = None,
    **changed: Any,
) -> None:
    """Go on with each group as :func:`prudent.training.resume.resume` does, then show all of them in each one's report.

    A group that fails leaves the others to train. ``max_minutes``, or those the groups began with, are for all of them.

    Raises:
        Interrupted: a signal or the time limit stopped one, after saving.
        PrudentError: a run is not there or may not be written to, its data are not there, or some failed; what each
            failed of has been said.
    """
    of, began = runs_of(folder), time.monotonic()
    advice, failed = RESUMES.format(folder), []
    stored = {name: read_run(run) for name, run in of.items()}
    going = [name for name, run in of.items() if steps is not None or not is_finished(run)]
    for name in going:
        check_writable(of[name])
        dataset = dataset_of(of[name], stored[name], dataset)
    if changed.get("device") is not None:
        choose_device(changed["device"])
    with stop_requests() as requests:
        for name, run in of.items():
            print(f"group {name}")
            limit = stored[name]["train"].get("max_minutes") if max_minutes is None else max_minutes
            # A group that is finished only says so.
            left = None if limit is None or name not in going else limit - (time.monotonic() - began) / 60
            if requests or (left is not None and left <= 0):
                why = f"by {signal.Signals(requests[0]).name}" if requests else "after the minutes of max_minutes"
                raise Interrupted(f"stopped before this group {why}; {advice}")
            try:
                resume_one(run, steps, dataset, max_minutes=left, advice=advice, **changed)
            except Interrupted:
                raise
            except FAILURES as error:
                failed.append(name)
                print(f"group {name} failed: {in_one_line(error)}", file=sys.stderr)
    whole = {name: run for name, run in of.items() if name not in failed}
    for name, run in whole.items():
        report.write_report(run, {other: path for other, path in whole.items() if other != name})
    if failed:
        raise PrudentError(f"{len(failed)} of {len(of)} groups failed, as said above: {', '.join(failed)}")

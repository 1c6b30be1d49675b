"""Members that cannot train together: a folder with a run for each group of them, trained one after the other.

Every run in it is one like any other; ``groups.json`` has their names in order. All are created before the first
trains, so that what was stopped goes on, whichever was under way.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent import report, runs, train
from prudent.data import Dataset
from prudent.ended import goes_on
from prudent.errors import PrudentError
from prudent.loop import Options
from prudent.members import Group
from prudent.recorder import Interrupted

INDEX = "groups.json"


def start(
    dataset: Dataset,
    algorithm: str,
    groups: Sequence[Group],
    options: Options,
    out: Path | str,
    sources: Mapping[str, Any] | None = None,
) -> None:
    """Train every group in a run folder of its name at ``out``; arguments and errors of :func:`prudent.train.train`."""
    folder = Path(out)
    runs.check_free(folder)
    # Aside, so that the folder is there with all of its groups or not at all.
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with goes_on(f"nothing has trained yet, {folder} is not there: start anew"):
            told = [train.begin(dataset, algorithm, one.members, options, aside / one.name, sources) for one in groups]
            runs.write_json(aside / INDEX, {"groups": [group.name for group in groups]})
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
    found = runs.read_json(folder / INDEX).get("groups")
    if not isinstance(found, list) or not all(isinstance(name, str) and Path(name).name == name for name in found):
        raise PrudentError(f"{folder / INDEX} is damaged: no list of groups")
    return {name: folder / name for name in found}


def resume(folder: Path, dataset: Dataset | None = None, max_minutes: float | None = None, **changed: Any) -> None:
    """Go on with each group as :func:`prudent.train.resume` does, then show all of them in each one's report.

    A group that fails leaves the others to train. ``max_minutes``, or those the groups began with, are for all of them.

    Raises:
        Interrupted: a signal or the time limit stopped one, after saving.
        PrudentError: some failed; what each failed of has been said.
    """
    of, began = runs_of(folder), time.monotonic()
    advice, failed = train.RESUMES.format(folder), []
    for name, run in of.items():
        print(f"group {name}")
        try:
            left = _minutes_left(run, max_minutes, began, advice)
            train.resume(run, dataset=dataset, advice=advice, max_minutes=left, **changed)
        except Interrupted:
            raise
        # RuntimeError is how PyTorch says that the accelerator's memory is full.
        except (PrudentError, OSError, MemoryError, RuntimeError) as error:
            failed.append(name)
            why = " ".join(str(error).split()) or type(error).__name__
            print(f"group {name} failed: {why}", file=sys.stderr)
    finished = {name: run for name, run in of.items() if name not in failed}
    for name, run in finished.items():
        report.write_report(run, {other: path for other, path in finished.items() if other != name})
    if failed:
        raise PrudentError(f"{len(failed)} of {len(of)} groups failed: {', '.join(failed)}; {advice}")


def _minutes_left(run: Path, max_minutes: float | None, began: float, advice: str) -> float | None:
    """Of the limit that was asked for, or that the run began with; none where there is none.

    Raises:
        Interrupted: nothing is.
    """
    limit = max_minutes if max_minutes is not None else runs.read_run(run)["train"].get("max_minutes")
    if limit is None:
        return None
    left = limit - (time.monotonic() - began) / 60
    if left <= 0:
        raise Interrupted(f"stopped before this group, after the {limit:g} minutes of max_minutes; {advice}")
    return left

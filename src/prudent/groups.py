"""Members that cannot train together: a folder with a run for each group of them, trained one after the other.

Every run in it is one like any other; ``groups.json`` has their names in order. All are created before the first
trains, so that what was stopped goes on, whichever was under way.
"""

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
    with goes_on(f"nothing has trained yet: remove {folder} and start anew"):
        told = [
            train.begin(dataset, algorithm, group.members, options, folder / group.name, sources) for group in groups
        ]
        runs.write_json(folder / INDEX, {"groups": [group.name for group in groups]})
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


def resume(folder: Path, dataset: Dataset | None = None, **changed: Any) -> None:
    """Go on with each group as :func:`prudent.train.resume` does, then show all of them in each one's report.

    A group that fails leaves the others to train.

    Raises:
        Interrupted: a signal or the time limit stopped one, after saving.
        PrudentError: some failed; the line says which and why.
    """
    of, failed = runs_of(folder), {}
    for name, run in of.items():
        print(f"group {name}")
        try:
            train.resume(run, dataset=dataset, advice=train.RESUMES.format(folder), **changed)
        except Interrupted:
            raise
        except PrudentError as error:
            failed[name] = str(error)
    if failed:
        raise PrudentError("; ".join(f"{name}: {why}" for name, why in failed.items()))
    for name, run in of.items():
        report.write_report(run, {other: path for other, path in of.items() if other != name})

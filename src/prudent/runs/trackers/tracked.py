"""The trackers of a run, from its beginning to its end."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prudent.errors import Interrupted, PrudentError, in_one_line
from prudent.runs.folder import read_json, write_json
from prudent.runs.metrics import Logger
from prudent.runs.trackers.tracker import FAILED, FINISHED, INTERRUPTED, Tracked, Tracker

IDS = "trackers.json"
"""The file of a run folder with the ids of its runs in trackers, by the tracker's name."""

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ARTEFACTS = ("report.html", "config.json", "environment.json", "evaluation.json", "support.json", "value.json")


class Trackers(Logger):
    """Several trackers as one logger.

    One that fails gets nothing more, and ``on_failure`` is told once; ``metrics.jsonl`` has all figures anyway.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.on_failure: Callable[[str], None] = print
        self._open: dict[str, Tracker] = {}

    def begin(self, types: Mapping[str, type[Tracker]], names: Sequence[str]) -> None:
        """Open a run in each tracker, or go on with the one that ``trackers.json`` names, and say where it is."""
        stored = read_json(self.folder / "config.json")
        train = {key: value for key, value in stored.get("train", {}).items() if key != "sources"}
        ids = _stored_ids(self.folder)
        for name, kind in types.items():
            run = Tracked(self.folder, names, {**stored, "train": train}, ids.get(name))
            tracker = self._attempt(name, lambda kind=kind, run=run: kind.open(run))
            if tracker is None:
                continue
            self._open[name] = tracker
            if ids.get(name) not in (None, tracker.run_id):
                print(f"{name}: the run {ids[name]} is not there any more: a new one begins")
            ids[name] = tracker.run_id
            print(tracker.place, flush=True)
        if types:
            write_json(self.folder / IDS, ids)

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Hand the event to each; see :class:`Logger`."""
        self._each(lambda tracker: tracker.log(step, metrics, members))

    def sync(self) -> None:
        """Hand over what waits."""
        self._each(lambda tracker: tracker.sync())

    def close(self) -> None:
        """Hand over what waits."""
        self.sync()

    def end(self, state: str) -> None:
        """Attach report and pictures, and end each run."""
        self.sync()
        paths = artefacts(self.folder)
        self._each(lambda tracker: tracker.attach(paths))
        self._each(lambda tracker: tracker.end(state))

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            self._attempt(name, lambda tracker=tracker: action(tracker))

    def _attempt(self, name: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - trackers and their networks raise anything
            self._open.pop(name, None)
            reason = in_one_line(error, with_kind=True)[:300]
            self.on_failure(f"{name} gets nothing more, metrics.jsonl has all figures: {reason}")
            return None


@contextmanager
def tracked(types: Mapping[str, type[Tracker]], folder: Path, names: Sequence[str]) -> Iterator[Trackers]:
    """The trackers of a training inside the ``with`` block, which ends after the report was written."""
    trackers = Trackers(folder)
    trackers.begin(types, names)
    try:
        yield trackers
    except BaseException as error:
        trackers.on_failure = print
        trackers.end(INTERRUPTED if isinstance(error, Interrupted) else FAILED)
        raise
    trackers.on_failure = print
    trackers.end(FINISHED)


def artefacts(folder: Path) -> list[Path]:
    """The files of a run folder that trackers get: the report, pictures, films, and what JSON files say of the run."""
    named = [folder / name for name in _ARTEFACTS]
    return [
        path for path in (*named, *sorted(folder.glob("*.png")), *sorted(folder.glob("videos/*.gif"))) if path.is_file()
    ]


def _stored_ids(folder: Path) -> dict[str, str]:
    if not (folder / IDS).is_file():
        return {}
    ids = read_json(folder / IDS)
    for name, run_id in ids.items():
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id):
            raise PrudentError(
                f"{folder / IDS} is damaged: the run of {name} is no id; remove the file to begin a new run"
            )
    return ids

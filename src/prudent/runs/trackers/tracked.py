"""The trackers of a run, from its beginning to its end."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from prudent.errors import Interrupted, PrudentError, in_one_line
from prudent.runs.folder import read_json, write_json
from prudent.runs.metrics import Logger, events
from prudent.runs.trackers.tracker import FAILED, FINISHED, INTERRUPTED, Tracked, Tracker

IDS = "trackers.json"
"""The file of a run folder that says, for each tracker by name, the ``id`` of its run and the last step ``sent``."""

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_ARTEFACTS = ("report.html", "config.json", "environment.json", "evaluation.json", "support.json", "value.json")


class Trackers(Logger):
    """Several trackers as one logger.

    One that fails gets nothing more, and ``on_failure`` is told once; ``metrics.jsonl`` has all figures anyway. Without
    ``on_failure`` the reasons wait in ``failures``.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.failures: list[str] = []
        self.on_failure: Callable[[str], None] = self.failures.append
        self._open: dict[str, Tracker] = {}
        self._stored = _read(folder)

    def begin(self, types: Mapping[str, type[Tracker]], names: Sequence[str], resume_at: int | None) -> None:
        """Open a run in each tracker, or go on with the one that ``trackers.json`` names, and say where it is.

        Figures up to the step ``resume_at`` that a tracker may not have, because the run was killed or the tracker had
        failed, are handed over from ``metrics.jsonl``.
        """
        config = read_json(self.folder / "config.json")
        config["train"] = {key: value for key, value in config.get("train", {}).items() if key != "sources"}
        for name, kind in types.items():
            self._attempt(name, partial(self._begin, name, kind, names, config, resume_at))

    def _begin(
        self, name: str, kind: type[Tracker], names: Sequence[str], config: Mapping[str, Any], resume_at: int | None
    ) -> None:
        known = self._stored.get(name, {})
        tracker = kind.open(Tracked(self.folder, names, config, known.get("id"), known.get("sent", -1)))
        if known.get("id") not in (None, tracker.run_id):
            print(f"{name}: the run {known['id']} is not there any more: a new one begins")
            tracker.sent = -1
        self._open[name] = tracker
        print(tracker.place, flush=True)
        self._keep(name, tracker)
        for event in events(self.folder / "metrics.jsonl") if resume_at is not None else ():
            if event["step"] <= resume_at:
                figures = {key: value for key, value in event.items() if "/" in key}
                tracker.log(event["step"], figures, [event["member"]])

    def _keep(self, name: str, tracker: Tracker) -> None:
        """Write down which run it is and what it has."""
        self._stored[name] = {"id": tracker.run_id, "sent": tracker.sent}
        write_json(self.folder / IDS, self._stored, durable=False)

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Hand the event to each; see :class:`Logger`."""
        self._each(lambda tracker: tracker.log(step, metrics, members))

    def sync(self) -> None:
        """Hand over what waits."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, partial(self._sync, name, tracker))

    def _sync(self, name: str, tracker: Tracker) -> None:
        tracker.sync()
        if tracker.keeps:
            self._keep(name, tracker)

    def close(self) -> None:
        """Hand over what waits."""
        self.sync()

    def end(self, state: str) -> None:
        """Attach report and pictures, and end each run."""
        self.sync()
        paths = artefacts(self.folder)
        for name, tracker in list(self._open.items()):
            self._attempt(name, partial(self._end, name, tracker, paths, state))

    def _end(self, name: str, tracker: Tracker, paths: Sequence[Path], state: str) -> None:
        tracker.attach(paths)
        tracker.end(state)
        self._keep(name, tracker)

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            self._attempt(name, partial(action, tracker))

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - trackers and their networks raise anything
            tracker = self._open.pop(name, None)
            if tracker is not None:
                with suppress(Exception):  # what failed is said below
                    tracker.abandon()
            reason = in_one_line(error, with_kind=True)[:300]
            self.on_failure(f"{name} gets nothing more, metrics.jsonl has all figures: {reason}")


@contextmanager
def tracked(
    types: Mapping[str, type[Tracker]], folder: Path, names: Sequence[str], resume_at: int | None
) -> Iterator[Trackers]:
    """The trackers of a training inside the ``with`` block, which ends after the report was written."""
    trackers = Trackers(folder)
    trackers.begin(types, names, resume_at)
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


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """The content of ``trackers.json``, which somebody else may have written."""
    if not (folder / IDS).is_file():
        return {}
    stored = read_json(folder / IDS)
    for name, entry in stored.items():
        run_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(run_id, str) or not _ID.fullmatch(run_id) or type(entry.get("sent")) is not int:
            raise PrudentError(f"{folder / IDS} is damaged ({name}): remove it, and trackers begin new runs")
    return stored

"""What every tracker does."""

import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from prudent.runs.metrics import Logger, rows

PROJECT = "prudent"
"""Name of the W&B project or MLflow experiment, unless the user's environment names one."""

FINISHED, INTERRUPTED, FAILED = "finished", "interrupted", "failed"
"""How a run may end."""


@dataclass(frozen=True)
class Tracked:
    """The run that a tracker shows.

    Attributes:
        folder: its run folder.
        names: the names of its members.
        config: its ``config.json``, without where the data are.
        run_id: the tracker's own id of this run; None if it has none yet.
        sent: the last step whose figures the tracker surely has; -1 if it has none.
    """

    folder: Path
    names: Sequence[str]
    config: Mapping[str, Any]
    run_id: str | None = None
    sent: int = -1


class Tracker(Logger):
    """One run of a tracker.

    Figures wait until :meth:`sync`, which comes right before each checkpoint: a resumed run, which computes the steps
    after its checkpoint again, sends none twice. With one member a figure has its documented name, with several
    ``eval/return/NAME`` for the member of that name.
    """

    keeps: ClassVar[bool]
    """Whether figures are on a disk or a server once :meth:`send` returns, so that a kill cannot lose them."""

    def __init__(self, run: Tracked):
        self.run, self.sent = run, run.sent
        self._labels = labels(run.names)
        self._waiting: dict[int, dict[str, float]] = {}

    @classmethod
    @abstractmethod
    def open(cls, run: Tracked) -> Self:
        """Begin a run, or go on with the one of ``run.run_id``."""

    @property
    @abstractmethod
    def run_id(self) -> str:
        """The tracker's own id of the run."""

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the run is, for the user: one sentence without a full stop."""

    @abstractmethod
    def send(self, lines: Mapping[int, Mapping[str, float]]) -> None:
        """Hand over figures by step and name; steps rise. What is infinite is NaN."""

    @abstractmethod
    def attach(self, paths: Sequence[Path]) -> None:
        """Hand over files of the run folder, as artefacts."""

    @abstractmethod
    def end(self, state: str) -> None:
        """End the run as :data:`FINISHED`, :data:`INTERRUPTED` or :data:`FAILED`."""

    def abandon(self) -> None:
        """Let go of a run after a failure; may fail, too."""

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """Keep the figures for the next :meth:`sync`, unless they were sent already."""
        if step <= self.sent:
            return
        members = range(len(self._labels)) if members is None else members
        line = self._waiting.setdefault(int(step), {})
        for member, row in zip(members, rows(metrics, len(members)), strict=True):
            label = self._labels[member]
            for name, figure in row.items():
                line[f"{name}/{label}" if label else name] = figure if math.isfinite(figure) else math.nan

    def sync(self) -> None:
        """Hand over what waits."""
        lines, self._waiting = dict(sorted(self._waiting.items())), {}
        if lines:
            self.send(lines)
            self.sent = max(lines)

    def close(self) -> None:
        """Hand over what waits; :meth:`end` ends the run."""
        self.sync()


def labels(names: Sequence[str]) -> list[str]:
    """What stands behind the names of figures, for each member: nothing for a single one, else distinct texts.

    ``alpha=5,seed=0`` becomes ``alpha_5 seed_0``: trackers take letters, digits and ``_-. /`` only.
    """
    if len(names) == 1:
        return [""]
    plain = [re.sub(r"[^A-Za-z0-9_.\- ]", "_", name.replace(",", " ")).strip()[:120] for name in names]
    return [f"{text}-{i}" if not text or plain.count(text) > 1 else text for i, text in enumerate(plain)]


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings as one level: ``{"train": {"steps": 5}}`` as ``{"train.steps": 5}``."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{before}{key}.")
        else:
            result[f"{before}{key}"] = value
    return result

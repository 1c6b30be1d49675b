"""Callbacks: code of your own that is told what a training does, and that may stop it.

A callback is an object with one or more of the five methods of :class:`Callback`. They are called in the order of the
callbacks, in the process that trains, between two steps. Without callbacks nothing is called and nothing is computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prudent.engine.population import Population
from prudent.errors import ConfigError, in_one_line
from prudent.runs.metrics import to_plain

EVENTS = ("began", "stepped", "evaluated", "saved", "ended")

Figures = Mapping[str, np.ndarray]
"""Metrics by the names of ``metrics.jsonl``, float64: one figure per member (P,), or () if it is one for all. NaN where
a member has none."""


class Training:
    """What a callback gets to see of a training.

    Attributes:
        population: what trains. It acts in the units of the log (``act``, ``q_value``); change nothing in it.
        names: the members' names; figures (P,) are in this order.
        steps: the step at which training ends if nobody stops it.
        folder: the run folder, or None.
    """

    def __init__(self, population: Population, steps: int, folder: Path | None = None):
        self.population, self.steps, self.folder = population, steps, folder
        self.names = list(population.names)
        self.stopped_by, self.reason = "", ""
        self._caller = ""

    @property
    def step(self) -> int:
        """Steps made so far; a training that goes on counts those before."""
        return self.population.state.step

    def stop(self, reason: str = "") -> None:
        """End the training here: logged, evaluated and saved as after its last step.

        The first one to ask is named in ``status.json``. All members train together, so all of them stop.
        """
        if not self.stopped_by:
            self.stopped_by, self.reason = self._caller or "the program", " ".join(str(reason).split())

    @property
    def message(self) -> str:
        """Who stopped it at which step, and why; empty if nobody did."""
        if not self.stopped_by:
            return ""
        why = f": {self.reason}" if self.reason else ""
        return f"stopped by {self.stopped_by} at step {self.step} of {self.steps}{why}"


class Callback:
    """The five methods of a callback, which do nothing here: inherit and write those that you need.

    An object of any other class with one of these methods is a callback too. One that is of no use without evaluations
    in an environment says so by ``needs_evaluations``; then it is refused before anything is written.
    """

    needs_evaluations: bool = False

    def began(self, training: Training) -> None:
        """Called once, before the first step."""

    def stepped(self, training: Training, metrics: Figures) -> None:
        """Called every ``log_every`` steps and after the last one, with the means since the last time (``train/``)."""

    def evaluated(self, training: Training, metrics: Figures) -> None:
        """Called after each evaluation in the environment (``eval/``): only with a run folder and ``env``."""

    def saved(self, training: Training, checkpoint: Path) -> None:
        """Called after each checkpoint, with its folder, which is complete: only with a run folder."""

    def ended(self, training: Training, state: str, message: str) -> None:
        """Called once at the end. ``state`` is finished, stopped (by a callback), interrupted or failed."""


class Callbacks:
    """The callbacks of one training. After an exception in one of them, only ``ended`` is still called."""

    def __init__(self, callbacks: Sequence[Any], training: Training):
        self.callbacks, self.training, self.failed = list(callbacks), training, False

    def __bool__(self) -> bool:
        return bool(self.callbacks)

    def call(self, event: str, *details: Any) -> None:
        """Call the method ``event`` of every callback that has one.

        Raises:
            Exception: whatever a callback raises, with a note that names it.
        """
        if self.failed:
            return
        for callback in self.callbacks:
            self._call(callback, event, *details)

    def _call(self, callback: Any, event: str, *details: Any) -> None:
        method = getattr(callback, event, None)
        if method is None:
            return
        self.training._caller = type(callback).__name__
        try:
            method(self.training, *details)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            self.failed = True
            error.add_note(f"raised by the callback {type(callback).__name__}.{event} at step {self.training.step}")
            raise
        finally:
            self.training._caller = ""

    def tell(self, event: str, metrics: Mapping[str, Any]) -> None:
        """:meth:`call` with metrics as a :data:`Figures`."""
        if self.callbacks:
            self.call(event, figures(metrics))

    def end(self, state: str, message: str) -> None:
        """Call ``ended`` of all, also if one of them raises.

        Raises:
            Exception: the first one that was raised.
        """
        first: Exception | None = None
        for callback in self.callbacks:
            try:
                self._call(callback, "ended", state, message)
            except Exception as error:  # noqa: BLE001 - the others still have to be told
                first = first or error
        if first is not None:
            raise first


@contextmanager
def noted_on(first: BaseException) -> Iterator[None]:
    """An exception inside is noted on the one that came first, which matters more."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - callbacks raise anything
        first.add_note(f"and then: {in_one_line(error, with_kind=True)}")


def figures(metrics: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Metrics as arrays of float64, NaN where nothing was measured."""
    return {name: np.array(to_plain(value), dtype=np.float64) for name, value in metrics.items()}


def check_callbacks(callbacks: Any, env: str | None) -> None:
    """Refuse what can never be called in a training that is evaluated in ``env``, or never.

    Raises:
        ConfigError: ``callbacks`` is no list, one has none of the five methods, or one needs evaluations.
    """
    if not isinstance(callbacks, Sequence) or isinstance(callbacks, str):
        raise ConfigError(f"callbacks must be a list, got {callbacks!r}")
    for callback in callbacks:
        if isinstance(callback, type):
            raise ConfigError(f"{callback.__name__} is a class: hand over an object, {callback.__name__}(...)")
        if not any(callable(getattr(callback, event, None)) for event in EVENTS):
            raise ConfigError(f"{callback!r} is no callback: it has none of the methods {', '.join(EVENTS)}")
        if getattr(callback, "needs_evaluations", False) and env is None:
            raise ConfigError(f"{type(callback).__name__} waits for evaluations: give an environment (env) and out")

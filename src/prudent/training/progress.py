"""Progress on the screen: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any, Self, TextIO

from prudent.errors import printable
from prudent.progress import PATIENCE, PAUSE, clock_face, hosted, is_quiet
from prudent.runs.metrics import to_plain

KEY_METRICS = (
    "train/critic_loss",
    "train/actor_loss",
    "train/cql_gap",
    "eval/return",
    "eval/normalized_score",
)
"""The metrics shown in a progress line."""


class Progress:
    """Steps made, rate, and time left.

    On a terminal :meth:`update` moves a bar. Elsewhere (a file, a pipe, CI) :meth:`log` prints a plain line, and
    :meth:`update` one after five seconds of silence, later after thirty. The rate is that since the last event. The
    time left follows from the steps of this process so far, evaluations included. Waits inside, such as an evaluation,
    are shown beside the bar or in lines of their own.

    Args:
        total: steps in all.
        start: steps already made; above 0 for a resumed run.
        stream: where to print; None is stdout.
        keys: the metrics to show.
        clock: gives seconds.
    """

    def __init__(
        self,
        total: int,
        start: int = 0,
        stream: TextIO | None = None,
        keys: Sequence[str] = KEY_METRICS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.start, self.keys = total, start, tuple(keys)
        self._stream, self._clock = stream or sys.stdout, clock
        self._began = self._shown = clock()
        self._last = (start, self._began)
        self._pace, self._left, self._figures, self._aside = "", "?", {}, ""
        self._silence = PATIENCE
        self._step = start
        drawn = self._stream.isatty() and not is_quiet()
        self._bar = _rich_bar(getattr(self._stream, "terminal", self._stream), total, start) if drawn else None

    def update(self, step: int) -> None:
        """Move the bar, or break a long silence. May be called at every step: mostly it only looks at the clock."""
        self._step = step
        if (now := self._clock()) - self._shown < (self._silence if self._bar is None else 0.1):
            return
        self._shown = now
        moved = self._measure(step, now)
        if self._bar is not None:
            self._draw(step)
        elif moved:
            self._line(step, [self._pace, f"ETA {self._left}"])

    def log(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Show the key metrics of an event, as means over members."""
        now = self._clock()
        moved = self._measure(step, now)
        if "time/steps_per_second" in metrics:
            # The rate without evaluations, as in metrics.jsonl.
            self._pace = _pace(metrics["time/steps_per_second"])
        elif metrics and all(name.startswith("eval/") for name in metrics):
            moved = False
        self._last = (step, now)
        means = {key: _mean(metrics.get(key)) for key in self.keys}
        shown = {key.split("/")[-1]: f"{mean:.4g}" for key, mean in means.items() if mean is not None}
        self._figures |= shown
        self._step = step
        if self._bar is not None:
            self._draw(step)
            return
        self._shown = now
        parts = [self._pace, f"ETA {self._left}"] if moved else []
        self._line(step, parts + [f"{name} {figure}" for name, figure in shown.items()])

    def aside(self, text: str) -> bool:
        """Show how far another wait is, such as an evaluation; an empty text says that it is over.

        Returns whether it may be renewed often, as on a terminal.
        """
        self._aside, self._shown = text, self._clock()
        if self._bar is not None:
            self._draw(self._step)
            with suppress(OSError, ValueError):
                self._bar.refresh()
        elif text:
            self._print(text)
        return self._bar is not None

    def say(self, text: str) -> None:
        """Print a line, above the bar if there is one."""
        if self._bar is None:
            self._print(text)
            return
        with suppress(OSError, ValueError):  # the terminal is gone
            self._bar.console.print(printable(text), markup=False, highlight=False)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.stop()

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(hosted(self))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self.close()

    def _measure(self, step: int, now: float) -> bool:
        """Compute rate and time left; False if no step was made since the last event."""
        steps, seconds = step - self._last[0], max(now - self._last[1], 1e-9)
        if steps <= 0:
            return False
        self._pace = _pace(steps / seconds)
        self._left = clock_face((self.total - step) * (now - self._began) / (step - self.start))
        return True

    def _draw(self, step: int) -> None:
        assert self._bar is not None
        figures = "  ".join(f"{name} {figure}" for name, figure in self._figures.items())
        pace = self._pace
        if self._aside:
            pace, figures = self._aside, ""  # a terminal has no room for both
        task = self._bar.task_ids[0]
        with suppress(OSError, ValueError):
            self._bar.update(task, completed=step, pace=pace, left=self._left, figures=figures)

    def _line(self, step: int, parts: Sequence[str]) -> None:
        """Print a line about a step, unless all progress is off."""
        if not is_quiet():
            self._silence = PAUSE
            self._print("  ".join([f"step {step:>{len(str(self.total))}}/{self.total}", *parts]))

    def _print(self, text: str) -> None:
        """Print a line. A reader that has gone, or a full disk, must not stop a training."""
        with suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)


def _rich_bar(stream: TextIO, total: int, start: int):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[pace]}", markup=False),
        TextColumn("ETA {task.fields[left]}"),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    bar = Bar(*columns, console=Console(file=stream), refresh_per_second=10)
    bar.add_task("", total=total, completed=start, pace="", left="?", figures="")
    bar.start()
    return bar


def _mean(value: Any) -> float | None:
    """Mean over members; None if nothing was measured, NaN if a figure is NaN."""
    figures = to_plain(value)
    column = figures if isinstance(figures, (list, tuple)) else [figures]
    measured = [figure for figure in column if figure is not None]
    return sum(measured) / len(measured) if measured else None


def _pace(steps_per_second: float) -> str:
    return f"{steps_per_second:.4g} steps/s  {1000 / steps_per_second:.3g} ms/step"

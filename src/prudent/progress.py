"""Waits that say how far they are: after five seconds, on standard error.

A loop that may take long opens a :class:`Wait` and tells it of every step::

    with Wait("fitting", steps, "steps") as wait:
        for step in range(steps):
            ...
            wait.update(step + 1)

Inside :func:`quiet` nothing is shown.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, Self, TextIO, TypeVar

from prudent.errors import printable

PATIENCE = 5.0
"""Seconds without a word before a wait is shown."""
PAUSE = 30.0
"""Seconds between two lines where there is no terminal. A terminal's line is renewed every half second."""
_RENEWED = 0.5

T = TypeVar("T")


class Host(Protocol):
    """What has the screen for longer, such as the bar of a training: waits inside are shown in its place."""

    def aside(self, text: str) -> None:
        """Show how far a wait is; an empty text says that it is over."""
        ...


_hosts: list[Host] = []
_quiet = False


@contextmanager
def quiet(silent: bool = True) -> Iterator[None]:
    """Show no progress inside the ``with`` block; with ``silent=False`` the block changes nothing."""
    global _quiet
    before = _quiet
    _quiet = before or silent
    try:
        yield
    finally:
        _quiet = before


def is_quiet() -> bool:
    """Whether no progress is shown now."""
    return _quiet


@contextmanager
def hosted(host: Host) -> Iterator[None]:
    """Waits inside the ``with`` block are shown by ``host``."""
    _hosts.append(host)
    try:
        yield
    finally:
        _hosts.remove(host)


class Wait:
    """How far a loop is and how long it still takes, shown once it has taken :data:`PATIENCE` seconds.

    On a terminal one line renews itself and disappears at the end. Elsewhere (a file, a pipe, a notebook) a line comes
    every :data:`PAUSE` seconds.

    Args:
        what: what is done, such as ``reading log.csv``.
        total: how much there is to do; None if that is not known. Then the time so far is shown.
        unit: of what is counted, such as ``rows``; without one the share in per cent is shown.
        stream: where to write; None is standard error.
        clock: gives seconds.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        unit: str = "",
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.what, self.total, self.unit = what, total, unit
        self._stream, self._clock = stream, clock
        self._began = clock()
        self._next = self._began + PATIENCE
        self._done, self._width, self._host = 0.0, 0, None

    def update(self, done: float) -> None:
        """Say how much is done. May be called at every step: mostly it only looks at the clock."""
        self._done = done
        if (now := self._clock()) >= self._next:
            self._show(now)

    def advance(self, more: float = 1) -> None:
        """:meth:`update` by so much more."""
        self.update(self._done + more)

    def each(self, items: Sequence[T]) -> Iterator[T]:
        """The items one after the other, each counted when the next one is asked for."""
        for item in items:
            yield item
            self.advance()

    def text(self, now: float) -> str:
        """The line as it is shown at ``now``."""
        seconds, parts = now - self._began, [self.what]
        known = self.total is not None and self.total > 0
        share = min(self._done / self.total, 1.0) if known and self.total else 0.0
        if self.unit:
            parts.append(
                f"{self._done:,.0f}/{self.total:,.0f} {self.unit}" if known else f"{self._done:,.0f} {self.unit}"
            )
        elif known:
            parts.append(f"{share:.0%}")
        parts.append(f"{clock_face(seconds * (1 - share) / share)} left" if share else f"{clock_face(seconds)} so far")
        return "  ".join(parts)

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._host is not None:
            self._host.aside("")
        if self._width:
            self._write("\r" + " " * self._width + "\r")
        self._width, self._host, self._next = 0, None, float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show(self, now: float) -> None:
        stream = self._stream or sys.stderr
        if _quiet or stream is None:
            self._next = now + PAUSE
            return
        text = printable(self.text(now))
        if self._stream is None and _hosts:
            self._host = _hosts[-1]
            self._host.aside(text)
            self._next = now + (_RENEWED if sys.stdout is not None and _is_terminal(sys.stdout) else PAUSE)
        elif _is_terminal(stream):
            padded = text.ljust(self._width)
            self._width = len(text)
            self._write(f"\r{padded}")
            self._next = now + _RENEWED
        else:
            self._write(f"{text}\n")
            self._next = now + PAUSE

    def _write(self, text: str) -> None:
        """Write. A reader that has gone, or a full disk, must not stop the work."""
        stream = self._stream or sys.stderr
        with suppress(OSError, ValueError):
            # The command line's screen passes on no control characters; the terminal behind it takes them.
            target = getattr(stream, "terminal", stream) if text.startswith("\r") else stream
            target.write(text)
            target.flush()


def _is_terminal(stream: TextIO) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return stream.isatty()
    return False


def clock_face(seconds: float) -> str:
    """``1:02:03``; ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

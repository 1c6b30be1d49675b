"""Waits that say how far they are: after five seconds, on standard error.

A loop that may take long goes through :func:`watched`, or opens a :class:`Wait` and tells it how far it is::

    for step in watched(range(steps), "fitting", "steps"):
        ...

Inside :func:`quiet` nothing is shown.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from typing import Protocol, Self, TextIO, TypeVar

from prudent.errors import printable

PATIENCE = 5.0
"""Seconds without a word before a wait is shown."""
PAUSE = 30.0
"""Seconds between two lines where there is no terminal. A terminal's line is renewed every half second."""
_RENEWED = 0.5
_GRACE = 1.0  # seconds for a wait inside another one: it knows more, and is shown first

T = TypeVar("T")


class Host(Protocol):
    """What has the screen for longer, such as the bar of a training: waits inside are shown in its place."""

    def aside(self, text: str) -> bool:
        """Show how far a wait is; an empty text says that it is over. Returns whether it may be renewed often."""
        ...


_clock = time.monotonic
_hosts: list[Host] = []
_open: list["Wait"] = []  # the innermost comes last
_quiet = False
_drawn = 0  # characters of the line on the terminal


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
    every :data:`PAUSE` seconds. Of several waits inside each other the innermost that is under way is shown.

    Args:
        what: what is done, such as ``reading log.csv``.
        total: how much there is to do; None if that is not known. Then the time so far is shown.
        unit: of what is counted, such as ``rows``; without one the share in per cent is shown.
        stream: where to write; None is standard error.
        clock: gives seconds; None is a clock that only goes forward.
    """

    def __init__(
        self,
        what: str,
        total: float | None = None,
        unit: str = "",
        stream: TextIO | None = None,
        clock: Callable[[], float] | None = None,
    ):
        self.what, self.total, self.unit = what, total, unit
        self._stream, self._clock = stream, clock or _clock
        self._began = self._clock()
        self._next = self._began + PATIENCE
        self._done, self._is_shown = 0.0, False
        self._host: Host | None = None

    def update(self, done: float) -> None:
        """Say how much is done. May be called at every step: mostly it only looks at the clock."""
        self._done = done
        if (now := self._clock()) >= self._next:
            self._show(now)

    def advance(self, more: float = 1) -> None:
        """:meth:`update` by so much more."""
        self.update(self._done + more)

    def text(self, now: float) -> str:
        """The line as it is shown at ``now``."""
        seconds, parts, total = now - self._began, [self.what], self.total or 0
        share = min(self._done / total, 1.0) if total > 0 else 0.0
        if self.unit and total > 0:
            parts.append(f"{self._done:,.0f}/{total:,.0f} {self.unit}")
        elif self.unit:
            parts.append(f"{self._done:,.0f} {self.unit}")
        elif total > 0:
            parts.append(f"{share:.0%}")
        parts.append(f"{clock_face(seconds * (1 - share) / share)} left" if share else f"{clock_face(seconds)} so far")
        return "  ".join(parts)

    def close(self) -> None:
        """Remove the line from the terminal. A later update shows it again."""
        if self in _open:
            _open.remove(self)
        if self._host is not None:
            self._host.aside("")
        elif self._is_shown:
            _draw(self._stream or sys.stderr, "")
        self._is_shown, self._host = False, None

    def __enter__(self) -> Self:
        if _open:
            # The waits around it have counted down already.
            self._next = max(self._began + _GRACE, min(wait._next for wait in _open))
        _open.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _show(self, now: float) -> None:
        stream = self._stream or sys.stderr
        inner = _open[_open.index(self) + 1 :] if self in _open else []
        if any(wait._is_shown for wait in inner) or (inner and now < self._next + _GRACE):
            return
        self._next = now + PAUSE
        if _quiet or stream is None:
            return
        text, self._is_shown = printable(self.text(now)), True
        if self._stream is None and _hosts:
            self._host = _hosts[-1]
            if self._host.aside(text):
                self._next = now + _RENEWED
        elif _is_terminal(stream):
            _draw(stream, text)
            self._next = now + _RENEWED
        else:
            _write(stream, f"{text}\n")
            for wait in _open:  # one line for all of them
                wait._next = max(wait._next, self._next)


def watched(items: Iterable[T], what: str, unit: str, total: float | None = None) -> Iterator[T]:
    """The items one after the other, as a :class:`Wait`; ``total`` is their number where they have no length."""
    with Wait(what, len(items) if isinstance(items, Sized) else total, unit) as wait:
        for item in items:
            yield item
            wait.advance()


@contextmanager
def ticking(what: str, total: float | None = None, unit: str = "") -> Iterator[Wait]:
    """A wait whose steps take long, or that has none: a thread shows it, unless a wait inside shows more.

    Also a decorator, of functions that are called in the main thread.
    """
    done = threading.Event()
    with Wait(what, total, unit) as wait:

        def tick() -> None:
            while not done.wait(_RENEWED):
                wait.advance(0)

        thread = threading.Thread(target=tick, name="progress", daemon=True)
        thread.start()
        try:
            yield wait
        finally:
            done.set()
            thread.join()


def clear() -> None:
    """Remove the line of a wait from the terminal, such as one that ended with an error."""
    if sys.stderr is not None:
        _draw(sys.stderr, "")


def _draw(stream: TextIO, text: str) -> None:
    """Replace the line on a terminal; an empty text removes it."""
    global _drawn
    if text or _drawn:
        # The command line's screen passes on no control characters; the terminal behind it takes them.
        _write(getattr(stream, "terminal", None) or stream, f"\r{text.ljust(_drawn)}" + ("" if text else "\r"))
    _drawn = len(text)


def _write(stream: TextIO, text: str) -> None:
    """Write. A reader that has gone, or a full disk, must not stop the work."""
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return stream.isatty()
    return False


def clock_face(seconds: float) -> str:
    """``1:02:03``; ``2:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

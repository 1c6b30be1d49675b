"""Signals that stop a training, and advice for a user who presses Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
"""Ctrl-C, what schedulers send before they take a machine away, and the end of the terminal. Windows has fewer."""

_active: list[list[int]] = []
"""The list that currently collects requests; empty outside of :func:`stop_requests`."""


@contextmanager
def advice_on_interrupt(advice: str) -> Iterator[None]:
    """Put ``advice`` into the message of a KeyboardInterrupt that leaves the block.

    Inside :func:`stop_requests` that is only the second Ctrl-C: the first one is a request.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {advice}") from None


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that receives the number of the first stop signal. A second signal acts at once, as usual.

    Nested blocks share the outer list, so that a signal between two trainings is not lost.
    """
    if _active:
        yield _active[-1]
        return
    received: list[int] = []
    previous: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: Any) -> None:
        received.append(number)
        restore()

    try:
        for number in STOP_SIGNALS:
            # A signal that is ignored stays ignored: nohup ignores SIGHUP, so that a run outlives its terminal.
            if signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, handle)
    except ValueError:
        # Only the main thread may set handlers. A run in another thread is stopped by whoever started the thread.
        previous.clear()
    _active.append(received)
    try:
        yield received
    finally:
        _active.clear()
        restore()

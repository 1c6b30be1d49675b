"""How a run ended, for what is made of it: one that still trains, or was killed, is not there to build on yet."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def advice_on_interrupt(advice: str) -> Iterator[None]:
    """A Ctrl-C that ends what is done in here at once, without anything more being saved, says ``advice``."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {advice}") from None


STOPPED_BY = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
"""Ctrl-C, and what schedulers send before they take a machine away (SIGUSR1 by arrangement; Windows has none)."""


_collecting: list[list[int]] = []
"""The list of the requests that are being collected, if any are."""


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collects the first of the signals in :data:`STOPPED_BY`; a second one acts as it always did: at once.

    Within another of these it is the other one's list, so that no request is forgotten between two trainings.
    """
    if _collecting:
        yield _collecting[-1]
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
        for number in STOPPED_BY:
            previous[number] = signal.signal(number, handle)
    except ValueError:
        # Only the main thread may set handlers; a run in another thread is stopped by its owner.
        previous.clear()
    _collecting.append(received)
    try:
        yield received
    finally:
        _collecting.clear()
        restore()

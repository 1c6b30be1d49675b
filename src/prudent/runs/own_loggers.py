"""Loggers that installed packages offer: a function that makes one for a run, found by its name.

A package says in its ``pyproject.toml``::

    [project.entry-points."prudent.loggers"]
    my_tracker = "my_package.tracking:logger"

The function is called as ``logger(folder, names, resume_at)``: the run folder, the members' names, and the step after
which a resumed run goes on (None for a new one). It returns a :class:`prudent.runs.metrics.Logger`. What it or the
logger raises is one line; an OSError stays one, so that a full disk is treated as everywhere else.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError, PrudentError
from prudent.runs.metrics import Logger
from prudent.user_code import entry_points
from prudent.user_code.raised import one_line

METHODS = ("log", "sync", "close")


def names() -> list[str]:
    """The names of loggers that installed packages offer; nothing is imported."""
    return entry_points.names(entry_points.LOGGERS)


def found(name: str) -> tuple[Callable[..., Any], str]:
    """The function that makes the logger of that name, and what to call it in a message; no logger is made.

    Raises:
        ConfigError: nobody offers it, it cannot be imported, or it is no function.
    """
    make = entry_points.load(entry_points.LOGGERS, name)
    title = f"logger {name} ({entry_points.package(entry_points.LOGGERS, name)})"
    if not callable(make):
        raise ConfigError(f"{title} is {type(make).__name__}, expected a function of (folder, names, resume_at)")
    return make, title


def opened(name: str, folder: Path, members: Sequence[str], resume_at: int | None = None) -> Logger:
    """The logger of that name for the run in ``folder``.

    Raises:
        ConfigError: nobody offers it, it cannot be imported, raised, or made no logger.
    """
    make, title = found(name)
    with one_line(title, make, PrudentError, OSError):
        logger = make(folder, list(members), resume_at)
    lacking = [method for method in METHODS if not callable(getattr(logger, method, None))]
    if lacking:
        raise ConfigError(
            f"{title} made {type(logger).__name__}, which has no {lacking[0]}: see runs/metrics.py, Logger"
        )
    return _Guarded(logger, title)


class _Guarded(Logger):
    """A logger whose errors are one line, with the line of the file that raised them."""

    def __init__(self, logger: Any, title: str):
        self._logger, self._title = logger, title

    def log(self, step: int, metrics: Mapping[str, Any], members: Sequence[int] | None = None) -> None:
        """See :class:`prudent.runs.metrics.Logger`."""
        self._call(self._logger.log, step, metrics, members)

    def sync(self) -> None:
        """See :class:`prudent.runs.metrics.Logger`."""
        self._call(self._logger.sync)

    def close(self) -> None:
        """See :class:`prudent.runs.metrics.Logger`."""
        self._call(self._logger.close)

    def _call(self, method: Callable[..., None], *arguments: Any) -> None:
        with one_line(self._title, method, PrudentError, OSError):
            method(*arguments)

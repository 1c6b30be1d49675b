"""Entry points: what installed packages offer under a name, such as an algorithm or a reader.

A package says in its ``pyproject.toml``::

    [project.entry-points."prudent.algorithms"]
    my_cql = "my_package.my_cql"

Nothing is imported before it is asked for by its name.
"""

import importlib.metadata
from typing import Any

from prudent.errors import ConfigError
from prudent.user_code.raised import reason

ALGORITHMS, READERS, LOGGERS = "prudent.algorithms", "prudent.readers", "prudent.loggers"
"""The groups: modules that keep the contract of :mod:`prudent.algorithms`; functions from a path to a ``Dataset``,
named after the suffix they read; functions that make a logger."""


def names(group: str) -> list[str]:
    """The names that installed packages have in a group."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=group)})


def package(group: str, name: str) -> str:
    """``my-package 1.2``, which offers that name; empty if nobody does."""
    for point in importlib.metadata.entry_points(group=group, name=name):
        return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
    return ""


def load(group: str, name: str) -> Any:
    """What a package offers under that name, imported now.

    Raises:
        ConfigError: nobody offers it, several packages do, or importing it failed.
    """
    points = list(importlib.metadata.entry_points(group=group, name=name))
    if not points:
        raise ConfigError(f"no installed package has an entry point {name!r} in {group}")
    if len({point.value for point in points}) > 1:
        offered = " and ".join(sorted(point.value for point in points))
        raise ConfigError(f"{offered} are both called {name} ({group}): uninstall one of them")
    try:
        return points[0].load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"{name} ({points[0].value}, {package(group, name)}): {reason(error)}") from error

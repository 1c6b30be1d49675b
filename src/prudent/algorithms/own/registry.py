"""The algorithms of their own that users gave in this process, and those that installed packages offer."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from prudent.algorithms.own.contract import broken
from prudent.algorithms.own.guarded import guarded
from prudent.errors import ConfigError
from prudent.user_code import entry_points, importing
from prudent.user_code.importing import Source

OWN = "__own__"
"""The attribute of a guarded module that says where it came from."""

_NAME = re.compile(r"[A-Za-z0-9]\w*")


@dataclass(frozen=True)
class Own:
    """An algorithm of the user's: its guarded module, the file it came from, and the package that offers it, if any."""

    name: str
    module: ModuleType
    source: Source
    package: str = ""

    def described(self) -> dict[str, str]:
        """For ``config.json`` and checkpoints: the file's name and its SHA-256."""
        package = {"package": self.package} if self.package else {}
        return {"file": self.source.path.name, "sha256": self.source.sha256, **package}


_taken: dict[str, Own] = {}


def given(name: str) -> Own | None:
    """The algorithm of that name, if it was given before or an installed package offers it."""
    if name not in _taken and name in entry_points.names(entry_points.ALGORITHMS):
        module = entry_points.load(entry_points.ALGORITHMS, name)
        package = entry_points.package(entry_points.ALGORITHMS, name)
        _taken[name] = _own(module, name, f"{name} ({package})", package)
    return _taken.get(name)


def given_names() -> list[str]:
    """Names of those that were given in this process."""
    return sorted(_taken)


def take(algorithm: Any) -> Own:
    """Take a module, or the path of a Python file; the file's name without ``.py`` is the algorithm's name.

    Given again, it is read again: what was made before keeps the code it was made with.

    Raises:
        ConfigError: it cannot be imported, does not keep the contract, or another file of that name was given before.
    """
    if isinstance(algorithm, ModuleType):
        module, source = algorithm, _source_of_module(algorithm)
    else:
        module, source = importing.file(Path(os.path.expanduser(algorithm)))  # which leaves an unknown ~user as it is
    name = source.path.stem
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{source.path.name}: an algorithm is named after its file: letters, digits and _ only")
    before = _taken.get(name)
    if before is not None and before.source.path != source.path and before.source.content != source.content:
        raise ConfigError(
            f"{source.path}: another algorithm is called {name} already, {before.source.path}: rename one of the files"
        )
    own = _own(module, name, source.path.name, source=source)
    _taken[name] = own
    return own


def forget(name: str) -> None:
    """Undo :func:`take`."""
    _taken.pop(name, None)


@contextmanager
def on_trial(module: Any, name: str, title: str) -> Iterator[None]:
    """Inside, ``module`` is the algorithm ``name``; what it lacks is not checked. For :mod:`prudent.testing`."""
    file = str(getattr(module, "__file__", None) or "")
    own = _taken[name] = Own(name, guarded(module, title, file), Source(Path(file or title), b""))
    setattr(own.module, OWN, own)
    try:
        yield
    finally:
        del _taken[name]


def _own(module: Any, name: str, title: str, package: str = "", source: Source | None = None) -> Own:
    problems = broken(module)
    if problems:
        more = f" (and {len(problems) - 1} more: prudent.testing.check_algorithm lists them)" if problems[1:] else ""
        raise ConfigError(f"{title} is no algorithm: {problems[0]}{more}")
    source = source or _source_of_module(module)
    own = Own(name, guarded(module, title, str(source.path)), source, package)
    setattr(own.module, OWN, own)
    return own


def _source_of_module(module: ModuleType) -> Source:
    importing.check_imported(module)
    file = getattr(module, "__file__", None)
    if not file or not str(file).endswith(".py"):
        raise ConfigError(f"{getattr(module, '__name__', module)} has no Python file, by which a run remembers it")
    return importing.source_of(Path(file))

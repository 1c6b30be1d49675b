"""Imports a file or a module that the user named. What it prints is no result and goes to standard error."""

import contextlib
import hashlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from prudent.errors import ConfigError, in_one_line
from prudent.user_code import working_folder
from prudent.user_code.raised import reason, where

MOST_BYTES = 16 << 20
"""A longer file is no code that anybody wrote."""


@dataclass(frozen=True)
class Source:
    """A file of code and the bytes that were run."""

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


def source_of(path: Path) -> Source:
    """The file with its bytes.

    Raises:
        ConfigError: there is no such file, it is too long or cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: {'a folder, expected a Python file' if path.is_dir() else 'no such file'}")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path} is longer than {MOST_BYTES >> 20} MiB, which is no Python file")
        return Source(path.resolve(), path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error


def file(path: Path) -> tuple[ModuleType, Source]:
    """The module of a Python file, run from the bytes that are returned beside it.

    The folder of the file is searched for further modules.

    Raises:
        ConfigError: there is no such file, or it raised: with its line.
    """
    source = source_of(path)
    full = source.path
    # Under a name of its own: a file random.py must not take the place of Python's module.
    title = f"prudent_file_{full.stem}_{abs(hash(str(full))):x}"
    specification = importlib.util.spec_from_file_location(title, full, loader=_Bytes(source))
    if specification is None or specification.loader is None:
        raise ConfigError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(specification)
    sys.modules[title] = module
    try:
        with _quietly(), working_folder.first_on_path(str(full.parent)):
            specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[title]
        if isinstance(error, KeyboardInterrupt):
            raise
        line = where(error, file=str(full)) or f"{path}: "
        raise ConfigError(f"{line}{reason(error)}") from error
    return module, source


class _Bytes(importlib.abc.SourceLoader):
    """Runs the bytes that were read, whatever the file holds by then."""

    def __init__(self, source: Source):
        self._source = source

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002
        return str(self._source.path)

    def get_data(self, path: str | bytes) -> bytes:
        if str(path) == str(self._source.path):
            return self._source.content
        raise OSError(f"{path!s} is not the file")


def check_imported(module: ModuleType) -> None:
    """Refuse a module of which Python cannot find the source again, which has the help of its settings.

    Raises:
        ConfigError: it was made by hand.
    """
    if sys.modules.get(module.__name__) is not module:
        raise ConfigError(f"{module.__name__} is not imported: import it, or give the path of its file")


def module(name: str, hint: str = "") -> ModuleType:
    """The module of this name; the working folder is searched for it first.

    Raises:
        ConfigError: there is none (the line ends with ``hint``), or it raised: with its line.
    """
    try:
        with _quietly(), working_folder.importable(f"{name}:"):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {name}{hint}") from error
        raise ConfigError(f"{name} cannot be imported: {in_one_line(error, with_kind=True)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConfigError(f"{name} cannot be imported: {where(error, file=_origin(name))}{reason(error)}") from error


def _origin(name: str) -> str:
    """The file of a module, without importing it; empty if it cannot be told."""
    try:
        specification = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ""
    return (specification.origin or "") if specification else ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Inside, importing prints to standard error, and writes no ``__pycache__`` beside the user's files."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.dont_write_bytecode = before

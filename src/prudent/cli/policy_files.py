"""Policies that a verb is given as ``rules.py:order_up_to`` or ``package.module:order_up_to``."""

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from prudent.errors import ConfigError, in_one_line

COLUMN = "target_prob"
"""The word for the policy whose probabilities the log has, and the key of a mapping that names their columns."""

_WORDS = re.compile(r"(?P<home>.+):(?P<name>[^:/\\]*)")


def is_policy(text: str) -> bool:
    """Whether a word names a function in a file or a module; a folder of that name is a run."""
    return _WORDS.fullmatch(text) is not None and not Path(text).is_dir()


def load(text: str) -> Any:
    """The function or policy that ``FILE.py:NAME`` or ``MODULE:NAME`` names; :data:`COLUMN` is returned as it is.

    The folder of the file is searched for further modules, for ``MODULE`` the working folder.

    Raises:
        ConfigError: there is no such file, module or function, or importing it failed: with the line of that file.
    """
    if text == COLUMN:
        return text
    words = _WORDS.fullmatch(text)
    if words is None or not words["name"]:
        raise ConfigError(f"{text}: a policy is given as FILE.py:FUNCTION or MODULE:FUNCTION")
    home, name = words["home"], words["name"]
    # What a file prints is no result.
    with contextlib.redirect_stdout(sys.stderr), _no_bytecode():
        module = _of_file(Path(home)) if home.endswith(".py") else _of_module(home)
    if not hasattr(module, name):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"{home} has no function {name}; it has {', '.join(functions[:20]) or 'none'}")
    return getattr(module, name)


@contextlib.contextmanager
def _no_bytecode() -> Iterator[None]:
    """Inside, importing writes no ``__pycache__`` beside the user's files."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _of_file(path: Path) -> ModuleType:
    from prudent.environments import working_folder
    from prudent.ope.user_code import where

    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    full = path.resolve()
    # Under a name of its own: a file random.py must not take the place of Python's module.
    title = f"prudent_policy_{full.stem}_{abs(hash(str(full))):x}"
    specification = importlib.util.spec_from_file_location(title, full)
    if specification is None or specification.loader is None:
        raise ConfigError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(specification)
    sys.modules[title] = module
    try:
        with working_folder.first_on_path(str(full.parent)):
            specification.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[title]
        if isinstance(error, KeyboardInterrupt):
            raise
        line = where(error, file=str(full)) or f"{path}: "
        raise ConfigError(f"{line}{_reason(error)}") from error
    return module


def _of_module(name: str) -> ModuleType:
    from prudent.environments import working_folder
    from prudent.ope.user_code import where

    try:
        with working_folder.importable(f"{name}:"):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            hint = f"; for a file, write {name}.py:FUNCTION" if Path(f"{name}.py").is_file() else ""
            raise ConfigError(f"there is no module {name}{hint}") from error
        raise ConfigError(f"{name} cannot be imported: {_reason(error)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        specification = _origin(name)
        line = where(error, file=specification)
        raise ConfigError(f"{name} cannot be imported: {line}{_reason(error)}") from error


def _origin(name: str) -> str:
    """The file of a module, without importing it; empty if it cannot be told."""
    try:
        specification = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return ""
    return (specification.origin or "") if specification else ""


def _reason(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else None
    return f"SyntaxError: {text}" if text else in_one_line(error, with_kind=True)

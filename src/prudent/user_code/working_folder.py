"""Modules in the working folder: an environment ``module:Name-v0`` is found there, as in a script started there.

A program that is installed, such as ``prudent``, does not look for modules in the working folder. That is right for
everything but the one module that the user names.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder


@contextlib.contextmanager
def importable(env_id: str) -> Iterator[None]:
    """Inside, the module of ``module:Name-v0`` is found in the working folder first, if it is there.

    Afterwards the folder is the last place where Python looks, because an environment may import more when it steps.
    Nothing changes for an id without a module, and where Python was told not to look there (``-P``).
    """
    module, colon, _ = env_id.partition(":")
    folder = _working_folder()
    if not colon or folder is None or sys.flags.safe_path or not _holds(folder, module):
        yield
        return
    with first_on_path(folder):
        yield


@contextlib.contextmanager
def first_on_path(folder: str) -> Iterator[None]:
    """Inside, Python looks for modules in ``folder`` first; afterwards last."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _holds(folder: str, module: str) -> bool:
    """Whether a folder has a module or package of this name; nothing is imported for this."""
    package = module.partition(".")[0]
    return bool(package) and PathFinder.find_spec(package, [folder]) is not None

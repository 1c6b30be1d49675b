"""Policies that a verb is given as ``rules.py:order_up_to`` or ``package.module:order_up_to``."""

import re
from pathlib import Path
from typing import Any

from prudent.errors import ConfigError
from prudent.user_code import importing

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
    if home.endswith(".py"):
        module, _ = importing.file(Path(home))
    else:
        hint = f"; for a file, write {home}.py:FUNCTION" if Path(f"{home}.py").is_file() else ""
        module = importing.module(home, hint)
    if not hasattr(module, name):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"{home} has no function {name}; it has {', '.join(functions[:20]) or 'none'}")
    return getattr(module, name)

"""Code that the user wrote: the columns that it gets, and whatever it raises as one line with the line of its file."""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np

from prudent.data.encoding import listed
from prudent.errors import ConfigError, in_one_line, shown


class UnknownColumnError(ConfigError, KeyError):
    """A function asked for a column that there is none of."""


class Columns(dict[str, np.ndarray]):
    """Columns by name, each (R,). Reading another name raises an error that lists those there are."""

    def __missing__(self, name: object) -> np.ndarray:
        close = get_close_matches(str(name), self, n=1)
        hint = f"; did you mean {shown(close[0])}?" if close else ""
        raise UnknownColumnError(f"there is no column {shown(name)} among {listed(list(self))}{hint}")


@contextmanager
def one_line(title: str, function: Callable[..., Any], *passed: type[Exception]) -> Iterator[None]:
    """Turn whatever the user's ``function`` raises into one line. It may end the process, or raise what is no
    ``Exception``; only Ctrl-C and errors that are ``passed`` on stay what they are.
    """
    try:
        yield
    except (KeyboardInterrupt, *passed):
        raise
    except BaseException as error:
        text = error.args[0] if isinstance(error, UnknownColumnError) else in_one_line(error, with_kind=True)
        raise ConfigError(f"{title}: {where(error, function)}{text}") from error


def where(error: BaseException, function: Callable[..., Any] | None = None, file: str = "") -> str:
    """``rules.py line 12: ``: the last line of the user's own file that led to an error; empty if there is none.

    The file is ``file``, or that of the function.
    """
    code = getattr(inspect.unwrap(function), "__code__", None) if function is not None else None
    file = file or (code.co_filename if code else "")
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_short(error.filename)} line {error.lineno}: "
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{_short(file)} line {lines[-1]}: " if lines else ""


def _short(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]

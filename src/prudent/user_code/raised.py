"""What the user's code raises, as one line with the line of the user's file."""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prudent.errors import ConfigError, in_one_line


class PlainError(ConfigError):
    """An error raised on behalf of the user's code, whose text says everything: its class is not shown."""


@contextmanager
def one_line(
    title: str, function: Callable[..., Any] | None, *passed: type[BaseException], file: str = ""
) -> Iterator[None]:
    """Turn whatever the user's ``function`` raises into one line. It may end the process, or raise what is no
    ``Exception``; only Ctrl-C and errors that are ``passed`` on stay what they are.

    ``file`` is the user's file; without it, that of the function.
    """
    try:
        yield
    except (KeyboardInterrupt, *passed):
        raise
    except BaseException as error:
        text = error.args[0] if isinstance(error, PlainError) else reason(error)
        raise ConfigError(f"{title}: {where(error, function, file)}{text}") from error


def reason(error: BaseException) -> str:
    """The class of an error and what it says."""
    text = error.msg if isinstance(error, SyntaxError) else None
    return f"SyntaxError: {text}" if text else in_one_line(error, with_kind=True)


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

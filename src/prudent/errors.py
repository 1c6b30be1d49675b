"""Errors that a user can cause, and a warning; each message is one line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class PrudentError(ValueError):
    """Something that the user gave is wrong: data, a setting, a folder.

    The message says in one line what is wrong, where, and what to do. The command line prints it without a traceback
    and exits with code 2. Line breaks in it, such as those of a name in a file, become spaces.
    """

    def __init__(self, *args: object):
        super().__init__(*(" ".join(arg.splitlines()) if isinstance(arg, str) else arg for arg in args))


class DataError(PrudentError):
    """A dataset cannot be read, or contradicts itself."""


class EpisodeError(DataError):
    """Some rows make their episodes useless; the other episodes may be sound.

    ``rows`` are the row numbers, and ``reason`` says what is wrong with the first of them. ``remedy`` is what keeps
    these episodes, where there is such a thing.
    """

    def __init__(self, message: str, rows: "np.ndarray | tuple[int, ...]" = (), reason: str = "", remedy: str = ""):
        super().__init__(message)
        self.rows, self.reason, self.remedy = rows, reason, remedy


class ConfigError(PrudentError):
    """A setting does not exist, is out of range, or does not fit the others."""


class StartsAnewWarning(UserWarning):
    """``fit`` drops what was trained or loaded before, and starts from new weights."""


class OutsideRangeWarning(UserWarning):
    """A policy was asked about a value outside the range of the log it learned from."""


FAILURES = (PrudentError, OSError, MemoryError, RuntimeError)
"""Errors that end one training of several while the others go on. PyTorch raises RuntimeError when the memory of the
accelerator is full."""


MISFITS = (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError)
"""What Python raises where JSON that somebody edited holds another kind of value than was written."""

_NO_MEMORY = ("allocate memory", "out of memory", "bad_alloc", "start new thread", "not enough memory")
"""What PyTorch and the system say when memory is used up, in a RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up."""
    told = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
    return told or isinstance(error, MemoryError)


def in_one_line(error: BaseException, with_kind: bool = False) -> str:
    """The text of an exception in one line; ``with_kind`` puts its class before it. Without a text, only the class."""
    text, kind = " ".join(str(error).split()), type(error).__name__
    return f"{kind}: {text}" if text and with_kind else text or kind


def shown(text: object) -> str:
    """A name or value out of a file, quoted, short and without control characters."""
    full = repr(text)
    return full if len(full) <= 60 else f"{full[:56]}...'"


class Interrupted(PrudentError):  # noqa: N818 - being stopped is no error
    """A signal or the time limit stopped the run, after it saved its state."""


_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"} | {
    code: f"\\u{code:04x}"
    for code in (
        0x61C,
        0x200B,
        0x200E,
        0x200F,
        0x2028,
        0x2029,
        0x2060,
        0xFEFF,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
        *range(0xD800, 0xE000),
    )
}
"""Characters by what is shown for them: escapes that change the terminal, marks that reverse or break a line or are not
seen, and bytes of a file's name that are no UTF-8, which Python keeps as halves of a character."""


def printable(text: str) -> str:
    """The text with control characters spelled out; UTF-8 can encode it."""
    return text.translate(_CONTROL)

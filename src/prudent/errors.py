"""Mistakes a user can make, told in one line."""


class PrudentError(ValueError):
    """Something is wrong with what the user gave: data, a setting, a folder.

    The message says in one line what is wrong, where, and what to do. The command line prints it
    without a traceback and exits with code 2.
    """


class DataError(PrudentError):
    """A dataset that cannot be read, or that contradicts itself."""


class ConfigError(PrudentError):
    """A setting that does not exist or does not fit."""


FAILURES = (PrudentError, OSError, MemoryError, RuntimeError)
"""How one training of several may fail and leave the others to go on; RuntimeError is how PyTorch says that the
accelerator's memory is full."""


def in_one_line(error: BaseException, with_kind: bool = False) -> str:
    """What an exception says, without line breaks; its kind where it says nothing, or ``with_kind`` before the text."""
    text, kind = " ".join(str(error).split()), type(error).__name__
    return f"{kind}: {text}" if text and with_kind else text or kind


def shown(text: object) -> str:
    """A name or value out of a file, quoted, short and without control characters."""
    full = repr(text)
    return full if len(full) <= 60 else f"{full[:56]}...'"


class Interrupted(PrudentError):  # noqa: N818 - being stopped is no error
    """A signal or the time limit asked the run to stop; it saves first."""

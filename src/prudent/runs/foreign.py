"""Run folders that somebody else made: no link is followed, no device read, and JSON is strict."""

import errno
import json
import math
import os
import stat
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from prudent.errors import MISFITS, ConfigError, DataError, PrudentError, in_one_line

MOST_JSON_BYTES = 32 << 20
"""A longer JSON file is none of a run. Once read, JSON may take twenty times its size."""

_MOST_DIGITS = 40
"""Digits of a whole number. Python takes seconds for very long ones, and float() refuses those above 300 digits."""


def check_plain(run: Path) -> None:
    """Refuse a run folder with a link or a special file in it.

    Otherwise writing to the run could write to, or remove, files elsewhere, and reading it might never end. The folder
    itself may be reached through a link.

    Raises:
        ConfigError: it holds one; the line names it.
    """
    for folder, folders, names in os.walk(run):
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink():
                raise ConfigError(f"{path} is a link: a run folder holds none; copy the folder with cp -rL")
            if not (path.is_file() or path.is_dir()):
                raise ConfigError(f"{path} is no regular file: remove it")


@contextmanager
def opened(path: Path, most: int = MOST_JSON_BYTES) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Raises:
        OSError: it is no regular file, is longer than ``most`` bytes, or cannot be read.
    """
    # A FIFO without a writer would block, a device might never end.
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"longer than {most >> 20} MiB", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_bytes(path: Path, most: int = MOST_JSON_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: as :func:`opened`.
    """
    with opened(path, most) as file:
        # Not ``most``: Python sets aside as many bytes as are asked for.
        return file.read(os.fstat(file.fileno()).st_size)


@contextmanager
def as_written(place: Path | str) -> Iterator[None]:
    """Turn what Python raises about JSON of another shape into one line about ``place``.

    A fault of prudent raises the same. So the line says where it was raised.

    Raises:
        DataError: the block raised one of :data:`prudent.errors.MISFITS`; the error itself is its cause.
    """
    try:
        yield
    except PrudentError:
        raise
    except MISFITS as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"{place} seems damaged: its JSON holds what prudent does not write ({in_one_line(error, with_kind=True)}, "
            f"in {Path(last.filename).name} line {last.lineno}); if nobody edited it, please report this as a bug"
        ) from error


def parse_json(text: str | bytes, strict: bool = True) -> Any:
    """JSON without absurdly long numbers and, if ``strict``, without NaN and infinities.

    Raises:
        ValueError: it is something else.
    """
    try:
        return (_STRICT if strict else _LENIENT).decode(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number that is too large")
    return number


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number with too many digits")
    return int(digits)


# Made once: a decoder of its own for every line of metrics would take longer than the line.
_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_whole_number)
_LENIENT = json.JSONDecoder(parse_constant=float, parse_int=_whole_number)

"""Keeps simulators from writing to the user's terminal and working directory."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

# What PyBullet prints: one line per process and two per simulation.
_GREETINGS = (b"pybullet build time:", b"argv[0]=")


def quieten_mujoco() -> None:
    """Keep MuJoCo from printing a deprecation for each model and writing MUJOCO_LOG.TXT to the working directory.

    Other warnings, such as an unstable simulation, are logged once each. A handler that was installed before stays.
    """
    try:
        import mujoco
    except ImportError:
        return  # gymnasium has a better message

    if mujoco.get_mju_user_warning() is None:  # pyright: ignore[reportAttributeAccessIssue]
        mujoco.set_mju_user_warning(_log_once)  # pyright: ignore[reportAttributeAccessIssue]


_logged: set[str] = set()


def _log_once(message: str | bytes) -> None:
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    # "... at DOF 3. Time = 1.2": the same warning comes many times; its beginning identifies it.
    key = text.split(" at ")[0]
    if "deprecated" not in text and key not in _logged:
        _logged.add(key)
        logging.getLogger("prudent").warning("MuJoCo: %s", text)


def prepare_box2d() -> None:
    """Import Box2D with warnings off: its wrapper crashes the process if a warning becomes an error."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):  # gymnasium has a better message
        warnings.simplefilter("ignore")
        import Box2D  # noqa: F401


@contextlib.contextmanager
def without_greetings() -> Iterator[None]:
    """Inside, what PyBullet prints does not reach the terminal; all other output arrives afterwards.

    PyBullet prints from C, past ``sys.stdout``, so descriptors 1 and 2 of the process point to a file in the meantime.
    """
    if os.name != "posix":
        yield
        return
    _flush()
    with contextlib.ExitStack() as stack:
        for descriptor in (1, 2):
            stack.enter_context(_filtered(descriptor))
        yield
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


@contextlib.contextmanager
def _filtered(descriptor: int) -> Iterator[None]:
    try:
        original = os.dup(descriptor)
    except OSError:  # closed, as in a daemon: there is no terminal
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(original, descriptor)
            os.close(original)
            file.seek(0)
            rest = b"".join(line for line in file if not line.startswith(_GREETINGS))
            if rest:
                os.write(descriptor, rest)

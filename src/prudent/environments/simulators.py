"""What simulators write unasked, kept away from the user's terminal and working directory."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

# PyBullet's greetings: one per process and two per simulation.
_IDLE_TALK = (b"pybullet build time:", b"argv[0]=")


def quieten_mujoco() -> None:
    """Keep MuJoCo from printing a deprecation per model and leaving MUJOCO_LOG.TXT in the working directory.

    Other warnings (an unstable simulation) are told once each, through logging. A handler somebody else has
    installed stays.
    """
    try:
        import mujoco
    except ImportError:
        return  # gymnasium says it better

    if mujoco.get_mju_user_warning() is None:  # pyright: ignore[reportAttributeAccessIssue]
        mujoco.set_mju_user_warning(_tell_once)  # pyright: ignore[reportAttributeAccessIssue]


_told: set[str] = set()


def _tell_once(message: str | bytes) -> None:
    text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
    # "... at DOF 3. Time = 1.2": the same warning comes again and again, its beginning identifies it.
    key = text.split(" at ")[0]
    if "deprecated" not in text and key not in _told:
        _told.add(key)
        logging.getLogger("prudent").warning("MuJoCo: %s", text)


def prepare_box2d() -> None:
    """Import Box2D with warnings off: its wrapper crashes the process where one of its own becomes an error."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):  # gymnasium says it better
        warnings.simplefilter("ignore")
        import Box2D  # noqa: F401


@contextlib.contextmanager
def without_idle_talk() -> Iterator[None]:
    """Inside, PyBullet's greetings do not reach the terminal; whatever else is written there arrives afterwards.

    They come from C, past ``sys.stdout``, so the process's own descriptors 1 and 2 lead to a file meanwhile.
    """
    if os.name != "posix":
        yield
        return
    _flush()
    with contextlib.ExitStack() as stack:
        for descriptor in (1, 2):
            stack.enter_context(_sifted(descriptor))
        yield
        _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


@contextlib.contextmanager
def _sifted(descriptor: int) -> Iterator[None]:
    try:
        kept = os.dup(descriptor)
    except OSError:  # closed, as in a daemon: nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), descriptor)
        try:
            yield
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            held.seek(0)
            rest = b"".join(line for line in held if not line.startswith(_IDLE_TALK))
            if rest:
                os.write(descriptor, rest)

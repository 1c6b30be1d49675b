"""Starts the child process that parses foreign files, limits it, exchanges messages with it, and always ends it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data.readers._budget import Budget
from prudent.errors import DataError, EpisodeError, in_one_line
from prudent.files import human_bytes

MEMORY = 256 << 20
"""Bytes that parsing may take besides the content of the file."""
SECONDS, STORED_PER_SECOND, CONTENT_PER_SECOND = 5, 1_000_000, 64 << 20
"""Processor time for any file; a further second is for so many bytes stored, and for so many that they may take."""
WAIT = 10
"""The limit by the clock is so many times the processor time: the machine may be busy, or the disk slow."""

_FOLDER = Path(__file__).parent
_ROOT = str(_FOLDER.parents[2])
# The child looks for modules where this process does and nowhere else, not even in the current folder. The two packages
# above its own are empty stand-ins: the real ones would import torch.
START = """
import sys, types
folder, *sys.path[:] = sys.argv[1:]
for name, place in (("prudent.data", folder + "/.."), ("prudent.data.readers", folder)):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [place]
from prudent.data.readers.child.main import main
main()
"""
# One thread and one heap: others would reserve address space that they do not use.
_SETTINGS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


_REMEDY = "if it is sound all the same, set PRUDENT_MAX_BYTES to what it may take"


class Child:
    """Messages to and from the child; :func:`start` makes one.

    Every method raises DataError, one line, if the child refuses the file or dies from it.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", name: str, memory: int, seconds: int):
        self.process, self.name, self.memory, self.seconds = process, name, memory, seconds
        self.started = self.late = False

    def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message; returns the answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # the child has ended: its last message, or how it ended, comes next
        return self.receive()

    def receive(self) -> dict[str, Any]:
        """The child's next message."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._death()
        message = json.loads(line)
        if "refused" in message:
            raise (EpisodeError if message.get("for its rows") else DataError)(f"{self.name}: {message['refused']}")
        if "memory" in message:
            raise DataError(
                f"{self.name}: reading it takes more than {human_bytes(self.memory)} of memory, "
                f"out of all proportion for a log; {_REMEDY}"
            )
        if "bug" in message:
            raise RuntimeError(f"{self.name} could not be read:\n{message['bug']}")
        return message

    def array(self, length: int, dtype: str) -> np.ndarray:
        """An array that follows a message, (length,)."""
        assert self.process.stdout is not None
        if np.dtype(dtype).kind not in "iuf":
            raise TypeError(f"{dtype} is no type of numbers")
        array = np.empty(length, dtype)
        view = memoryview(array.view(np.uint8))  # type: ignore[arg-type]
        while len(view):
            count = self.process.stdout.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise self._death()
            view = view[count:]
        return array

    def kill(self) -> None:
        """End the child because it takes too long."""
        self.late = True
        self.process.kill()

    def _death(self) -> DataError:
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self.late:
            return DataError(f"{self.name}: reading it takes longer than {WAIT * self.seconds} s; {_REMEDY}")
        if hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU:
            return DataError(f"{self.name}: reading it takes more than {self.seconds} s of processor time; {_REMEDY}")
        if not self.started and code >= 0:
            return DataError(f"{self.name}: the process that reads it did not start: does import pyarrow work?")
        how = f"exit code {code}"
        if code < 0:
            with suppress(ValueError):
                how = signal.Signals(-code).name
        return DataError(f"{self.name}: a damaged table, or not what it is named (its parser ended with {how})")


@contextmanager
def start(name: str, stored: int, budget: Budget) -> Iterator[Child]:
    """A child process that reads ``stored`` bytes of files, called ``name`` in messages; it has ended afterwards."""
    content = budget.most(stored)
    seconds = SECONDS + stored // STORED_PER_SECOND + content // CONTENT_PER_SECOND
    paths = [path for path in sys.path if path and isinstance(path, str)]
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, str(_FOLDER), *paths, *([] if _ROOT in paths else [_ROOT])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_SETTINGS},
        )
    except OSError as error:
        raise DataError(f"{name}: no process could be started to read it ({in_one_line(error)})") from error
    try:
        child = Child(process, name, MEMORY + content, seconds)
        timer = threading.Timer(min(WAIT * seconds, threading.TIMEOUT_MAX), child.kill)
        timer.daemon = True
        timer.start()
        try:
            child.receive()
            child.started = True
            yield child
        finally:
            timer.cancel()
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        process.wait()

"""The side of the pipe that requests steps."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.harness import ROOT, clock_name


class PeerError(Exception):
    """A peer did not start, or ended too early."""


class Peer:
    """A process that makes training steps on request.

    ``name`` is ``d3rlpy``, ``corl`` or ``prudent``; ``options`` are those of its module. ``cpu`` pins it to a
    processor. Use it in a ``with`` block.

    Raises:
        PeerError: it does not start.
    """

    def __init__(
        self,
        name: str,
        data: Path | None,
        threads: int,
        python: str | None = None,
        cpu: int | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        self.name, self.threads = name, threads
        self._errors = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see close
        try:
            self._process = subprocess.Popen(
                [python or sys.executable, "-m", "benchmarks.peers.server"],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            self._errors.close()
            raise PeerError(f"{name}: {python} does not start: {error.strerror}") from error
        try:
            self._send(
                {
                    "peer": name,
                    "data": None if data is None else str(data),
                    "threads": threads,
                    "cpu": cpu,
                    **(options or {}),
                }
            )
            self.versions: dict[str, str] = self._receive()
        except BaseException:
            self.close()
            raise

    def ask(self, calls: int, step: str = "step", threads: int | None = None) -> None:
        """Start ``calls`` steps, by default with the threads of the process; :meth:`answer` waits for them."""
        self._send({"calls": calls, "step": step, "threads": threads or self.threads})

    def answer(self) -> dict[str, float]:
        """Milliseconds per step by clock: ``process``, ``thread`` and ``wall``."""
        return self._receive()

    def measure(self, calls: int) -> float:
        """Milliseconds per step, with the clock that this process uses."""
        self.ask(calls)
        return self.answer()[clock_name()]

    def policy(self, what: str, states: np.ndarray) -> np.ndarray:
        """The policy's ``best`` or ``drawn`` actions (B, A) in ``states`` (B, S), or their ``value`` (B,)."""
        self._send({"policy": what, "states": states.tolist()})
        return np.array(self._receive(), dtype=np.float32)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it may be gone already
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._gone() from error

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        return json.loads(line)

    def _gone(self) -> PeerError:
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        return PeerError(f"{self.name} ended: {said[-1] if said else f'exit code {self._process.returncode}'}")


def save_columns(folder: Path, columns: Mapping[str, np.ndarray]) -> Path:
    """Write the training data of all peers to a file that only needs NumPy; returns its path."""
    path = folder / "data.npz"
    np.savez(path, **columns)  # pyright: ignore[reportArgumentType]
    return path

"""Tiny runs in processes of their own, forked from this one so that nothing has to be imported again."""

import hashlib
import mmap
import os
import shutil
import signal
import struct
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from helpers.runs import metrics_of, write_log
from prudent import cli, report
from prudent.engine.population import Population
from prudent.runs import checkpoint
from prudent.training import recorder

STEPS, INTERVAL = 100, 10
CHILD_FAILED = 99
"""Exit code of a child that an exception ended."""


@dataclass
class Outcome:
    """What came of one kind of fault, done ``faults`` times.

    ``lost`` counts checkpoints that had been written and could not be loaded afterwards, ``silent`` those that were
    loaded with another content than was saved, ``other`` everything else that was not as it should be, each with a
    line in ``notes``.
    """

    name: str
    faults: int = 0
    lost: int = 0
    silent: int = 0
    other: int = 0
    lost_steps: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: bool, what: str) -> None:
        """Count and note what is not as it should be."""
        if not holds:
            self.other += 1
            self.notes.append(what)

    def plain(self) -> dict[str, Any]:
        """As it stands in the results."""
        return asdict(self)


class Lab:
    """A folder to work in, a log to train on, and the run that nothing was done to.

    With ``hooks`` strace is not used, even where it is there.
    """

    def __init__(self, folder: Path, hooks: bool = False):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.hooks = folder, hooks
        self.log = write_log(folder / "log.npz")
        self.whole = folder / "whole"
        self.marks = Marks()
        report.write_report = lambda *_: None  # pictures take longer than a tiny run
        code, said = self.wait(self.start(self.whole))
        assert code == 0, said
        self.digest, self.metrics = digest(self.whole), metrics_of(self.whole)

    def words(self, out: Path, *more: Any) -> list[str]:
        """``prudent train`` of the tiny run; CQL, two members."""
        words = ["train", self.log, "--seeds", 0, 1, "--hidden", 8, 8, "--batch-size", 16, "--n-actions", 2]
        words += ["--steps", STEPS, "--log-every", INTERVAL, "--checkpoint-every", INTERVAL, "--threads", 1]
        return [str(word) for word in [*words, "--out", out, *more]]

    def start(self, out: Path, *more: Any) -> "Child":
        """A fresh run at ``out``, in a child."""
        return self.command(self.words(out, *more))

    def resume(self, out: Path, *more: Any) -> "Child":
        """``prudent train --resume``, in a child; a fresh run where it was killed before it was one."""
        if not (out / "config.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            return self.start(out, *more)
        return self.command([str(word) for word in ("train", "--resume", out, *more)])

    def command(self, words: Sequence[str]) -> "Child":
        """The command line in a child, which marks each step and each checkpoint as it is done."""

        def run() -> None:
            self.marks.follow()
            cli.main(words)

        return Child(run, self.folder / "said.txt")

    def wait(self, child: "Child") -> tuple[int, str]:
        """The exit code of a child, negative for a signal, and what it said."""
        return child.wait(), (self.folder / "said.txt").read_text(errors="replace")

    def is_whole(self, run: Path, outcome: Outcome, what: str) -> None:
        """Whether a run that has ended is the one that nothing was done to, bit for bit."""
        outcome.expect(digest(run) == self.digest, f"{what}: other final weights")
        outcome.expect(metrics_of(run) == self.metrics, f"{what}: other metrics")


class Child:
    """A function in a forked process; its output goes to a file."""

    def __init__(self, function: Callable[[], Any], output: Path):
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        code = CHILD_FAILED
        try:
            descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            function()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001 - a child must never go on as its parent
            traceback.print_exc()
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        self.signal(signal.SIGKILL)
        return self.wait()


class Marks:
    """Two numbers that outlive a killed child: its last step, and the step of its last finished checkpoint."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 16)

    @property
    def step(self) -> int:
        """Steps made."""
        return struct.unpack_from("qq", self.memory)[0]

    @property
    def saved(self) -> int:
        """Step of the last checkpoint of which ``save`` said that it is there."""
        return struct.unpack_from("qq", self.memory)[1]

    def clear(self) -> None:
        """Nothing done yet."""
        struct.pack_into("qq", self.memory, 0, 0, 0)

    def follow(self) -> None:
        """Keep the marks up to date in this process from here on."""
        step, save = Population.step, checkpoint.save

        def stepped(population: Population, data: Any) -> Any:
            found = step(population, data)
            struct.pack_into("q", self.memory, 0, population.state.step)
            return found

        def saved(run: Path, population: Population, *words: Any) -> Path:
            found = save(run, population, *words)
            struct.pack_into("q", self.memory, 8, population.state.step)
            return found

        Population.step = stepped  # type: ignore[method-assign]
        recorder.checkpoint.save = saved

    def wait_for(self, step: int, child: Child, seconds: float = 60) -> None:
        """Until the child has made so many steps, or has ended."""
        deadline = time.monotonic() + seconds
        while self.step < step and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)


def digest(path: Path) -> str:
    """SHA-256 over every tensor, by name, of the newest checkpoint that verifies."""
    _, tensors, _, _ = checkpoint.newest(path)
    return digest_of(tensors)


def digest_of(tensors: dict[str, Any]) -> str:
    """SHA-256 over names, shapes, types and bytes."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()

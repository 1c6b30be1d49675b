"""A save that is killed, or told of an error, at each of its system calls.

Through strace where it is installed and may trace, else by hooks around the calls of :mod:`os`, which come as close as
Python can see.
"""

import errno
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from faults.lab import CHILD_FAILED, Child, Lab, Outcome, digest, digest_of
from prudent import files
from prudent.engine.population import Population
from prudent.runs import checkpoint

CALLS = ("mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir")
"""System calls that change the disk; a file is opened for writing in between, which changes nothing that counts."""

HOOKS = {"mkdir": "mkdir", "fsync": "fsync", "rename": "rename", "unlink": "unlink", "rmdir": "rmdir"}
ABSORBED, TOLD = 0, 3
"""Exit codes of a child whose save did not notice the error, or raised it; either way its next save works."""


@cache
def has_strace() -> bool:
    """Whether strace is here and may attach to a child."""
    if shutil.which("strace") is None:
        return False
    child = Child(signal.pause, Path(os.devnull))
    tracer = subprocess.Popen(["strace", "-p", str(child.pid), "-o", os.devnull], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    attached = "attached" in tracer.stderr.readline()
    child.kill()
    tracer.communicate()
    return attached


def traces(lab: Lab) -> bool:
    """Whether calls are counted and harmed by strace."""
    return not lab.hooks and has_strace()


def method(lab: Lab) -> str:
    """How calls are counted and harmed."""
    return "strace" if traces(lab) else "hooks around os"


class Bench:
    """A folder with one checkpoint, and the population of the next."""

    def __init__(self, lab: Lab, again: bool):
        self.place, self.again = lab.folder / "saving", again
        self.old = checkpoint.load(lab.whole / "checkpoints" / checkpoint.steps(lab.whole)[-2][1].name)[0]
        self.new = checkpoint.load(lab.whole)[0]
        if again:
            # The only checkpoint there is, replaced by another of its step.
            self.new.state.step = self.old.state.step
        self.digests = [digest_of(_stored(population)) for population in (self.old, self.new)]

    def begin(self) -> None:
        """The old checkpoint alone."""
        shutil.rmtree(self.place, ignore_errors=True)
        checkpoint.save(self.place, self.old, {}, keep=1)

    def save(self) -> None:
        """The new one, after which the old one goes."""
        checkpoint.save(self.place, self.new, {}, keep=1)


def _stored(population: Population):
    tensors = {f"population.{name}": t for name, t in population.tensors().items()}
    return tensors | {f"scaling.{name}": t for name, t in population.scaling.tensors().items()}


def calls_of(lab: Lab, bench: Bench) -> list[tuple[str, int]]:
    """Every call of an undisturbed save: (name, which one of its kind, from 1)."""
    bench.begin()
    if not traces(lab):
        counts: dict[str, int] = {}
        _with_hooks(lambda name, nth: counts.__setitem__(name, nth), bench.save)
    else:
        trace = lab.folder / "trace.txt"
        code = _traced(bench.save, ["-e", f"trace={','.join(CALLS)}"], trace)
        assert code == 0, f"an undisturbed save ended with {code}"
        names = re.findall(r"^(?:\d+ +)?(\w+)\(", trace.read_text(), flags=re.MULTILINE)
        counts = {name: names.count(name) for name in CALLS if name in names}
    return [(name, nth) for name, count in counts.items() for nth in range(1, count + 1)]


def kills(lab: Lab) -> Outcome:
    """SIGKILL before each call of a save, of a next step and of the same one again."""
    outcome = Outcome(f"SIGKILL at each write, fsync, rename ... of a save ({method(lab)})")
    for again in (False, True):
        bench = Bench(lab, again)
        for name, nth in calls_of(lab, bench):
            bench.begin()
            code = _harmed(lab, bench.save, name, nth, "signal=SIGKILL", None)
            outcome.faults += 1
            outcome.expect(code == -signal.SIGKILL, f"{name} {nth}: it ended with {code}, not killed")
            _look_at(bench, outcome, f"{name} {nth}")
    return outcome


def errors(lab: Lab) -> Outcome:
    """ENOSPC and EIO from each call of a save."""
    outcome = Outcome(f"ENOSPC and EIO from each write, fsync, rename ... of a save ({method(lab)})")
    for again in (False, True):
        bench = Bench(lab, again)

        def twice(bench: Bench = bench) -> None:
            try:
                bench.save()
            except OSError:
                # What a run does with it: it goes on, and saves again.
                bench.save()
                raise SystemExit(TOLD) from None

        for name, nth in calls_of(lab, bench):
            for number in (errno.ENOSPC, errno.EIO):
                bench.begin()
                code = _harmed(lab, twice, name, nth, f"error={errno.errorcode[number]}", number)
                outcome.faults += 1
                outcome.expect(
                    code in (ABSORBED, TOLD), f"{errno.errorcode[number]} at {name} {nth}: it ended with {code}"
                )
                found = digest(bench.place)
                outcome.expect(found == bench.digests[1], f"{errno.errorcode[number]} at {name} {nth}: not saved again")
    return outcome


def _look_at(bench: Bench, outcome: Outcome, what: str) -> None:
    try:
        found = digest(bench.place)
    except ValueError as error:
        outcome.lost += 1
        outcome.notes.append(f"{what}: {error}")
        return
    if found not in bench.digests:
        outcome.silent += 1
        outcome.notes.append(f"{what}: neither the old nor the new content")
    bench.save()
    left = sorted(path.name for path in (bench.place / "checkpoints").iterdir())
    outcome.expect(left == [f"step_{bench.new.state.step}"], f"{what}: {left} after the next save")


# --- how harm is done -------------------------------------------------------------------------------------------------


def _harmed(lab: Lab, function: Callable[[], None], name: str, nth: int, inject: str, number: int | None) -> int:
    if traces(lab):
        return _traced(function, ["-e", f"trace={name}", "-e", f"inject={name}:{inject}:when={nth}"], None)

    def harm(called: str, count: int) -> None:
        if (called, count) == (name, nth):
            if number is not None:
                raise OSError(number, os.strerror(number))
            os.kill(os.getpid(), signal.SIGKILL)

    return Child(lambda: _with_hooks(harm, function), Path(os.devnull)).wait()


def _traced(function: Callable[[], None], options: list[str], trace: Path | None) -> int:
    """The function in a child under strace, from the moment strace has it."""
    ready, go = os.pipe()

    def wait_and_run() -> None:
        os.close(go)
        os.read(ready, 1)
        function()

    child = Child(wait_and_run, Path(os.devnull))
    os.close(ready)
    command = ["strace", "-p", str(child.pid), "-o", str(trace or os.devnull), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        child.kill()
        raise RuntimeError(f"strace: {said}")
    os.write(go, b"x")
    os.close(go)
    tracer.communicate()
    return child.wait()


def _with_hooks(told: Callable[[str, int], None], function: Callable[[], None]) -> None:
    """The function with ``told(name, which)`` called before each call of its kind."""
    counts: dict[str, int] = {}

    def hooked(name: str, real: Callable) -> Callable:
        def call(*words, **options):
            counts[name] = counts.get(name, 0) + 1
            told(name, counts[name])
            return real(*words, **options)

        return call

    before = {name: getattr(os, attribute) for name, attribute in HOOKS.items()}
    write = files.write
    try:
        for name, attribute in HOOKS.items():
            setattr(os, attribute, hooked(name, before[name]))
        files.write = hooked("write", write)
        function()
    finally:
        for name, attribute in HOOKS.items():
            setattr(os, attribute, before[name])
        files.write = write


assert CHILD_FAILED not in (ABSORBED, TOLD)

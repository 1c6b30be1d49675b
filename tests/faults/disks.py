"""A full disk, two processes on one folder, signals, and what a save costs."""

import random
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.lab import INTERVAL, STEPS, Lab, Outcome
from prudent import algorithms
from prudent.data import load_dataset
from prudent.engine.members import grid
from prudent.engine.population import new_population
from prudent.errors import PrudentError
from prudent.runs import checkpoint
from prudent.runs.folder import read_json
from prudent.training.resume import resume


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 1 MB at ``folder``; False where mounting is not permitted."""
    folder.mkdir(exist_ok=True)
    try:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
        permitted = mounted.returncode == 0
    except OSError:
        permitted = False
    try:
        yield permitted
    finally:
        if permitted:
            subprocess.run(["umount", folder], check=True)


def full_disk(lab: Lab) -> Outcome:
    """A run on a disk of 1 MB, with less and less room left on it."""
    outcome = Outcome("a disk of 1 MB that fills up under a run")
    size = sum(path.stat().st_size for path in checkpoint.steps(lab.whole)[-1][1].iterdir())
    disk = lab.folder / "disk"
    with _small_disk(disk) as permitted:
        if not permitted:
            outcome.figures = {"skipped": "mounting is not permitted here"}
            return outcome
        for checkpoints in (0.5, 1.5, 2.5, 3.5):
            shutil.rmtree(disk / "run", ignore_errors=True)
            room = max(0, 2**20 - int(size * checkpoints) - 40_000)
            (disk / "ballast").write_bytes(bytes(room))
            code, said = lab.wait(lab.start(disk / "run"))
            outcome.faults += 1
            outcome.expect(code == 2, f"room for {checkpoints} checkpoints: it ended with {code}: {said[-300:]}")
            outcome.expect("No space left on device" in said.splitlines()[-1], f"it said {said[-300:]}")
            outcome.expect("Traceback" not in said, f"a traceback: {said[-300:]}")
            saved = len(checkpoint.steps(disk / "run"))
            if saved:
                try:
                    checkpoint.newest(disk / "run")
                except PrudentError as error:
                    outcome.lost += 1
                    outcome.notes.append(str(error))
            (disk / "ballast").unlink()
            code, said = lab.wait(lab.resume(disk / "run"))
            outcome.expect(code == 0, f"with room again it ended with {code}: {said[-300:]}")
            lab.is_whole(disk / "run", outcome, f"room for {checkpoints} checkpoints")
    return outcome


def two_processes(lab: Lab, count: int) -> Outcome:
    """A second process on the folder of a run that trains."""
    outcome = Outcome("a second process on the folder of a run")
    for turn in range(count):
        run = lab.folder / "shared"
        shutil.rmtree(run, ignore_errors=True)
        lab.marks.clear()
        first = lab.start(run)
        lab.marks.wait_for(INTERVAL * (turn % 5 + 1) + 1, first)
        outcome.expect(first.poll() is None, "the first run ended too early to be disturbed")
        told = _refused(run)
        outcome.faults += 1
        outcome.expect("another process is training" in told, f"the second was told {told!r}")
        outcome.expect(first.wait() == 0, "the first one ended badly")
        lab.is_whole(run, outcome, f"turn {turn}")
    return outcome


def _refused(run: Path) -> str:
    try:
        resume(run)
    except PrudentError as error:
        return str(error)
    return "nothing"


def signals(lab: Lab, count: int) -> Outcome:
    """Each signal at random steps, a second one, and the time limit; each run is then resumed."""
    outcome, luck = Outcome("SIGINT, SIGTERM, SIGUSR1, a second signal, the time limit"), random.Random(1)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    for turn in range(count):
        number, again = numbers[turn % 3], turn % 4 == 3
        what = f"{number.name}{' twice' if again else ''}"
        run = lab.folder / "signalled"
        shutil.rmtree(run, ignore_errors=True)
        lab.marks.clear()
        limit = ["--max-minutes", 1e-4] if turn % 5 == 4 else []
        child = lab.start(run, *limit)
        if limit:
            what = "time limit"
        else:
            lab.marks.wait_for(luck.randrange(1, STEPS - INTERVAL), child)
            child.signal(number)
            if again:
                child.signal(signal.SIGTERM)
        code, said = lab.wait(child)
        outcome.faults += 1
        outcome.expect(
            code == 130 or (again and code == -signal.SIGTERM), f"{what}: it ended with {code}: {said[-300:]}"
        )
        if code == 130:
            status = read_json(run / "status.json")
            newest = checkpoint.steps(run)[-1][0]
            outcome.expect(status["state"] == "interrupted", f"{what}: status {status}")
            outcome.expect(newest == status["step"], f"{what}: status of step {status['step']}, checkpoint {newest}")
        code, said = lab.wait(lab.resume(run, *(["--max-minutes", 60] if limit else [])))
        outcome.expect(code == 0, f"{what}: resumed, it ended with {code}: {said[-300:]}")
        lab.is_whole(run, outcome, what)
    return outcome


def cost(lab: Lab, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds per save: median and longest of ``count``, of the tiny run and of four members of 256 x 256."""
    dataset = load_dataset(lab.log)
    wide = grid(algorithms.get("cql").Config(), {}, [0, 1, 2, 3])
    populations = {
        "2 members of 8 x 8": checkpoint.load(lab.whole)[0],
        "4 members of 256 x 256": new_population(dataset, "cql", wide, "cpu"),
    }
    found = {}
    for name, population in populations.items():
        place, taken = lab.folder / "timed", []
        for step in range(count):
            population.state.step = step
            began = time.perf_counter()
            folder = checkpoint.save(place, population, {}, keep=3)
            taken.append(1000 * (time.perf_counter() - began))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        shutil.rmtree(place)
        found[name] = {
            "MB": round(size, 2),
            "median": round(statistics.median(taken), 1),
            "longest": round(max(taken), 1),
        }
    return found

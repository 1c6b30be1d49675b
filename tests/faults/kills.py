"""SIGKILL at random moments of runs that are resumed until they end; each has to end as if it never was killed."""

import random
import shutil
import signal
import time
from pathlib import Path

from faults.lab import INTERVAL, Lab, Outcome
from prudent.errors import PrudentError
from prudent.runs import checkpoint

FURTHEST, JITTER = 30, 0.02
"""A process is killed after up to so many steps and seconds: in a step, in a save, or as it starts."""


def random_kills(lab: Lab, count: int, minutes: float = 60) -> Outcome:
    """``count`` kills, or as many as fit into so many minutes, spread over as many runs as it takes."""
    outcome, luck = Outcome("SIGKILL at random moments of a run"), random.Random(0)
    run, ended = lab.folder / "killed", 0
    began = time.monotonic()

    def goes_on() -> bool:
        return outcome.faults < count and time.monotonic() < began + 60 * minutes

    while goes_on():
        shutil.rmtree(run, ignore_errors=True)
        lab.marks.clear()
        child, begins = lab.start(run), 0
        while True:
            if goes_on():
                lab.marks.wait_for(begins + luck.randrange(FURTHEST), child)
                time.sleep(luck.uniform(0, JITTER))
            if not goes_on() or child.poll() is not None:
                break
            if child.kill() == -signal.SIGKILL:
                outcome.faults += 1
                _look_at(lab, run, outcome)
            begins = max((step for step, _ in checkpoint.steps(run)), default=0)
            child = lab.resume(run)
        code, said = lab.wait(child)
        outcome.expect(code == 0, f"a resumed run ended with {code}: {said[-300:]}")
        lab.is_whole(run, outcome, f"run {ended}")
        ended += 1
    outcome.figures = {"runs": ended, "seconds": round(time.monotonic() - began, 1)}
    return outcome


def _look_at(lab: Lab, run: Path, outcome: Outcome) -> None:
    """What a kill left: the newest checkpoint that was finished has to load."""
    try:
        found = int(checkpoint.newest(run)[0].name.removeprefix("step_").removesuffix(checkpoint.REPLACED))
    except PrudentError:
        found = 0
    if found < lab.marks.saved:
        outcome.lost += 1
        outcome.notes.append(f"step {lab.marks.saved} was saved, {found} is there")
    lost = lab.marks.step - found
    outcome.lost_steps = max(outcome.lost_steps, lost)
    outcome.expect(lost <= INTERVAL, f"{lost} steps lost")
    # A resumed run begins to count at its checkpoint.
    lab.marks.clear()

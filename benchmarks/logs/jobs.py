"""Makes the logs that are missing, several at once; those of one task one after the other."""

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from benchmarks.logs.recipe import Log
from prudent.progress import clock_face

STEP = re.compile(r"step +(\d+)/(\d+)")


class Trainings:
    """How far the trainings of the tasks are, by what their commands print; from it the time left.

    ``clock`` gives seconds.
    """

    def __init__(self, logs: Sequence[Log], jobs: int, clock: Callable[[], float] = time.monotonic):
        self.jobs, self.clock = jobs, clock
        self.totals = {log.task: log.sac_steps for log in logs}
        self.steps = dict.fromkeys(self.totals, 0)
        self.first: dict[str, tuple[float, int]] = {}
        self.rates: dict[str, float] = {}

    def heard(self, task: str, line: str) -> None:
        """Take a line of a task's command into account."""
        match = STEP.match(line)
        if match is None or int(match[2]) != self.totals[task]:
            return
        step, now = int(match[1]), self.clock()
        began, at = self.first.setdefault(task, (now, step))
        if step > at and now > began:
            self.rates[task] = (step - at) / (now - began)
        self.steps[task] = max(self.steps[task], step)

    def over(self, task: str) -> None:
        """Nothing is left to train for a task."""
        self.steps[task] = self.totals[task]

    def left(self) -> str:
        """The time left if every training takes all of its steps; empty before there is a rate."""
        if not self.rates:
            return ""
        usual = sum(self.rates.values()) / len(self.rates)
        seconds = [(self.totals[t] - self.steps[t]) / self.rates.get(t, usual) for t in self.totals]
        return f", at most {clock_face(max(max(seconds), sum(seconds) / self.jobs))} left"


def make(logs: Sequence[Log], jobs: int, finished: Callable[[Log], None]) -> list[str]:
    """Make those of ``logs`` that are missing, ``jobs`` at once; ``finished`` is called after each.

    A signal is passed on to the commands, which keep their training. Returns the names of those that failed.
    """
    pending = [log for log in logs if not log.path.exists()]
    trainings, made = Trainings(logs, jobs), len(logs) - len(pending)
    for task in {log.task for log in logs} - {log.task for log in pending}:
        trainings.over(task)
    running: dict[str, Command] = {}
    failed: list[str] = []

    def say(log: Log, line: str) -> None:
        trainings.heard(log.task, line)
        print(f"[{made} of {len(logs)} logs{trainings.left()}] {log.name}: {line}", flush=True)

    try:
        while pending or running:
            while len(running) < jobs and (log := next((x for x in pending if x.task not in running), None)):
                pending.remove(log)
                running[log.task] = Command(log, say)
            time.sleep(0.1)
            for task, command in list(running.items()):
                if (status := command.status()) is None:
                    continue
                del running[task]
                if status == 0:
                    made += 1
                    finished(command.log)
                else:
                    failed.append(command.log.name)
                    # The levels of a task come from one training: after a failure the later ones would fail too.
                    failed += [other.name for other in pending if other.task == task]
                    pending = [other for other in pending if other.task != task]
                if not any(other.task == task for other in pending):
                    trainings.over(task)
    finally:
        for command in running.values():
            command.process.terminate()
        for command in running.values():
            command.wait()
    return failed


class Command:
    """The running command of a log; a thread passes its lines on to ``say``."""

    def __init__(self, log: Log, say: Callable[[Log, str], None]):
        log.path.parent.mkdir(parents=True, exist_ok=True)
        self.log, self.say = log, say
        # A group of its own: Ctrl-C must reach it once, through this process.
        self.process = subprocess.Popen(
            log.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def status(self) -> int | None:
        """Its exit status, once it has ended and all its lines are passed on; None before."""
        return None if self.process.poll() is None else self.wait()

    def wait(self) -> int:
        """Wait until it has ended; returns its exit status."""
        status = self.process.wait()
        self.listener.join()
        return status

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.say(self.log, line.rstrip())

"""Part ``startup``: how long a command takes before it does any work.

Each command is a process of its own, measured in CPU time (including its child processes) and in wall time. The unit is
a process that imports PyTorch and ends.
"""

import os
import subprocess
import sys
import time

from benchmarks.harness import Measure, Result, Settings, column, ratio, shown, take_turns

COMMANDS = {
    "python": ["-c", "pass"],
    "torch": ["-c", "import torch"],
    "import": ["-c", "import prudent"],
    "help": ["-m", "prudent", "--help"],
    "train_help": ["-m", "prudent", "train", "--help"],
}
LABELS = {
    "python": "python -c pass",
    "torch": "import torch",
    "import": "import prudent",
    "help": "prudent --help",
    "train_help": "prudent train --help",
}


def run(words: list[str]) -> tuple[float, float]:
    """CPU time and wall time of a Python process, in seconds."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with exit code {process.returncode}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began


def measure(settings: Settings) -> Result:
    """Measure all commands in turn."""
    commands = {name: COMMANDS[name] for name in (("python", "torch", "help") if settings.small else COMMANDS)}
    walls: dict[str, list[float]] = {name: [] for name in commands}

    def started(name: str) -> Measure:
        def milliseconds(_: int) -> float:
            processor, wall = run(commands[name])
            walls[name].append(1000 * wall)
            return 1000 * processor

        return milliseconds

    turns = take_turns({name: started(name) for name in commands}, settings, calls=1)
    wall_turns = [dict(zip(walls, values, strict=True)) for values in zip(*walls.values(), strict=True)][1:]
    return Result(
        part="startup",
        what="processor time of a process that ends at once",
        clock="process",
        margin=0.2,
        ratios={
            f"{name}_over_torch": ratio(turns, name, "torch") for name in commands if name not in ("python", "torch")
        },
        figures={
            "ms": {name: column(turns, name) for name in commands},
            "wall_ms": {name: column(wall_turns, name) for name in commands},
        },
    )


def lines(result: Result) -> list[str]:
    """A line for each command."""
    found = result.figures
    return [
        f"  {LABELS[name]:<24} {shown(ms, '.0f'):>22} ms of the processor; "
        f"wall {shown(found['wall_ms'][name], '.0f')} ms"
        for name, ms in found["ms"].items()
    ]

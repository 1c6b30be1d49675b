"""Turns, clocks and spreads: how every part measures, and what it writes.

On a machine that others use, absolute times move by a factor of two within minutes. So whatever is to be compared is
measured in turn, round after round, and only ratios within a round mean something.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from prudent.engine.options import Options
from prudent.engine.process import prepare_process
from prudent.runs.machine import environment

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
Spread = dict[str, float]
Turn = dict[str, float]
Measure = Callable[[int], float]
"""Calls something so many times and returns milliseconds per call."""


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    Attributes:
        rounds: turns that count; one more comes first and does not.
        calls: calls per measurement.
        small: problems so small that figures mean nothing, for tests.
        peers: the Python of an environment with d3rlpy; None leaves it out.
    """

    rounds: int = 7
    calls: int = 3
    small: bool = False
    peers: str | None = None


@dataclass
class Result:
    """What one part measured, on what.

    Attributes:
        part: the part's name.
        what: what was measured, one line.
        clock: ``process``, ``thread`` or ``wall``, see :func:`clock_name`.
        margin: by how much of itself a ratio may get worse before the check calls it so.
        ratios: what the check compares, by name; lower is better in all of them.
        figures: all else, for people and for the picture.
        load: the system's load over the last minute, before and after.
    """

    part: str
    what: str
    clock: str
    margin: float
    ratios: dict[str, Spread]
    figures: dict[str, Any]
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
    environment: dict[str, Any] = field(default_factory=lambda: machine())
    load: list[float] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """The result as JSON, in a file named after part and threads."""
        path = folder / f"{self.part}-{self.environment['threads']}-threads.json"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rounded(asdict(self)), indent=1) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """Versions, processor, threads."""
    return {**environment(torch.device("cpu")), "machine": platform.machine()}


def prepare(threads: int) -> None:
    """Threads and allocator of this process as a training run has them."""
    prepare_process(Options(device="cpu", threads=threads))


PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Environment of a process whose threads sleep while they wait for each other, instead of spinning."""


def clock_name() -> str:
    """With one thread ``process``, its own clock, which stands still while others have the core; with more ``wall``.

    Where threads sleep while they wait (:data:`PASSIVE`), the clock is ``thread``, the main thread's own: it has its
    share of all that is shared, and all that is not, so that it shows on a busy machine about what the wall's would on
    a quiet one, a little less by what the threads wait for each other.
    """
    if torch.get_num_threads() == 1:
        return "process"
    return "thread" if os.environ.get("OMP_WAIT_POLICY") == PASSIVE["OMP_WAIT_POLICY"] else "wall"


CLOCKS = {"process": time.process_time, "thread": time.thread_time, "wall": time.perf_counter}


def timed(function: Callable[[], object]) -> Measure:
    """``function`` called in this process, on the clock of :func:`clock_name`."""
    return _timed(function, CLOCKS[clock_name()])


def wall(function: Callable[[], object]) -> Measure:
    """``function`` called in this process, on the wall's clock: it waits for a disk."""
    return _timed(function, time.perf_counter)


def _timed(function: Callable[[], object], clock: Callable[[], float]) -> Measure:
    def measure(calls: int) -> float:
        began = clock()
        for _ in range(calls):
            function()
        return 1000 * (clock() - began) / calls

    return measure


class NotMeasuredError(Exception):
    """Something cannot be measured here and now, and why."""


def wait_for_quiet(seconds: float = 30.0) -> None:
    """Wait until others leave the processors alone: a clock on the wall would measure them.

    Where the system does not say what its processors do (it has no ``/proc/stat``), it is taken to be quiet.

    Raises:
        NotMeasuredError: they did not, for so long.
    """
    stat, until = Path("/proc/stat"), time.monotonic() + seconds
    while stat.exists():
        before = processors_busy(stat)
        time.sleep(2)
        after = processors_busy(stat)
        share = (after[0] - before[0]) / max(1.0, after[1] - before[1])
        if share < QUIET:
            return
        if time.monotonic() > until:
            raise NotMeasuredError(f"others keep the processors busy for {100 * share:.0f} % of the time")


QUIET = 0.1
"""Share of the processors' time that others may take while time is taken on the wall."""


def processors_busy(stat: Path) -> tuple[float, float]:
    """Ticks that all processors were busy, and all their ticks, since the system began."""
    ticks = [float(word) for word in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def take_turns(measures: Mapping[str, Measure], settings: Settings, calls: int | None = None) -> list[Turn]:
    """Milliseconds per call of everything, one after the other, ``settings.rounds`` times."""
    times = settings.calls if calls is None else calls
    turns = [{name: measure(times) for name, measure in measures.items()} for _ in range(settings.rounds + 1)]
    return turns[1:]


def spread(values: Sequence[float]) -> Spread:
    """Median, range, and the bounds of the middle half."""
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median, "min": min(values), "max": max(values), "q1": q1, "q3": q3}


def column(turns: Sequence[Turn], name: str) -> Spread:
    """The spread of one measurement over the rounds."""
    return spread([turn[name] for turn in turns])


def ratio(turns: Sequence[Turn], name: str, over: str) -> Spread:
    """The spread of ``name`` in units of ``over``, round by round."""
    return spread([turn[name] / turn[over] for turn in turns])


def shown(figures: Spread, form: str = ".2f") -> str:
    """``median (min to max)``."""
    return f"{figures['median']:{form}} ({figures['min']:{form}} to {figures['max']:{form}})"


def rounded(value: Any) -> Any:
    """Five significant digits: nothing here repeats better."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value

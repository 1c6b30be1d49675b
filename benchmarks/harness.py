"""How every part measures (turns, clocks, spreads) and what it writes.

On a shared machine, absolute times change by a factor of two within minutes. So everything that is compared is measured
in turn, round after round, and only ratios within a round mean something.
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
"""Takes a number of calls, makes them, and returns milliseconds per call."""


@dataclass(frozen=True)
class Settings:
    """How often to measure what.

    Attributes:
        rounds: turns that count; one more turn before them does not count.
        calls: calls per measurement.
        small: measure problems that are too small to mean anything, for tests.
        peers: the Python of an environment with d3rlpy; None leaves d3rlpy out.
    """

    rounds: int = 7
    calls: int = 3
    small: bool = False
    peers: str | None = None


@dataclass
class Result:
    """What one part measured, and on which machine.

    Attributes:
        part: the part's name.
        what: what was measured, one line.
        clock: ``process``, ``thread`` or ``wall``, see :func:`clock_name`.
        margin: share by which a ratio may increase before the check reports it.
        ratios: what the check compares, by name; lower is better in all of them.
        figures: everything else, for the text and the picture.
        load: the system's load over one minute, before and after.
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
        """Write the result as JSON to a file named after part and threads; returns its path."""
        path = folder / f"{self.part}-{self.environment['threads']}-threads.json"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rounded(asdict(self)), indent=1) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """Versions, processor, threads."""
    return {**environment(torch.device("cpu")), "machine": platform.machine()}


def prepare(threads: int) -> None:
    """Set threads and allocator of this process as a training run does."""
    prepare_process(Options(device="cpu", threads=threads))


PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Environment of a process whose threads sleep while they wait for each other, instead of spinning."""


def clock_name() -> str:
    """The clock to use: ``process`` (CPU time) with one thread, ``wall`` with several.

    If threads sleep while they wait (:data:`PASSIVE`), it is ``thread``, CPU time of the main thread: its share of the
    shared work and all other work. On a busy machine that is about the wall time of a quiet one, without the time that
    threads wait for each other.
    """
    if torch.get_num_threads() == 1:
        return "process"
    return "thread" if os.environ.get("OMP_WAIT_POLICY") == PASSIVE["OMP_WAIT_POLICY"] else "wall"


CLOCKS = {"process": time.process_time, "thread": time.thread_time, "wall": time.perf_counter}


def timed(function: Callable[[], object]) -> Measure:
    """Measures ``function`` in this process, with the clock of :func:`clock_name`."""
    return _timed(function, CLOCKS[clock_name()])


def wall(function: Callable[[], object]) -> Measure:
    """Measures ``function`` in this process in wall time, for functions that wait for a disk."""
    return _timed(function, time.perf_counter)


def _timed(function: Callable[[], object], clock: Callable[[], float]) -> Measure:
    def measure(calls: int) -> float:
        began = clock()
        for _ in range(calls):
            function()
        return 1000 * (clock() - began) / calls

    return measure


class NotMeasuredError(Exception):
    """Something cannot be measured here and now; the message says why."""


def wait_for_quiet(seconds: float = 30.0) -> None:
    """Wait until no other work uses the processors, because wall time would include it.

    A system without ``/proc/stat`` is assumed to be quiet.

    Raises:
        NotMeasuredError: other work went on for all of these seconds.
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
"""Share of the processors' time that other work may use while wall time is measured."""


def processors_busy(stat: Path) -> tuple[float, float]:
    """Busy ticks and all ticks of all processors since the system started."""
    ticks = [float(word) for word in stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def take_turns(measures: Mapping[str, Measure], settings: Settings, calls: int | None = None) -> list[Turn]:
    """Milliseconds per call of each measure, one after the other, in ``settings.rounds`` turns."""
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
    """The value with five significant digits: no measurement here repeats better."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value

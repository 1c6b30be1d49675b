"""Part ``populations``: members trained in one process, compared with members trained in processes of their own.

``stacked`` is what ``--seeds`` does: one process, all members in the same tensors. ``processes`` is one process per
member, each with one thread, pinned to the processors in turn; all make the same number of steps at the same time. Both
have two figures:

- CPU time per member-step with one thread; for the processes, their mean while all of them run. Other work on the
  machine hardly changes it. With one thread per processor, throughput is processors divided by this;
- member-steps per second of wall time, stacked with as many threads as processors. It is left out while other work uses
  the processors, which would distort it, most of all for two threads that wait for each other.
"""

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.harness import NotMeasuredError, Result, Settings, Turn, column, ratio, shown, spread, wait_for_quiet
from benchmarks.peers.client import Peer

MEMBERS = (1, 2, 4, 8)
HIDDEN = {"2 x 64": (64, 64), "2 x 256": (256, 256)}
CALLS = {"2 x 64": 4, "2 x 256": 1}


def together(peers: Sequence[Peer], step: str, calls: int, threads: int = 1) -> tuple[float, float]:
    """Milliseconds per step when all peers run at once: wall time until the last one ends, and their mean CPU time."""
    began = time.perf_counter()
    for peer in peers:
        peer.ask(calls, step, threads)
    own = [peer.answer()["process"] for peer in peers]
    return 1000 * (time.perf_counter() - began) / calls, statistics.mean(own)


def turn(stacked: Peer, apart: Sequence[Peer], name: str, calls: int, threads: int | None) -> Turn:
    """Measure both ways once, in milliseconds per member-step: CPU time ``..._cpu``, wall time ``..._wall``.

    ``threads`` is the number of threads of the stacked members for wall time; None leaves wall time out.
    """
    count = len(apart)
    _, stacked_cpu = together([stacked], f"{name} {count}", calls)
    wall, cpu = together(apart, f"{name} 1", calls)
    found = {"stacked_cpu": stacked_cpu / count, "processes_cpu": cpu}
    if threads is not None:
        stacked_wall, _ = together([stacked], f"{name} {count}", calls, threads)
        found |= {"stacked_wall": stacked_wall / count, "processes_wall": wall / count}
    return found


def figures_of(turns: Sequence[Turn]) -> dict[str, Any]:
    """The figures of one width and number of members, from its turns."""
    clocks = [clock for clock in ("cpu", "wall") if f"stacked_{clock}" in turns[0]]
    rates = {
        way: [1000 / each[f"{way}_wall"] for each in turns] for way in ("stacked", "processes") if "wall" in clocks
    }
    return {
        "ms": {what: column(turns, what) for what in turns[0]},
        "per_second": {way: spread(values) for way, values in rates.items()},
        "stacked_over_processes": {clock: ratio(turns, f"stacked_{clock}", f"processes_{clock}") for clock in clocks},
    }


def measure(settings: Settings) -> Result:
    """Measure small and large networks with several numbers of members."""
    members = (2,) if settings.small else MEMBERS
    hidden = {"2 x 64": HIDDEN["2 x 64"]} if settings.small else HIDDEN
    processors = sorted(os.sched_getaffinity(0))
    widths: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        stacked, *apart = [
            stack.enter_context(Peer("prudent", None, 1, cpu=cpu, options={"hidden": hidden}))
            for cpu in (None, *(processors[i % len(processors)] for i in range(max(members))))
        ]
        try:
            wait_for_quiet(0 if settings.small else 30)
            threads = len(processors)
        except NotMeasuredError:
            threads = None
        for name in hidden:
            calls = 1 if settings.small else CALLS[name]
            widths[name] = {}
            for count in members:
                turns = [turn(stacked, apart[:count], name, calls, threads) for _ in range(settings.rounds + 1)][1:]
                widths[name][str(count)] = figures_of(turns)
    return Result(
        part="populations",
        what=f"members as one program and as processes, {len(processors)} processors, the work item",
        clock="process",
        margin=0.25,
        ratios={
            f"{name}, P {count}, stacked over processes": figures["stacked_over_processes"]["cpu"]
            for name, found in widths.items()
            for count, figures in found.items()
        },
        figures=widths,
    )


def lines(result: Result) -> list[str]:
    """A line for each width and number of members."""
    return [
        f"  {name}, P {count}: ms of one thread per member-step, stacked {shown(found['ms']['stacked_cpu'], '.1f')}, "
        f"processes {shown(found['ms']['processes_cpu'], '.1f')}; per second on the wall "
        + (", ".join(f"{way} {shown(rate, '.1f')}" for way, rate in found["per_second"].items()) or "not measured")
        for name, by_members in result.figures.items()
        for count, found in by_members.items()
    ]

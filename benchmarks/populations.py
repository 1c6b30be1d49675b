"""Part ``populations``: members trained as one program against members trained as processes of their own.

``stacked`` is what ``--seeds`` does: one process, all members in the same tensors. ``processes`` is one process per
member, each with one thread, pinned to the processors in turn; all are asked for the same number of steps at once. Two
figures of each:

- processor time per member-step, of one thread: stacked, and the mean of the processes while all of them run. Others on
  the machine hardly touch it. With one thread per processor, throughput is processors over this;
- member-steps per second on the wall, stacked with as many threads as there are processors. On a machine that others
  use this says what was left over, and two threads that wait for each other lose most.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import work
from benchmarks.harness import Result, Settings, Turn, column, ratio, shown, spread
from benchmarks.peers.client import Peer, save_columns

MEMBERS = (1, 2, 4, 8)
HIDDEN = {"2 x 64": (64, 64), "2 x 256": (256, 256)}
CALLS = {"2 x 64": 12, "2 x 256": 3}


def together(peers: Sequence[Peer], calls: int) -> tuple[float, float]:
    """Milliseconds per step when all are asked at once: on the wall until the last has answered, and each one's mean
    of its own processor time."""
    began = time.perf_counter()
    for peer in peers:
        peer.ask(calls)
    own = [peer.answer()["process"] for peer in peers]
    return 1000 * (time.perf_counter() - began) / calls, statistics.mean(own)


def turns_of(alone: Peer, all_threads: Peer, apart: Sequence[Peer], rounds: int, calls: int) -> list[Turn]:
    """Both ways in turn, milliseconds per member-step: ``..._cpu`` of the processor, ``..._wall`` on the wall."""
    count, turns = len(apart), []
    for _ in range(rounds + 1):
        stacked_cpu = together([alone], calls)[1] / count
        stacked_wall = together([all_threads], calls)[0] / count
        wall, cpu = together(apart, calls)
        turns.append(
            {
                "stacked_cpu": stacked_cpu,
                "stacked_wall": stacked_wall,
                "processes_cpu": cpu,
                "processes_wall": wall / count,
            }
        )
    return turns[1:]


def of_width(name: str, members: Sequence[int], settings: Settings, data: Path) -> dict[str, dict[str, Any]]:
    """What was found for each number of members."""
    processors = sorted(os.sched_getaffinity(0))
    calls = 1 if settings.small else CALLS[name]
    one = {"hidden": HIDDEN[name], "members": 1}
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        apart = [
            stack.enter_context(Peer("prudent", data, 1, cpu=processors[i % len(processors)], options=one))
            for i in range(max(members))
        ]
        for count in members:
            several = {**one, "members": count}
            alone = apart[0] if count == 1 else Peer("prudent", data, 1, options=several)
            with ExitStack() as inner:
                if count > 1:
                    inner.enter_context(alone)
                all_threads = inner.enter_context(Peer("prudent", data, len(processors), options=several))
                turns = turns_of(alone, all_threads, apart[:count], settings.rounds, calls)
            found[str(count)] = {
                "ms": {what: column(turns, what) for what in turns[0]},
                "per_second": {
                    way: spread([1000 / turn[f"{way}_wall"] for turn in turns]) for way in ("stacked", "processes")
                },
                "stacked_over_processes_cpu": ratio(turns, "stacked_cpu", "processes_cpu"),
                "stacked_over_processes_wall": ratio(turns, "stacked_wall", "processes_wall"),
            }
    return found


def measure(settings: Settings) -> Result:
    """Small and large networks, by number of members."""
    members = (2,) if settings.small else MEMBERS
    with tempfile.TemporaryDirectory() as folder:
        data = save_columns(Path(folder), work.columns(100))
        names = ("2 x 64",) if settings.small else tuple(HIDDEN)
        widths = {name: of_width(name, members, settings, data) for name in names}
    return Result(
        part="populations",
        what=f"members as one program and as processes, {len(os.sched_getaffinity(0))} processors, the work item",
        clock="process",
        margin=0.25,
        ratios={
            f"{name}, P {count}, stacked over processes": figures["stacked_over_processes_cpu"]
            for name, found in widths.items()
            for count, figures in found.items()
        },
        figures=widths,
    )


def lines(result: Result) -> list[str]:
    """A line for each width and number of members."""
    return [
        f"  {name}, P {count}: ms of one thread per member-step, stacked {shown(found['ms']['stacked_cpu'], '.1f')}, "
        f"process {shown(found['ms']['processes_cpu'], '.1f')}; per second on the wall, stacked "
        f"{shown(found['per_second']['stacked'], '.1f')}, processes {shown(found['per_second']['processes'], '.1f')}"
        for name, by_members in result.figures.items()
        for count, found in by_members.items()
    ]

"""Part ``checkpoints``: milliseconds to save and to load, by size.

Saving flushes to the disk, so times are wall time. The unit is the simplest alternative: the same number of bytes,
written to one file and flushed, or read from it.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import work
from benchmarks.harness import Measure, Result, Settings, column, ratio, shown, take_turns, wall
from prudent.algorithms import cql
from prudent.runs import checkpoint

SIZES: dict[str, tuple[tuple[int, int], int]] = {
    "2 x 64": ((64, 64), 1),
    "2 x 256": ((256, 256), 1),
    "2 x 256, 8 members": ((256, 256), 8),
    "2 x 1024": ((1024, 1024), 1),
}
UNITS = (("save", "write"), ("load", "read"))


def plain_write(path: Path, content: bytes) -> Callable[[], None]:
    """A function that writes bytes to one file and flushes it."""

    def write() -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    return write


def measures_of(folder: Path, hidden: tuple[int, int], members: int) -> tuple[dict[str, Measure], int]:
    """Measures of saving, loading and their units for one size, and the bytes of a checkpoint."""
    population = work.untrained(work.SPEC, cql.Config(hidden=hidden), members)
    saved = checkpoint.save(folder, population, {}, keep=1)
    size = sum(file.stat().st_size for file in saved.iterdir())
    plain = folder / "plain"
    write = plain_write(plain, bytes(size))
    write()
    return {
        "save": wall(lambda: checkpoint.save(folder, population, {}, keep=1)),
        "write": wall(write),
        "load": wall(lambda: checkpoint.load(folder)),
        "read": wall(plain.read_bytes),
    }, size


def measure(settings: Settings) -> Result:
    """Measure every size in turn, in a temporary folder."""
    measures: dict[str, Measure] = {}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, shape) in enumerate(list(SIZES.items())[: 1 if settings.small else None]):
            own = Path(folder) / str(index)
            own.mkdir()
            found, size = measures_of(own, *shape)
            measures |= {f"{what} {name}": each for what, each in found.items()}
            sizes[name] = size / 1e6
        turns = take_turns(measures, settings)
    return Result(
        part="checkpoints",
        what="checkpoints of CQL, 17 observation and 6 action features",
        clock="wall",
        margin=0.5,
        ratios={f"{a} {name}_over_{b}": ratio(turns, f"{a} {name}", f"{b} {name}") for name in sizes for a, b in UNITS},
        figures={"ms": {name: column(turns, name) for name in measures}, "megabytes": sizes},
    )


def lines(result: Result) -> list[str]:
    """A line for each size."""
    ms = result.figures["ms"]
    return [
        f"  {name:<20} {size:6.1f} MB; save {shown(ms[f'save {name}'], '.1f')} ms, "
        f"load {shown(ms[f'load {name}'], '.1f')} ms; "
        f"bare write {ms[f'write {name}']['median']:.1f}, read {ms[f'read {name}']['median']:.1f}"
        for name, size in result.figures["megabytes"].items()
    ]

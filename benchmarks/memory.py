"""Part ``memory``: the peak resident memory of a training run from the command line, as the system counts it.

The unit is the size of the data: the peak, minus the peak of a process that only imports, divided by the columns'
bytes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import work
from benchmarks.harness import Result, Settings, shown, spread
from prudent.data import load_dataset, writers

MIB, BUILTIN = 2**20, "pendulum-mixed"


PROBE = """
import atexit, resource, runpy, sys
from pathlib import Path

def tell():
    status = Path("/proc/self/status")
    if status.exists():
        high = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        kib = int(high[0])
    else:
        kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    Path(told).write_text(str(kib))

told, module, sys.argv = sys.argv[1], sys.argv[2], sys.argv[2:]
atexit.register(tell)
runpy.run_module(module, run_name="__main__" if sys.argv[1:] else module)
"""
"""The program of a measured process: it runs a module and at its end writes its peak in KiB to a file. The system's
figure for a child process that has ended would be wrong: it starts at the memory of the parent."""


def peak(folder: Path, words: list[str]) -> float:
    """Peak resident memory, in MiB, of a Python process that runs a module with arguments."""
    told = folder / "peak"
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(told), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return int(float(told.read_text())) / 1024


def measure(settings: Settings) -> Result:
    """Measure a process that only imports, and runs on the built-in dataset and on a large file, three times each."""
    rows, steps, times = (2_000, 2, 1) if settings.small else (1_000_000, 50, 3)
    imported: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.hdf5"
        data = work.dataset(rows)
        writers.write(data, str(large), {})
        sources = {"large": str(large)} if settings.small else {BUILTIN: BUILTIN, "large": str(large)}
        sizes = {name: bytes_of(data if name == "large" else load_dataset(name)) for name in sources}
        found: dict[str, list[float]] = {name: [] for name in sources}
        del data
        for turn in range(times):
            imported.append(peak(Path(folder), ["prudent.training.start"]))
            for name, source in sources.items():
                out = Path(folder) / f"{name}-{turn}"
                found[name].append(peak(Path(folder), train(source, steps, out)))
    need = [(value - base) / (sizes["large"] / MIB) for value, base in zip(found["large"], imported, strict=True)]
    return Result(
        part="memory",
        what=f"prudent train --algo cql, {steps} steps; the large file is HDF5 with {rows:,} transitions",
        clock="none",
        margin=0.1,
        ratios={"large_over_data": spread(need)},
        figures={
            "mib": {"imported": spread(imported), **{name: spread(values) for name, values in found.items()}},
            "data_mib": {name: size / MIB for name, size in sizes.items()},
        },
    )


def train(source: str, steps: int, out: Path) -> list[str]:
    """The command line of a run."""
    return ["prudent", "train", source, "--algo", "cql", "--steps", str(steps), "--out", str(out)]


def bytes_of(dataset: Any) -> int:
    """Bytes of the columns of a dataset."""
    return sum(value.nbytes for value in vars(dataset).values() if isinstance(value, np.ndarray))


def lines(result: Result) -> list[str]:
    """A line for each process."""
    data = result.figures["data_mib"]
    told = [
        f"  {name:<16} at most {shown(mib, '.0f')} MiB" + (f"; its data {data[name]:.0f} MiB" if name in data else "")
        for name, mib in result.figures["mib"].items()
    ]
    return [*told, f"  large: need beyond imports, over its data {shown(result.ratios['large_over_data'])}"]

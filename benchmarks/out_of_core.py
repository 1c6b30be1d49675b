"""The cost of training on data larger than memory: resident memory, time per step, and time to load.

Writes a synthetic dataset (17 observation and 6 action features, episodes of 1000) as a folder of mapped columns, and a
smaller one that is also held in memory. It measures:

- memory: the resident memory of a process that trains CQL on the large dataset, sampled while it trains
  (``/proc/self/status``: VmRSS; its part RssAnon belongs to the process, its part RssFile are pages of files, which the
  system can take back);
- time: a training step on the small dataset in memory, on the small one mapped, and on the large one mapped, in turn,
  round after round, with the files in the system's cache; the unit is the step in memory. Then the same for the large
  dataset, with its files dropped from the cache before every round, so that rows come from the disk;
- loading: ``load_dataset`` of a D4RL HDF5 file of 2 M rows, compared with reading the same columns with h5py, in turn.

On a shared machine only the ratios mean something. There is no pass or fail. It needs Linux.

    python benchmarks/out_of_core.py [--rows 50000000] [--memory-rows 10000000] [--folder /tmp] [--threads 1]
    python benchmarks/out_of_core.py --loading
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from prudent import algorithms
from prudent.data import Dataset, load_dataset
from prudent.data.columns import blocks
from prudent.data.dataset import COLUMNS
from prudent.data.mapped.folder import Writer
from prudent.engine.members import grid
from prudent.engine.options import Options
from prudent.engine.population import Population
from prudent.engine.process import prepare_process
from prudent.engine.scaling import Scaling
from prudent.runs.machine import environment
from prudent.types import Spec

OBSERVATION, ACTION, EPISODE = 17, 6, 1000
SPEC = Spec(OBSERVATION, ACTION, False, (-1.0,) * ACTION, (1.0,) * ACTION)
RESULTS = Path(__file__).resolve().parent / "results"
LOADED_ROWS, PAIRS = 2_000_000, 7


def write_synthetic(folder: Path, rows: int) -> float:
    """Write the dataset; returns the seconds, which include the time to compute its summary."""
    began = time.perf_counter()
    generator = np.random.default_rng(0)
    with Writer(folder, rows) as writer:
        state = generator.standard_normal((1, OBSERVATION), dtype=np.float32)
        for block in blocks(rows):
            count = block.stop - block.start
            states = np.concatenate([state, generator.standard_normal((count, OBSERVATION), dtype=np.float32)])
            state = states[-1:]
            ends = np.arange(block.start + 1, block.stop + 1) % EPISODE == 0
            ends[-1] |= block.stop == rows
            writer.append(
                {
                    "observation": states[:-1],
                    "action": generator.random((count, ACTION), dtype=np.float32) * 2 - 1,
                    "reward": generator.standard_normal(count, dtype=np.float32),
                    "next_observation": states[1:],
                    "terminated": np.zeros(count, dtype=bool),
                    "truncated": ends,
                }
            )
        writer.finish(SPEC, folder.name)
    return time.perf_counter() - began


def in_memory(dataset: Dataset) -> Dataset:
    """The same dataset, read into memory."""
    return replace(dataset, **{key: np.array(getattr(dataset, key)) for key in COLUMNS})


def population_on(dataset: Dataset, algorithm: str) -> tuple[Population, Callable[[], object]]:
    """A population of one, and a function that makes one of its steps."""
    config = algorithms.get(algorithm).Config()
    scaling = Scaling.fit(dataset, config.normalize_observations)
    population = Population(algorithm, grid(config, {}, [0]), dataset.spec, scaling, torch.device("cpu"))
    data, _ = population.prepare(dataset)
    return population, lambda: population.step(data)


def milliseconds(function: Callable[[], object], times: int) -> float:
    """Mean time of one call."""
    began = time.perf_counter()
    for _ in range(times):
        function()
    return 1000 * (time.perf_counter() - began) / times


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and range, three decimals."""
    return {k: round(f(values), 3) for k, f in (("median", statistics.median), ("min", min), ("max", max))}


# --- memory ---------------------------------------------------------------------------------------------------


def resident() -> dict[str, float]:
    """Resident memory of this process in MiB, by kind."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith(("VmRSS", "VmHWM", "Rss"))}
    return {key: int(found[key]) / 1024 for key in ("VmRSS", "RssAnon", "RssFile", "VmHWM")}


def train_and_watch(folder: Path, steps: int) -> dict[str, Any]:
    """Train CQL on a folder in this process; returns its resident memory in MiB, also at the peak."""
    before = resident()
    _, step = population_on(load_dataset(folder), "cql")
    ready, seen = resident(), []
    for _ in range(steps):
        step()
        seen.append(resident())
    most = {key: round(max(one[key] for one in seen)) for key in ("VmRSS", "RssAnon", "RssFile", "VmHWM")}
    return {
        "steps": steps,
        "before_loading_VmRSS": round(before["VmRSS"]),
        "before_first_step_VmRSS": round(ready["VmRSS"]),
        "most_while_training": most,
        "last_VmRSS": round(seen[-1]["VmRSS"]),
    }


# --- time -----------------------------------------------------------------------------------------------------


def forget(folder: Path) -> None:
    """Drop the files of a folder from the system's cache."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def remember(folder: Path) -> None:
    """Let the system read the files of a folder into its cache, as far as there is room."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def measure_steps(small: Path, large: Path, algorithm: str, rounds: int, steps: int) -> dict[str, Any]:
    """Measure the time per step of every dataset in turn, and its ratio to the time in memory."""
    mapped = load_dataset(small)
    arms = {
        "memory": population_on(in_memory(mapped), algorithm),
        "mapped": population_on(mapped, algorithm),
        "mapped_large": population_on(load_dataset(large), algorithm),
    }
    for _, step in arms.values():
        milliseconds(step, 2)
    remember(large)
    cached = _in_turn(arms, rounds, steps)
    remember(small)
    uncached = _in_turn({key: arms[key] for key in ("memory", "mapped_large")}, rounds, steps, lambda: forget(large))
    # To compare parameters, make the steps that this one missed in the second part.
    milliseconds(arms["mapped"][1], rounds * steps)
    same = _same_state(arms["memory"][0], arms["mapped"][0])
    return {
        "rounds": rounds,
        "steps_per_round": steps,
        "cached": _ratios(cached),
        "uncached": _ratios(uncached),
        "parameters_identical_after_all_steps": same,
    }


def _in_turn(
    arms: Mapping[str, tuple[Population, Callable[[], object]]],
    rounds: int,
    steps: int,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {key: [] for key in arms}
    for _ in range(rounds):
        before()
        for key, (_, step) in arms.items():
            times[key].append(milliseconds(step, steps))
    return times


def _ratios(times: Mapping[str, list[float]]) -> dict[str, Any]:
    over = {key: [t / m for t, m in zip(times[key], times["memory"], strict=True)] for key in times if key != "memory"}
    return {
        "step_ms": {key: spread(values) for key, values in times.items()},
        "over_memory": {key: spread(values) for key, values in over.items()},
    }


def _same_state(one: Population, other: Population) -> bool:
    first, second = one.tensors(), other.tensors()
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


# --- loading --------------------------------------------------------------------------------------------------


def measure_loading(folder: Path, compression: str | None) -> dict[str, Any]:
    """Compare ``load_dataset`` with h5py on a D4RL file of :data:`LOADED_ROWS` rows, with next observations."""
    path, generator = folder / "load.hdf5", np.random.default_rng(0)
    states = generator.standard_normal((LOADED_ROWS + 1, OBSERVATION), dtype=np.float32)
    ends = np.arange(1, LOADED_ROWS + 1) % EPISODE == 0
    table = {
        "observations": states[:-1],
        "actions": generator.random((LOADED_ROWS, ACTION), dtype=np.float32) * 2 - 1,
        "rewards": generator.standard_normal(LOADED_ROWS, dtype=np.float32),
        "terminals": np.zeros(LOADED_ROWS, dtype=bool),
        "timeouts": ends,
        "next_observations": states[1:] + ends[:, None].astype(np.float32),
    }
    with h5py.File(path, "w") as file:
        for key, column in table.items():
            file.create_dataset(key, data=column, compression=compression)
    keys = list(table)
    del table, states

    def plain() -> object:
        with h5py.File(path, "r") as file:
            return [file[key][()] for key in keys]

    pairs = []
    for _ in range(PAIRS + 1):
        read = milliseconds(plain, 1)
        pairs.append((read, milliseconds(lambda: load_dataset(path), 1)))
    path.unlink()
    pairs = pairs[1:]
    return {
        "h5py_ms": spread([read for read, _ in pairs]),
        "load_dataset_ms": spread([loaded for _, loaded in pairs]),
        "over_h5py": spread([loaded / read for read, loaded in pairs]),
    }


def measure_both_loadings(folder: Path) -> dict[str, Any]:
    """Measure loading of an uncompressed file, and of one compressed as D4RL's are."""
    return {name: measure_loading(folder, kind) for name, kind in (("contiguous", None), ("gzip", "gzip"))}


# --- all ------------------------------------------------------------------------------------------------------


def measure(place: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything, in folders below ``place``."""
    large, small = place / "large", place / "small"
    loading = measure_both_loadings(place)
    seconds = write_synthetic(large, arguments.rows)
    size = sum(path.stat().st_size for path in large.iterdir())
    again = [sys.executable, __file__, "--watch", str(large), "--steps", str(arguments.watch_steps)]
    watched = subprocess.run([*again, "--threads", str(arguments.threads)], check=True, capture_output=True, text=True)
    write_synthetic(small, arguments.memory_rows)
    steps = {
        name: measure_steps(small, large, name, arguments.rounds, count)
        for name, count in (("cql", arguments.steps), ("td3_bc", 10 * arguments.steps))
    }
    return {
        "rows": arguments.rows,
        "bytes": size,
        "memory_rows": arguments.memory_rows,
        "write_seconds": round(seconds, 1),
        "resident_mib": json.loads(watched.stdout),
        "steps": steps,
        "load_2m_rows_d4rl": loading,
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write a file under ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000, help="of the large dataset, about 200 bytes each")
    parser.add_argument("--memory-rows", type=int, default=10_000_000, help="of the one that is held in memory too")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of measurements (default: 7)")
    parser.add_argument("--steps", type=int, default=10, help="CQL steps per measurement; ten times as many of TD3+BC")
    parser.add_argument("--watch-steps", type=int, default=300, help="steps whose memory is watched (default: 300)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--loading", action="store_true", help="measure loading alone and print it; writes no results")
    parser.add_argument("--watch", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    device = prepare_process(Options(device="cpu", threads=arguments.threads))
    if arguments.watch is not None:
        print(json.dumps(train_and_watch(arguments.watch, arguments.steps)))
        return
    if arguments.loading:
        with tempfile.TemporaryDirectory(prefix="out-of-core-", dir=arguments.folder) as place:
            print(json.dumps(measure_both_loadings(Path(place)), indent=1))
        return
    needed, free = 220 * (arguments.rows + arguments.memory_rows), shutil.disk_usage(arguments.folder).free
    if needed > free:
        parser.error(f"{needed / 1e9:.0f} GB are needed in {arguments.folder}, {free / 1e9:.0f} are free: fewer --rows")
    with tempfile.TemporaryDirectory(prefix="out-of-core-", dir=arguments.folder) as place:
        found = {
            "benchmark": "out_of_core",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "environment": {**environment(device), "machine": platform.machine()},
            **measure(Path(place), arguments),
        }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "out_of_core.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

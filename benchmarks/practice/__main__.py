"""Tunes on logs of the practice problems, with default settings only, and holds what comes out against the truth.

Each finished run is a file in ``benchmarks/results/practice``, so an interrupted call continues where it stopped. The
folder of a run, which can be large, is removed when it is finished; what the tuning said stays in a text file.

    python -m benchmarks.practice [--problem inventory heater] [--seed 0 1] [--jobs 1] [--minutes 60] [--work DIR]
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.practice import NAMES, measure, table

SEEDS = (0, 1, 2, 3, 4)
WORK = Path(tempfile.gettempdir()) / "prudent-practice"


def main(arguments: list[str] | None = None) -> int:
    """Make the runs that are missing; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.practice", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--seed", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, one core each")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--work", type=Path, default=WORK, help=f"folder for unfinished runs ({WORK})")
    options = parser.parse_args(arguments)
    deadline = time.time() + 60 * options.minutes
    for name in options.problem:
        measure.truths(name)
    # Seed by seed, so that after some time there is something about every problem.
    runs = [(name, seed) for seed, name in itertools.product(options.seed, options.problem)]
    todo = [(*one, options.work, deadline) for one in runs if not measure.path_of(*one).is_file()]
    failed = 0
    if options.jobs == 1:
        failed = sum(report(measure.attempt(*one)) for one in todo)
    elif todo:
        with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
            failed = sum(report(line) for line in pool.map(measure.attempt, *zip(*todo, strict=True)))
    print(json.dumps(table.summarise(table.read(measure.RESULTS, NAMES)[1]), indent=1))
    return int(failed > 0)


def report(line: str) -> bool:
    """Print what came of a run; whether it failed."""
    if line:
        print(line, flush=True)
    return " failed: " in line


if __name__ == "__main__":
    sys.exit(main())

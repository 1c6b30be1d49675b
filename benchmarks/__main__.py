"""``python -m benchmarks``: measure all or some parts, and store the results or compare them with the stored ones."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, suite
from benchmarks.harness import PASSIVE, RESULTS, ROOT, NotMeasuredError, Settings, prepare, wait_for_quiet

PICTURE = ROOT / "docs" / "images" / "bench.png"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    made.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(suite.PARTS)} (default: all)")
    made.add_argument("--rounds", type=int, default=7, help="turns that count, 5 or more (default: 7)")
    made.add_argument("--calls", type=int, default=3, help="calls per measurement (default: 3)")
    made.add_argument("--peers", metavar="PYTHON", help="the Python of an environment with d3rlpy")
    made.add_argument("--check", action="store_true", help="compare ratios with the stored results, and store nothing")
    made.add_argument("--threads", type=int, help="measure PART in this process, with so many threads")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run; returns the exit status: 0, or with ``--check`` 1 if a ratio got worse, 2 if results cannot be compared."""
    arguments = parser().parse_args(words)
    unknown = [part for part in arguments.parts if part not in suite.PARTS]
    if unknown or arguments.rounds < 5 or arguments.calls < 1:
        parser().error(f"no part {unknown[0]!r}" if unknown else "--rounds must be 5 or more and --calls 1 or more")
    if arguments.threads is not None:
        if len(arguments.parts) != 1 or arguments.check:
            parser().error("--threads takes one PART and no --check")
        return measure_here(arguments)
    chosen = arguments.parts or list(suite.PARTS)
    try:
        return _all(chosen, arguments)
    except subprocess.CalledProcessError as failed:
        # The process has already printed why.
        print(f"{' '.join(failed.cmd[3:6])} failed with exit code {failed.returncode}", file=sys.stderr)
        return 1


def _all(chosen: Sequence[str], arguments: argparse.Namespace) -> int:
    if not arguments.check:
        measure_all(chosen, arguments, arguments.out)
        from benchmarks import picture

        print(f"results in {arguments.out}; {picture.draw(arguments.out, PICTURE) if arguments.out == RESULTS else ''}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        measure_all(chosen, arguments, Path(folder))
        return check(Path(folder), arguments.out)


def measure_here(arguments: argparse.Namespace) -> int:
    """Measure one part in this process."""
    (part,) = arguments.parts
    prepare(arguments.threads)
    module = suite.module(part)
    began, load = time.perf_counter(), os.getloadavg()[0]
    result = module.measure(Settings(arguments.rounds, arguments.calls, peers=arguments.peers))
    took = time.perf_counter() - began
    said = {"process": "process's", "thread": "main thread's"}.get(result.clock, result.clock)
    print(f"{part}: {result.what}; {arguments.threads} threads, clock: {said}, {took:.0f} s, median (range)")
    print("\n".join(module.lines(result)), flush=True)
    result.load = [load, os.getloadavg()[0]]
    result.write(arguments.out)
    return 0


def measure_all(parts: Sequence[str], arguments: argparse.Namespace, out: Path) -> None:
    """Measure every part in a process of its own, one after the other."""
    if arguments.peers is None and "step" in parts:
        print("d3rlpy is left out: no --peers PYTHON")
    shared = ["--rounds", str(arguments.rounds), "--calls", str(arguments.calls), "--out", str(out)]
    shared += [] if arguments.peers is None else ["--peers", arguments.peers]
    for part in parts:
        for threads in suite.PARTS[part]:
            words = [sys.executable, "-m", "benchmarks", part, "--threads", str(threads), *shared]
            pinned = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
            subprocess.run(words, cwd=ROOT, env={**os.environ, **pinned, **waiting(threads)}, check=True)


def waiting(threads: int) -> dict[str, str]:
    """The environment for several threads: on a busy machine they sleep while they wait, and the clock changes."""
    if threads == 1:
        return {}
    try:
        wait_for_quiet()
    except NotMeasuredError as error:
        print(f"{error}: {threads} threads go by the main thread's clock instead of the wall's", flush=True)
        return PASSIVE
    return {}


def check(found: Path, stored: Path) -> int:
    """Compare two folders of results and print the differences; returns the exit status."""
    told: list[str] = []
    unlike: list[str] = []
    for path in sorted(found.glob("*.json")):
        try:
            if not (stored / path.name).exists():
                raise compare.NotComparableError(f"{path.name}: no stored result in {stored}")
            told += compare.worse(*(json.loads((folder / path.name).read_text("utf-8")) for folder in (stored, found)))
        except compare.NotComparableError as error:
            unlike.append(str(error))
    for line in unlike:
        print(f"not compared: {line}")
    for line in told:
        print(f"worse: {line}")
    if not told and not unlike:
        print("no ratio got worse by more than its margin beyond its range")
    return 1 if told else 2 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())

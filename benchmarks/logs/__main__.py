"""Make the logs of ``benchmarks/logs/recipe.toml``, as far as that is left to do.

A log that is there is not made again. An interrupted training of SAC goes on from its last checkpoint, so the same
command resumes. The figures of all logs are written to ``--results``.

    python -m benchmarks.logs [--out logs] [--jobs 2] [--only hopper-medium ...] [--recipe FILE] [--results FILE]
"""

import argparse
import shlex
import signal
import sys
from pathlib import Path

from benchmarks.logs import jobs, recipe, table


def main(arguments: list[str] | None = None) -> int:
    """Make the logs that are missing; returns 1 if one of them failed, 130 if a signal stopped it."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.logs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("logs"), help="folder of the logs (default: logs)")
    parser.add_argument("--jobs", type=int, default=2, help="tasks at the same time, one core each (default: 2)")
    parser.add_argument("--only", nargs="+", metavar="LOG", help="make these logs only, such as hopper-medium")
    parser.add_argument("--recipe", type=Path, default=recipe.RECIPE, help="another recipe")
    parser.add_argument("--results", type=Path, default=table.RESULTS, help=f"default: {table.RESULTS}")
    parser.add_argument("--show", action="store_true", help="print the commands, and make nothing")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {options.jobs}")
    every = recipe.logs(recipe.read(options.recipe), options.out)
    names = [log.name for log in every]
    if unknown := [name for name in options.only or () if name not in names]:
        parser.error(f"no log is called {unknown[0]}: {', '.join(names)}")
    chosen = [log for log in every if log.name in (options.only or names)]
    if options.show:
        print("\n".join(shlex.join(["prudent", "data", "collect", *log.words]) for log in chosen))
        return 0
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        failed = jobs.make(chosen, options.jobs, lambda _: table.store(every, options.results))
    except KeyboardInterrupt:
        print("interrupted; the trainings are kept, and the same command goes on", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""Trains this library and its peers on logs for the same CPU minutes, and shows the return over the minutes.

Each finished run is added to the file of results, so an interrupted call continues with what is missing. LOG is a file
in D4RL's layout, a built-in dataset, A+B for two files as one log, or a folder of files, such as make logs leaves.

    python -m benchmarks.returns LOG [LOG ...] [--peers PYTHON] [--racers quick bc] [--seeds 0 1 2] [--minutes 30]
"""

import argparse
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, ROOT, machine, prepare
from benchmarks.peers.client import PeerError
from benchmarks.racers import figures_of
from benchmarks.returns import course, logs, picture, results, table
from benchmarks.returns.racers import RACERS, started
from prudent.data import Dataset
from prudent.errors import ConfigError, PrudentError


def parsed(words: list[str] | None) -> argparse.Namespace:
    """The words of the command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.returns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", metavar="LOG")
    parser.add_argument(
        "--env", metavar="ID", help="environment of all logs (default: by the beginning of their names)"
    )
    parser.add_argument(
        "--peers", metavar="PYTHON", help="the Python of an environment with d3rlpy (make bench makes one)"
    )
    parser.add_argument(
        "--racers",
        nargs="+",
        choices=RACERS,
        metavar="NAME",
        help=f"of {', '.join(RACERS)} (default: all that can run)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--minutes", type=float, default=30.0, help="CPU minutes of training per run (default: 30)")
    parser.add_argument("--times", type=int, default=1, help="d3rlpy's CQL gets so many times the minutes (default: 1)")
    parser.add_argument("--marks", type=int, default=12, help="evaluations in these minutes (default: 12)")
    parser.add_argument("--episodes", type=int, default=10, help="episodes per evaluation (default: 10)")
    parser.add_argument("--results", type=Path, default=RESULTS / "returns.json", help="file of results")
    parser.add_argument(
        "--picture", type=Path, default=ROOT / "docs" / "images" / "returns.png", help="file of the figure"
    )
    return parser.parse_args(words)


def checked(options: argparse.Namespace) -> list[str]:
    """The racers.

    Raises:
        ConfigError: a number is too small, or a racer needs ``--peers``.
    """
    for name in ("minutes", "times", "marks", "episodes"):
        if not getattr(options, name) > 0:
            raise ConfigError(f"--{name} must be above 0, got {getattr(options, name):g}")
    if len(set(options.seeds)) < len(options.seeds) or min(options.seeds) < 0:
        raise ConfigError(f"--seeds must be different whole numbers from 0, got {options.seeds}")
    if options.peers and shutil.which(options.peers) is None:
        raise ConfigError(f"--peers: there is no program {options.peers}")
    if options.racers is None:
        return [name for name, racer in RACERS.items() if options.peers or not racer.installed]
    racers = list(dict.fromkeys(options.racers))
    alone = [name for name in racers if RACERS[name].installed and not options.peers]
    if alone:
        raise ConfigError(f"{alone[0]} needs --peers, the Python of an environment with d3rlpy (make bench makes one)")
    return racers


def one(log: logs.Log, dataset: Dataset, racer: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make one run."""
    marks = course.Marks(options.minutes, options.marks, options.times).of(racer)

    def say(point: dict[str, Any]) -> None:
        figures = ", ".join(
            f"{key} {'-' if point[key] is None else format(point[key], '.1f')}"
            for key in ("return", "predicted", "realised")
        )
        print(
            f"{log.name}, {racer}, seed {seed}: {point['minutes']:.2f} min, step {point['step']:,}: {figures}",
            flush=True,
        )

    with started(RACERS[racer], dataset, seed, options.peers) as racing:
        points = course.run(
            marks, racing.measure, lambda: figures_of(racing.agent, log.env, options.episodes), racing.seconds, say
        )
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"log": log.name, "racer": racer, "seed": seed, "date": date, "versions": racing.versions, "points": points}


def race(options: argparse.Namespace) -> None:
    """Make the runs that are missing, then draw the figure.

    Raises:
        PrudentError: a log, an option or the file of results is not usable.
        PeerError: a peer did not start, or ended too early.
    """
    racers = checked(options)
    prepare(1)
    settings = {name: getattr(options, name) for name in ("minutes", "times", "marks", "episodes")}
    found = results.opened(options.results, settings, machine())
    named = {log.name: log for log in logs.named(options.logs, options.env)}
    datasets = {name: log.load() for name, log in named.items()}
    for name, dataset in datasets.items():
        results.add_log(found, name, logs.recorded(named[name], dataset), options.results)
    missing = results.missing(found, list(named), racers, options.seeds)
    for index, (name, racer, seed) in enumerate(missing):
        print(f"[{index} of {len(missing)} runs]", flush=True)
        found["runs"].append(one(named[name], datasets[name], racer, seed, options))
        results.write(found, options.results)
    picture.draw(found, options.picture)
    head, rows = table.rows(found)
    print("\n".join(" | ".join(cells) for cells in (head, *rows)))
    print(f"results in {options.results}, figure in {options.picture}")


def main(words: list[str] | None = None) -> int:
    """Race; a mistake of the user ends in one line and exit code 2."""
    try:
        race(parsed(words))
    except (PrudentError, PeerError) as error:
        print(f"benchmarks.returns: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

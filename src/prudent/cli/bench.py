"""``prudent bench``: run a suite of algorithms and datasets, or list the suites."""

import sys
from dataclasses import replace
from pathlib import Path

from prudent.cli.flags import Parser
from prudent.cli.own_algorithms import add_algo, check_used, take
from prudent.errors import ConfigError

FAILED = 1
"""Exit code when some cells failed."""


def bench(words: list[str]) -> None:
    """Train the unfinished cells of a suite, and write its table and figure; exits with 1 if a cell failed."""
    parser = Parser(
        prog="prudent bench",
        usage="prudent bench SUITE [--out FOLDER] [--only ALGO,...] [--datasets NAME,...] [--logger NAME ...]\n"
        "                     [--dry-run | --render]\n"
        "       prudent bench --list",
        description="Train every algorithm of a suite on every dataset, all seeds of a cell as one population, and put "
        "the results in one table and one figure. Complete cells are skipped, stopped ones continue.",
    )
    parser.add_argument("suite", nargs="?", help="name of a suite (see --list), or a .toml file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the runs (default: bench/SUITE)")
    parser.add_argument("--only", type=_names, default=[], metavar="ALGO,...", help="train only these algorithms")
    parser.add_argument("--datasets", type=_names, default=[], metavar="NAME,...", help="train only on these datasets")
    parser.add_argument(
        "--logger", type=str, nargs="+", metavar="NAME", help="where metrics go (default: as the suite's [train] says)"
    )
    add_algo(parser)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="show the state of each cell, train nothing")
    mode.add_argument(
        "--render", action="store_true", help="write table and figure of the finished cells, train nothing"
    )
    mode.add_argument("--list", action="store_true", help="list the suites that come with prudent")
    arguments = parser.parse_strict(words)

    from prudent import bench

    if arguments.list:
        titles = bench.shipped()
        width = max(map(len, titles))
        print("\n".join(f"{name:{width}}  {title}" for name, title in titles.items()))
        return
    if arguments.suite is None:
        raise ConfigError("bench: name a suite (see prudent bench --list) or a .toml file")
    take(arguments.algo)
    suite = bench.load(arguments.suite)
    check_used(arguments.algo, [cell.algorithm for cell in suite.cells], f"suite {suite.name}")
    out = arguments.out or Path("bench") / suite.name
    cells = suite.choose(arguments.only, arguments.datasets)
    if arguments.logger is not None:
        cells = [replace(cell, options=replace(cell.options, logger=tuple(arguments.logger))) for cell in cells]
    if arguments.dry_run:
        print(bench.plan(suite, out, cells))
    elif arguments.render:
        print(bench.render(suite, out))
    elif failed := bench.run(suite, out, cells):
        message = f"{len(failed)} of {len(cells)} cells failed: {', '.join(failed)}"
        print(f"prudent: {message}; the table says why, the same command tries again", file=sys.stderr)
        sys.exit(FAILED)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]

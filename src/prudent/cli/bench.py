"""``prudent bench``: a suite of algorithms and datasets, or the list of suites."""

import sys
from pathlib import Path

from prudent.cli.flags import Parser
from prudent.errors import ConfigError

FAILED = 1
"""Exit code when every cell was dealt with and some failed."""


def bench(words: list[str]) -> None:
    """Train what is left of a suite, and write its table and figure; exits with 1 where a cell failed."""
    parser = Parser(
        prog="prudent bench",
        usage="prudent bench SUITE [--out FOLDER] [--only ALGO,...] [--datasets NAME,...] [--dry-run | --render]\n"
        "       prudent bench --list",
        description="Train every algorithm of a suite on every dataset, all seeds of a cell as one population, and put "
        "the results in one table and one figure. What is complete is skipped, what was stopped goes on.",
    )
    parser.add_argument("suite", nargs="?", help="name of a suite (see --list), or a .toml file")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the runs are (default: bench/SUITE)")
    parser.add_argument("--only", type=_names, default=[], metavar="ALGO,...", help="train these algorithms alone")
    parser.add_argument("--datasets", type=_names, default=[], metavar="NAME,...", help="train on these data alone")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say how each cell stands, and train nothing")
    what.add_argument("--render", action="store_true", help="write table and figure of what is there, train nothing")
    what.add_argument("--list", action="store_true", help="name the suites that come with prudent")
    found = parser.parse_strict(words)

    from prudent import bench

    if found.list:
        titles = bench.shipped()
        width = max(map(len, titles))
        print("\n".join(f"{name:{width}}  {title}" for name, title in titles.items()))
        return
    if found.suite is None:
        raise ConfigError("bench: name a suite (see prudent bench --list) or a .toml file")
    suite = bench.load(found.suite)
    out = found.out or Path("bench") / suite.name
    chosen = suite.choose(found.only, found.datasets)
    if found.dry_run:
        print(bench.plan(suite, out, chosen))
    elif found.render:
        print(bench.render(suite, out))
    else:
        failed = bench.run(suite, out, chosen)
        if failed:
            told = f"{len(failed)} of {len(chosen)} cells failed: {', '.join(failed)}"
            print(f"prudent: {told}; the table says why, the same command tries again", file=sys.stderr)
            sys.exit(FAILED)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]

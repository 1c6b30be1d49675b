"""``prudent tune``: which alpha, which policy, and whether it is good enough, from a log alone."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prudent.cli._common import add_data_flags, data_options
from prudent.errors import ConfigError


def tune(words: list[str]) -> None:
    from dataclasses import fields

    from prudent import algorithms
    from prudent.cli.flags import Parser, add_flags
    from prudent.data import load_dataset
    from prudent.tuning import ALPHAS, SEEDS, Settings
    from prudent.tuning import tune as choose
    from prudent.tuning.plan import tunable

    first = Parser(prog="prudent tune", add_help=False)
    first.add_argument("--algo")
    chosen, _ = first.parse_known_args(words)
    config_type = algorithms.get(chosen.algo or "cql").Config
    known = ", ".join([*tunable(discrete=False), *tunable(discrete=True)])

    parser = Parser(
        prog="prudent tune",
        conflict_handler="resolve",
        usage="prudent tune DATA [DATA ...] [--out FOLDER] [--algo NAME] [--alpha X ...] [--seeds N ...] [--steps N]"
        " [--splits N] [--env ID] ...",
        description="Train a grid of alpha x seed, rank it by off-policy evaluation, and say whether the best is "
        "better than BC and than what made the log. Needs no environment. The same command goes on where it stopped.",
    )
    parser.add_argument("data", nargs="*", help="dataset: file, Minari id, D4RL name or built-in; several are joined")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where everything goes (default: tuned/DATA-ALGO)")
    parser.add_argument("--algo", metavar="NAME", help=f"{known} (default: cql, or discrete_cql as the actions are)")
    add_data_flags(parser)
    add_flags(parser.add_argument_group("tuning"), Settings)
    add_flags(parser.add_argument_group(f"settings of {chosen.algo or 'cql'}"), config_type)
    # Behind the algorithm's own, whose place it takes: here alpha has several values.
    grid: dict[str, Any] = {"nargs": "+", "default": argparse.SUPPRESS}
    parser.add_argument("--alpha", type=float, metavar="X", help=f"values to try (default: {_shown(ALPHAS)})", **grid)
    parser.add_argument("--seeds", type=int, metavar="N", help=f"runs of each (default: {_shown(SEEDS)})", **grid)
    given = vars(parser.parse_strict(words))
    if not given["data"]:
        raise ConfigError("tune: name a dataset (see prudent tune --help)")
    asked = {"alpha", "seeds", *(f.name for f in (*fields(Settings), *fields(config_type)))}
    options = {name: given[name] for name in given.keys() & asked}
    dataset = load_dataset(source=given["data"], **data_options(given))
    result = choose(dataset, given["out"], algorithm=given["algo"], **options)
    print(f"\n{result}\nwritten: {result.folder / 'tune.json'}, {result.folder / 'report.html'}")


def _shown(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)

"""``prudent tune``: choose alpha and a policy from a log alone, and say whether the policy is good enough."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from prudent.cli.data_flags import add_data, add_data_flags, data_options
from prudent.cli.flags import Parser, add_flags
from prudent.errors import ConfigError


def tune(words: list[str]) -> None:
    from prudent import algorithms
    from prudent.data import load_dataset
    from prudent.tuning import ALPHAS, SEEDS, Settings
    from prudent.tuning import tune as tune_on
    from prudent.tuning.plan import tunable

    # The settings that are flags depend on --algo, which is therefore read first.
    first = Parser(prog="prudent tune", add_help=False)
    first.add_argument("--algo")
    algorithm = first.parse_known_args(words)[0].algo or "cql"
    config_type = algorithms.get(algorithm).Config
    choices = ", ".join([*tunable(discrete=False), *tunable(discrete=True)])

    parser = Parser(
        prog="prudent tune",
        conflict_handler="resolve",
        usage="prudent tune DATA [DATA ...] [--out FOLDER] [--algo NAME] [--alpha X ...] [--seeds N ...] [--steps N]"
        " [--splits N] [--env ID] ...",
        description="Train a grid of alpha x seed, rank it by off-policy evaluation, and say whether the best policy "
        "is better than BC and than the policy that made the log. Needs no environment. After a stop, the same command "
        "continues.",
    )
    add_data(parser, "*")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for all files (default: tuned/DATA-ALGO)")
    parser.add_argument(
        "--algo", metavar="NAME", help=f"{choices} (default: cql, or discrete_cql for discrete actions)"
    )
    add_data_flags(parser)
    add_flags(parser.add_argument_group("tuning"), Settings)
    add_flags(parser.add_argument_group(f"settings of {algorithm}"), config_type)
    # After the algorithm's settings, to replace its --alpha: here alpha takes several values.
    grid: dict[str, Any] = {"nargs": "+", "default": argparse.SUPPRESS}
    parser.add_argument("--alpha", type=float, metavar="X", help=f"values to try (default: {_text(ALPHAS)})", **grid)
    parser.add_argument(
        "--seeds", type=int, metavar="N", help=f"seeds for each alpha (default: {_text(SEEDS)})", **grid
    )
    arguments = vars(parser.parse_strict(words))
    if not arguments["data"]:
        raise ConfigError("tune: name a dataset (see prudent tune --help)")
    names = {"alpha", "seeds", *(f.name for f in (*fields(Settings), *fields(config_type)))}
    settings = {name: arguments[name] for name in arguments.keys() & names}
    sources = {"source": arguments["data"], **data_options(arguments)}
    dataset = load_dataset(**sources)
    result = tune_on(dataset, arguments["out"], algorithm=arguments["algo"], sources=sources, **settings)
    print(f"\n{result}\nwritten: {result.folder / 'tune.json'}, {result.folder / 'report.html'}")


def _text(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)

"""``prudent tune``: choose alpha and a policy from a log alone, and say whether the policy is good enough."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from prudent.cli.data_flags import add_data, add_data_flags, data_options
from prudent.cli.flags import Parser, add_flags
from prudent.errors import ConfigError


def tune(words: list[str]) -> None:
    from prudent import algorithms
    from prudent.config import field_comments
    from prudent.data import load_dataset
    from prudent.tuning import SEEDS, Settings
    from prudent.tuning import tune as tune_on
    from prudent.tuning.grid import FACTORS, strength_of, tunable

    # The settings that are flags depend on --algo, which is therefore read first.
    first = Parser(prog="prudent tune", add_help=False)
    add_data(first, "*")
    first.add_argument("--algo", nargs="*", type=_name)
    chosen = first.parse_known_args(words)[0].algo or ["cql"]
    if files := [name for name in chosen if algorithms.is_file(name)]:
        raise ConfigError(
            f"tune: {files[0]} is an algorithm of your own, and tune knows only how the library's become more "
            "cautious: train it with several values of a setting, and compare them with prudent value"
        )
    config_types = {name: algorithms.get(name).Config for name in chosen}
    continuous, discrete = (", ".join(tunable(discrete=kind)) for kind in (False, True))

    parser = Parser(
        prog="prudent tune",
        conflict_handler="resolve",
        usage="prudent tune DATA [DATA ...] [--out FOLDER] [--algo NAME ...] [--alpha X ...] [--seeds N ...]"
        " [--steps N] [--splits N] [--env ID] ...",
        description="Train a grid of alpha x seed, rank it by off-policy evaluation, and say whether the best policy "
        "is better than BC and than the policy that made the log. Needs no environment. After a stop, the same command "
        "continues. Without --steps, steps, networks and batches follow from the number of rows.",
    )
    add_data(parser, "*")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for all files (default: tuned/DATA-ALGO)")
    parser.add_argument(
        "--algo",
        nargs="+",
        type=_name,
        metavar="NAME",
        help=f"one or several of {continuous} (default: cql), or for discrete actions of {discrete} (default: "
        "discrete_cql)",
    )
    add_data_flags(parser)
    add_flags(parser.add_argument_group("tuning"), Settings)
    # Later groups take over flags of earlier ones: the first algorithm shows the defaults of what it shares.
    for name, config_type in reversed(config_types.items()):
        add_flags(parser.add_argument_group(f"settings of {name}"), config_type)
    # After the algorithms' settings, to replace their --alpha: here it takes several values.
    grid: dict[str, Any] = {"nargs": "+", "default": argparse.SUPPRESS}
    factors = ", ".join(f"{factor:.2g}" for factor in FACTORS)
    for name, strength in reversed([(name, strength_of(name)) for name in chosen]):
        if strength is not None:
            about = f"values to try: {field_comments(config_types[name])[strength]}".replace("%", "%%")
            text = f"{about} (default: {factors} times what suits the log, and further beyond an edge that wins)"
            flag = "--" + strength.replace("_", "-")
            parser.add_argument(flag, dest=strength, type=float, metavar="X", help=text, **grid)
    seeds = " ".join(str(seed) for seed in SEEDS)
    parser.add_argument("--seeds", type=int, metavar="N", help=f"seeds for each value (default: {seeds})", **grid)
    arguments = vars(parser.parse_strict(words))
    if not arguments["data"]:
        raise ConfigError("tune: name a dataset (see prudent tune --help)")
    own = (f.name for config_type in config_types.values() for f in fields(config_type))
    names = {"seeds", *(f.name for f in fields(Settings)), *own}
    settings = {name: arguments[name] for name in arguments.keys() & names}
    sources = {"source": arguments["data"], **data_options(arguments)}
    dataset = load_dataset(**sources)
    result = tune_on(dataset, arguments["out"], algorithm=arguments["algo"], sources=sources, **settings)
    print(f"\n{result}\nwritten: {result.folder / 'tune.json'}, {result.folder / 'report.html'}")


def _name(word: str) -> str:
    """A word after --algo that is the name of an algorithm, or a misspelt one, and not that of a file."""
    if Path(word).exists() and not word.endswith(".py"):
        raise ValueError
    return word

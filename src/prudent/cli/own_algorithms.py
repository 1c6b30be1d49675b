"""``--algo FILE``: the file of an algorithm of the user's own, for verbs that open a run."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from prudent.errors import ConfigError


def add_algo(parser: argparse._ActionsContainer) -> None:
    """Add the flag to a verb that opens runs; :func:`take` heeds it."""
    parser.add_argument(
        "--algo",
        action="append",
        default=[],
        metavar="FILE",
        help="the file of its algorithm, for a run that was trained with one of your own (my_cql.py)",
    )


def take(files: Sequence[str]) -> None:
    """Take the files, before a run is opened.

    Raises:
        ConfigError: a file does not exist, raised, or does not keep the contract.
    """
    if files:
        from prudent import algorithms

        for file in files:
            algorithms.take(file)


def check_used(files: Sequence[str], trained: Iterable[str], place: object) -> None:
    """Refuse files of algorithms that no run was trained with; ``trained`` names those of the runs at ``place``.

    Raises:
        ConfigError: there is one.
    """
    names = list(dict.fromkeys(trained))
    for file in files:
        if Path(file).stem not in names:
            other = f"{place} was trained with {', '.join(names)}" if names else "no run is named"
            raise ConfigError(f"--algo {file} is not used: {other}; leave it out")

"""This library's steps in a process of their own; option ``hidden``: widths by name."""

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.harness import prepare
from benchmarks.work import population
from prudent.algorithms import cql
from prudent.version import __version__


class Steps(dict[str, Callable[[], object]]):
    """One training step of all members by ``"NAME MEMBERS"``; a population is made when it is first used."""

    def __init__(self, hidden: Mapping[str, tuple[int, ...]]):
        super().__init__()
        self.hidden = hidden

    def __missing__(self, key: str) -> Callable[[], object]:
        name, _, members = key.rpartition(" ")
        _, self[key] = population(cql.Config(hidden=tuple(self.hidden[name])), int(members))
        return self[key]


def steps(options: dict[str, Any]) -> tuple[Steps, dict[str, str]]:
    """The steps, and the version."""
    prepare(options["threads"])
    return Steps(options["hidden"]), {"prudent": __version__}

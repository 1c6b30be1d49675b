"""The library's own step in a process of its own: options ``members`` (seeds), ``hidden``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import prepare
from benchmarks.work import population
from prudent.algorithms import cql
from prudent.version import __version__


def step(_: dict[str, np.ndarray], options: dict[str, Any]) -> tuple[Callable[[], object], dict[str, str]]:
    """One training step of all members; the data are those that every process can make for itself."""
    prepare(options["threads"])
    _, call = population(cql.Config(hidden=tuple(options["hidden"])), options["members"])
    return call, {"prudent": __version__}

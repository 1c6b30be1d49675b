"""Who races: this library with its presets, and other libraries with the settings that they document."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import timed
from benchmarks.peers.client import Peer, save_columns
from benchmarks.racers import Visitor, columns_of, ours
from prudent import presets
from prudent.algorithms import bc
from prudent.data import Dataset
from prudent.evaluation.rollouts import Acting
from prudent.version import __version__

DISCOUNT = 0.99
"""Gamma of every peer."""


@dataclass(frozen=True)
class Racer:
    """One racer.

    Attributes:
        title: its name in the table and the figure.
        preset: the preset of this library that it trains with; None for a peer and for cloning.
        peer: the name of the peer (see :class:`benchmarks.peers.client.Peer`); None for this library.
        options: options of the peer.
        installed: whether the peer needs an environment of its own.
    """

    title: str
    preset: str | None = None
    peer: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    installed: bool = False


# CORL's layers and normalisation on MuJoCo locomotion.
_CORL = {"hidden": [256, 256, 256], "batch": 256, "n_actions": 10, "normalize": True}

RACERS = {
    "quick": Racer("prudent CQL, quick", preset="quick"),
    "locomotion": Racer("prudent CQL, published", preset="locomotion"),
    "iql": Racer("prudent IQL", preset="iql-locomotion"),
    "td3_bc": Racer("prudent TD3+BC", preset="td3-bc-locomotion"),
    "rebrac": Racer("prudent ReBRAC", preset="rebrac-locomotion"),
    "bc": Racer("prudent BC"),
    "d3rlpy_cql": Racer("d3rlpy CQL", peer="d3rlpy", options={"batch": 256, "algorithm": "cql"}, installed=True),
    "d3rlpy_td3_bc": Racer(
        "d3rlpy TD3+BC", peer="d3rlpy", options={"batch": 256, "algorithm": "td3_bc"}, installed=True
    ),
    "corl_cql": Racer("CORL-style CQL", peer="corl", options=_CORL),
}


@dataclass(frozen=True)
class Started:
    """A racer at the start: milliseconds per training step on request, its policy, and what it has cost so far."""

    measure: Callable[[int], float]
    agent: Acting
    seconds: float
    versions: dict[str, str]


@contextmanager
def started(racer: Racer, dataset: Dataset, seed: int, peers: str | None) -> Iterator[Started]:
    """The racer with its data prepared; ``peers`` is the Python of those that need an environment of their own.

    The time in which a peer builds its buffer and networks does not count.
    """
    if racer.peer is None:
        preset = presets.Preset("bc", bc.Config()) if racer.preset is None else presets.get(racer.preset)
        population, step, before = ours(preset.algorithm, preset.config, dataset, seed)
        yield Started(timed(step), population, before, {"prudent": __version__})
        return
    python = peers if racer.installed else None
    with tempfile.TemporaryDirectory() as folder:
        path = save_columns(Path(folder), columns_of(dataset))
        with Peer(racer.peer, path, 1, python, options={**racer.options, "seed": seed}) as peer:
            yield Started(peer.measure, Visitor(peer, dataset.spec, DISCOUNT), 0.0, peer.versions)

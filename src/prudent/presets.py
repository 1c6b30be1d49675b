"""Published settings as functions that return full configs.

They come from the CQL paper's public code, CORL and Cal-QL; ``docs/algorithms.md`` has the sources.
"""

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from prudent.algorithms import cql
from prudent.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A config, its algorithm, and the usual number of episodes per evaluation."""

    algorithm: str
    config: Any
    eval_episodes: int = 10


def locomotion() -> Preset:
    """MuJoCo locomotion (hopper, halfcheetah, walker2d): large alpha, slow actor, three layers."""
    return Preset("cql", cql.Config(alpha=10.0, actor_lr=3e-5, hidden=(256, 256, 256)))


def locomotion_fast() -> Preset:
    """MuJoCo locomotion at two thirds of the cost: two layers, a faster actor."""
    return Preset("cql", cql.Config(alpha=5.0, actor_lr=1e-4, hidden=(256, 256)))


def antmaze() -> Preset:
    """AntMaze: rewards mapped to -5 and 5, learned multiplier, max backup, clipped gap; 100 episodes per evaluation."""
    config = cql.Config(
        alpha=5.0,
        lagrange=True,
        target_gap=0.8,
        backup="max",
        gap_clip=(-200.0, math.inf),
        orthogonal_init=True,
        reward_scale=10.0,
        reward_shift=-5.0,
    )
    return Preset("cql", config, eval_episodes=100)


def kitchen() -> Preset:
    """FrankaKitchen: no importance sampling, max backup, three layers of 512, rewards shifted by -4."""
    config = cql.Config(alpha=5.0, importance_sampling=False, backup="max", hidden=(512, 512, 512), reward_shift=-4.0)
    return Preset("cql", config)


def paper() -> Preset:
    """The paper's Gym settings: alpha 5, three layers, 40 000 steps of behaviour cloning first."""
    return Preset("cql", cql.Config(alpha=5.0, hidden=(256, 256, 256), bc_warmup_steps=40_000))


PRESETS = {
    "locomotion": locomotion,
    "locomotion-fast": locomotion_fast,
    "antmaze": antmaze,
    "kitchen": kitchen,
    "paper": paper,
}


def get(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        ConfigError: there is none.
    """
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"unknown preset {name!r}{hint} (there are {', '.join(PRESETS)})")
    return PRESETS[name]()

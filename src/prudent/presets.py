"""Published settings as functions that return full configs.

They come from the public code of CQL's, CPQL's, Cal-QL's, IQL's, TD3+BC's and ReBRAC's authors and of CORL; ``quick``
comes from trials of this project.
``docs/preset_sources.toml`` has the source of each, setting by setting; ``docs/algorithms.md`` shows it as tables.
"""

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from prudent.algorithms import cpql, cql, iql, rebrac, td3_bc
from prudent.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A config, its algorithm, and the usual number of episodes per evaluation."""

    algorithm: str
    config: Any
    eval_episodes: int = 10


# --- CQL: log tau has the policy's learning rate in all of its sources ------------------------------------------------


def locomotion() -> Preset:
    """MuJoCo locomotion (hopper, halfcheetah, walker2d): large alpha, slow actor, three layers."""
    return Preset("cql", cql.Config(alpha=10.0, actor_lr=3e-5, temperature_lr=3e-5, hidden=(256, 256, 256)))


def locomotion_fast() -> Preset:
    """MuJoCo locomotion at two thirds of the cost: two layers, a faster actor."""
    return Preset("cql", cql.Config(alpha=5.0, actor_lr=1e-4, temperature_lr=1e-4, hidden=(256, 256)))


def antmaze() -> Preset:
    """AntMaze: rewards mapped to -5 and 5, learned multiplier, max backup, clipped gap; 100 episodes per evaluation."""
    config = cql.Config(
        alpha=5.0,
        lagrange=True,
        target_gap=0.8 - math.log(30),  # 0.8 for the gap of 30 proposals without normalisation
        temperature_lr=1e-4,
        backup="max",
        gap_clip=(-200.0, math.inf),
        orthogonal_init=True,
        normalize_observations=False,
        reward_scale=10.0,
        reward_shift=-5.0,
    )
    return Preset("cql", config, eval_episodes=100)


def kitchen() -> Preset:
    """FrankaKitchen: no importance sampling, max backup, three layers of 512, rewards shifted by -4."""
    config = cql.Config(
        alpha=5.0,
        importance_sampling=False,
        backup="max",
        temperature_lr=1e-4,
        hidden=(512, 512, 512),
        normalize_observations=False,
        reward_shift=-4.0,
    )
    return Preset("cql", config)


def paper() -> Preset:
    """The paper's Gym settings: alpha 5, three layers, 40 000 steps of behaviour cloning first."""
    config = cql.Config(
        alpha=5.0, temperature_lr=1e-4, hidden=(256, 256, 256), bc_warmup_steps=40_000, normalize_observations=False
    )
    return Preset("cql", config)


def quick() -> Preset:
    """MuJoCo locomotion in minutes: targets over five logged steps, faster targets and actor, four proposals."""
    config = cql.Config(
        alpha=5.0, n_steps=5, polyak=0.01, actor_lr=3e-4, n_actions=4, gradient="sampled", hidden=(256, 256)
    )
    return Preset("cql", config)


# --- CPQL: targets over five steps ------------------------------------------------------------------------------------


def cpql_medium() -> Preset:
    """CPQL on a mediocre policy; alpha and trace are those of hopper-medium, other tasks have others."""
    return Preset("cpql", cpql.Config(alpha=0.1, trace=0.7))


def cpql_medium_replay() -> Preset:
    """CPQL on all that a learner saw; alpha and trace are those of hopper-medium-replay, other tasks have others."""
    return Preset("cpql", cpql.Config(alpha=0.5, trace=0.1))


def cpql_medium_expert() -> Preset:
    """CPQL on a good and a mediocre policy; alpha and trace are those of hopper-medium-expert."""
    return Preset("cpql", cpql.Config(alpha=5.0, trace=0.1))


# --- IQL --------------------------------------------------------------------------------------------------------------


def iql_locomotion() -> Preset:
    """IQL for MuJoCo locomotion: rewards scaled so that the returns of the data span 1000."""
    config = iql.Config(
        expectile=0.7, beta=3.0, return_range=1000.0, orthogonal_init=True, normalize_observations=False
    )
    return Preset("iql", config)


def iql_antmaze() -> Preset:
    """IQL for AntMaze: rewards of -1 and 0, a high expectile; 100 episodes per evaluation."""
    config = iql.Config(expectile=0.9, beta=10.0, reward_shift=-1.0, orthogonal_init=True, normalize_observations=False)
    return Preset("iql", config, eval_episodes=100)


def iql_adroit_kitchen() -> Preset:
    """IQL for Adroit and FrankaKitchen: weights that hardly differ. The source also has dropout, which is not here."""
    config = iql.Config(expectile=0.7, beta=0.5, orthogonal_init=True, normalize_observations=False)
    return Preset("iql", config)


# --- TD3+BC and ReBRAC ------------------------------------------------------------------------------------------------


def td3_bc_locomotion() -> Preset:
    """TD3+BC for MuJoCo locomotion: the defaults, which are its authors' settings."""
    return Preset("td3_bc", td3_bc.Config())


def rebrac_locomotion() -> Preset:
    """ReBRAC for MuJoCo locomotion; both penalties are those of hopper-medium, other data have others."""
    config = rebrac.Config(
        actor_penalty=0.01,
        critic_penalty=0.01,
        actor_lr=1e-3,
        critic_lr=1e-3,
        batch_size=1024,
        normalize_observations=False,
    )
    return Preset("rebrac", config)


def rebrac_antmaze() -> Preset:
    """ReBRAC for AntMaze; both penalties are those of antmaze-large-diverse, other mazes have others."""
    config = rebrac.Config(
        actor_penalty=0.002,
        critic_penalty=0.002,
        actor_lr=3e-4,
        critic_lr=5e-5,
        discount=0.999,
        normalize_observations=False,
        reward_scale=100.0,
    )
    return Preset("rebrac", config, eval_episodes=100)


def rebrac_adroit() -> Preset:
    """ReBRAC for Adroit; both penalties are those of pen-human, other data have others."""
    config = rebrac.Config(
        actor_penalty=0.1, critic_penalty=0.5, actor_lr=3e-4, critic_lr=3e-4, normalize_observations=False
    )
    return Preset("rebrac", config)


_FUNCTIONS = (
    locomotion,
    locomotion_fast,
    antmaze,
    kitchen,
    paper,
    quick,
    cpql_medium,
    cpql_medium_replay,
    cpql_medium_expert,
    iql_locomotion,
    iql_antmaze,
    iql_adroit_kitchen,
    td3_bc_locomotion,
    rebrac_locomotion,
    rebrac_antmaze,
    rebrac_adroit,
)
PRESETS = {function.__name__.replace("_", "-"): function for function in _FUNCTIONS}


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

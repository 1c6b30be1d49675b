"""Gymnasium environments: making them, and checking that a dataset fits.

The only module that imports gymnasium, and only inside functions, so that importing prudent stays instant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from prudent.environments import simulators
from prudent.errors import ConfigError, in_one_line

if TYPE_CHECKING:
    import gymnasium

    from prudent.types import Spec

# What a missing package is called in the complaint, and what brings it.
_EXTRAS = {
    "mujoco": "prudent[mujoco]",
    "pybullet": "prudent[pybullet]",
    "pygame": "prudent[demo]",
    "box2d": "prudent[box2d]",
}
_BULLET = re.compile(r"(pybullet_envs_gymnasium:)?\w+BulletEnv-v\d+")


def make(env_id: str, render_mode: str | None = None) -> gymnasium.Env:
    """One Gymnasium environment.

    ``env_id`` is a registered id such as ``Hopper-v5``, one of PyBullet's such as ``HopperBulletEnv-v0``, or
    ``module:Name-v0`` where importing ``module`` registers it.

    Raises:
        ConfigError: nobody registered the id, a package it needs is missing, or it cannot be built.
    """
    import gymnasium

    try:
        if _entry(env_id, "box2d"):
            simulators.prepare_box2d()
        if uses_mujoco(env_id):
            simulators.quieten_mujoco()
        if uses_bullet(env_id):
            return _make_bullet(env_id, render_mode)
        # Gymnasium's checker only warns, once per environment; NaN and exceptions stop an evaluation anyway.
        return gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True)
    except gymnasium.error.UnregisteredEnv as error:
        raise ConfigError(
            f"environment {env_id!r} is not known to Gymnasium: {in_one_line(error, with_kind=True)}"
        ) from error
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {_missing(error)}") from error
    except Exception as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {in_one_line(error, with_kind=True)}") from error


def _make_bullet(env_id: str, render_mode: str | None) -> gymnasium.Env:
    import gymnasium

    with simulators.without_idle_talk():
        import pybullet_envs_gymnasium  # noqa: F401 - registers the ids

        env = gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True)
        if render_mode != "human":
            # The first reset loads the robot, all others restore it, which rounds an Ant's first observation
            # otherwise: after this one every reset is of the second kind.
            env.reset(seed=0)
    return env


def _missing(error: BaseException) -> str:
    text = in_one_line(error, with_kind=True)
    for package, extra in _EXTRAS.items():
        # Old MuJoCo environments (v2, v3) moved to another project: that message says more than ours.
        if package in text.lower() and "gymnasium-robotics" not in text:
            return f'{package} is not installed, try: pip install "{extra}"'
    return text


# --- what an environment is made of -----------------------------------------------------------------------


def uses_mujoco(env_id: str) -> bool:
    """Whether an id belongs to a MuJoCo environment; False for ids nobody registered."""
    return _entry(env_id, "mujoco")


def _entry(env_id: str, simulator: str) -> bool:
    import gymnasium

    spec = gymnasium.registry.get(env_id)
    return spec is not None and simulator in str(spec.entry_point).lower()


def uses_bullet(env_id: str) -> bool:
    """Whether an id is of the form of PyBullet's environments, ``HopperBulletEnv-v0``."""
    return _BULLET.fullmatch(env_id) is not None


def at_once(env_id: str) -> int:
    """How many environments of a kind fit into memory beside each other, per policy.

    A MuJoCo environment takes one to three megabytes, a PyBullet simulation about thirty.
    """
    return 8 if uses_bullet(env_id) else 32


def spec_of(env_id: str) -> Spec:
    """Observation and action sizes and bounds of an environment, in its own units.

    Bounds are None where an action has no finite ones.

    Raises:
        ConfigError: it cannot be made, observations are not a flat vector, or actions neither a flat box nor
            discrete from 0.
    """
    env = make(env_id)
    try:
        return spec_from(env, env_id)
    finally:
        env.close()


def spec_from(env: gymnasium.Env, env_id: str) -> Spec:
    """:func:`spec_of` an environment that was made already."""
    from gymnasium.spaces import Box, Discrete

    from prudent.types import Spec

    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, Box) or len(observation.shape) != 1:
        raise ConfigError(f"environment {env_id!r} has observations {observation}; a flat Box is needed")
    size = observation.shape[0]
    if isinstance(action, Discrete):
        if int(action.start) != 0:
            raise ConfigError(f"environment {env_id!r} numbers its actions from {action.start}, not from 0")
        return Spec(size, int(action.n), discrete=True)
    if not isinstance(action, Box) or len(action.shape) != 1:
        raise ConfigError(f"environment {env_id!r} has actions {action}; a flat Box or Discrete is needed")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        return Spec(size, action.shape[0])
    low, high = tuple(map(float, action.low)), tuple(map(float, action.high))
    return Spec(size, action.shape[0], action_low=low, action_high=high)


def spaces(spec: Spec) -> tuple[gymnasium.spaces.Box, gymnasium.Space]:
    """Gymnasium's observation and action space of a spec, unbounded where it declares no bounds."""
    from gymnasium.spaces import Box, Discrete

    observation = Box(-np.inf, np.inf, (spec.observation_size,), np.float32)
    if spec.discrete:
        return observation, Discrete(spec.action_size)
    shape = (spec.action_size,)
    low = np.full(shape, -np.inf) if spec.action_low is None else np.array(spec.action_low)
    high = np.full(shape, np.inf) if spec.action_high is None else np.array(spec.action_high)
    return observation, Box(low.astype(np.float32), high.astype(np.float32), shape, np.float32)


def check_fits(env_id: str, spec: Spec, whose: str = "the dataset") -> None:
    """Refuse an environment in which a policy learned from this data cannot act.

    A dataset may use fewer discrete actions than the environment has, and narrower bounds. ``whose`` spaces they are
    is told.

    Raises:
        ConfigError: sizes or kinds differ, or the dataset's declared bounds reach beyond the environment's.
    """
    env = spec_of(env_id)
    problem = None
    if env.observation_size != spec.observation_size:
        problem = f"{env.observation_size} observation features, {whose} {spec.observation_size}"
    elif env.discrete != spec.discrete:
        kinds = {True: "discrete", False: "continuous"}
        problem = f"{kinds[env.discrete]} actions, {whose} {kinds[spec.discrete]} ones"
    elif spec.discrete and spec.action_size > env.action_size:
        problem = f"{env.action_size} actions, {whose} uses {spec.action_size}"
    elif not spec.discrete and spec.action_size != env.action_size:
        problem = f"{env.action_size} action features, {whose} {spec.action_size}"
    elif env.action_low is not None and spec.action_low is not None:
        problem = _beyond(env, spec, whose)
    if problem:
        raise ConfigError(f"environment {env_id!r} does not fit {whose}: it has {problem}")


def _beyond(env: Spec, spec: Spec, whose: str) -> str | None:
    low, high = np.array(env.action_low), np.array(env.action_high)
    slack = 1e-3 * (high - low)
    wanted_low, wanted_high = np.array(spec.action_low), np.array(spec.action_high)
    if (wanted_low >= low - slack).all() and (wanted_high <= high + slack).all():
        return None
    return (
        f"actions from {low.tolist()} to {high.tolist()}, {whose} from {wanted_low.tolist()} to {wanted_high.tolist()}"
    )


def versions() -> dict[str, str]:
    """Versions that decide an environment's numbers: gymnasium, and of the simulators those installed.

    MuJoCo releases change HalfCheetah and Ant slightly, so every result records them.
    """
    from importlib import metadata

    found = {}
    for package in ("gymnasium", "mujoco", "pybullet", "pybullet-envs-gymnasium", "box2d"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

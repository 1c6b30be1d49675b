"""Gymnasium environments: makes them, reads their spaces, and checks that a dataset fits.

Gymnasium is imported inside functions only, so that importing prudent stays fast.
"""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.environments import simulators
from prudent.errors import ConfigError, in_one_line
from prudent.user_code import working_folder

if TYPE_CHECKING:
    import gymnasium

    from prudent.types import Spec

# A word in the error about a missing package, and the extra that installs it.
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
    ``module:Name-v0`` where importing ``module`` registers it. The module is also looked for in the working folder. So
    an id with a module must be the user's own, never one out of a file. ``render_mode`` is asked for only if it is
    given: a constructor need not take it.

    Raises:
        ConfigError: the id is not registered, a package is missing, or the environment cannot be built or drawn.
    """
    import gymnasium

    if not isinstance(env_id, str):
        raise ConfigError(f"an environment is named by its Gymnasium id, such as 'Pendulum-v1', got {env_id!r}"[:200])
    try:
        if _entry(env_id, "box2d"):
            simulators.prepare_box2d()
        if uses_mujoco(env_id):
            simulators.quieten_mujoco()
        if uses_bullet(env_id):
            return _make_bullet(env_id, render_mode)
        with working_folder.importable(env_id):
            return _make_registered(env_id, render_mode)
    except gymnasium.error.UnregisteredEnv as error:
        raise ConfigError(
            f"environment {env_id!r} is not known to Gymnasium: {in_one_line(error, with_kind=True)}"
        ) from error
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {_missing(error)}") from error
    except KeyboardInterrupt:
        raise
    # A module that is a script may end the process when it is imported.
    except BaseException as error:
        if render_mode is not None and "unexpected keyword argument 'render_mode'" in str(error):
            raise ConfigError(
                f"environment {env_id!r} draws no pictures: its constructor takes no render_mode"
            ) from error
        raise ConfigError(f"environment {env_id!r} cannot be made: {in_one_line(error, with_kind=True)}") from error


def _make_registered(env_id: str, render_mode: str | None) -> gymnasium.Env:
    import gymnasium

    module, _, name = env_id.rpartition(":")
    if module:
        import_module(module)
    registered = gymnasium.registry.get(name)
    options: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    if registered is not None and "render_mode" in registered.kwargs:
        options = {"render_mode": render_mode}  # never the registered one, which may open a window
    with warnings.catch_warnings():
        # An environment may draw although its metadata do not say so. If it does not, the picture shows that.
        warnings.filterwarnings("ignore", message=".*not in the possible render_modes")
        # Gymnasium's checker only warns; what steps return is checked in any case.
        return gymnasium.make(env_id, disable_env_checker=True, **options)


def _make_bullet(env_id: str, render_mode: str | None) -> gymnasium.Env:
    import gymnasium

    with simulators.without_greetings():
        import pybullet_envs_gymnasium  # noqa: F401 - registers the ids

        env = gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True)
        if render_mode != "human":
            # The first reset loads the robot, later ones restore it, which rounds an Ant's first observation
            # differently. Reset once here, so that all other resets are alike.
            env.reset(seed=0)
    return env


def _missing(error: BaseException) -> str:
    text = in_one_line(error, with_kind=True)
    for package, extra in _EXTRAS.items():
        # Old MuJoCo environments (v2, v3) are in another project: Gymnasium's own message says so.
        if package in text.lower() and "gymnasium-robotics" not in text:
            return f'{package} is not installed, try: pip install "{extra}"'
    return text


# --- kinds of environments and their spaces -----------------------------------------------------------------------


def uses_mujoco(env_id: str) -> bool:
    """Whether an id belongs to a MuJoCo environment; False for ids that are not registered."""
    return _entry(env_id, "mujoco")


def _entry(env_id: str, simulator: str) -> bool:
    import gymnasium

    spec = gymnasium.registry.get(env_id)
    return spec is not None and simulator in str(spec.entry_point).lower()


def uses_bullet(env_id: str) -> bool:
    """Whether an id has the form of PyBullet's ids, such as ``HopperBulletEnv-v0``."""
    return _BULLET.fullmatch(env_id) is not None


def time_limit(env_id: str) -> int | None:
    """The steps after which an episode of a registered environment is cut; None if there is no such limit."""
    import gymnasium

    spec = gymnasium.registry.get(env_id.rpartition(":")[2])
    return None if spec is None else spec.max_episode_steps


def at_once(env_id: str) -> int:
    """How many environments per policy run at once, so that they fit into memory.

    A MuJoCo environment takes one to three megabytes, a PyBullet simulation about thirty.
    """
    return 8 if uses_bullet(env_id) else 32


def spec_of(env_id: str) -> Spec:
    """Observation size, action size and action bounds of an environment, in its own units.

    Bounds are None if one of them is not finite.

    Raises:
        ConfigError: the environment cannot be made, its observations are not a flat vector, or its actions are neither
            a flat Box nor Discrete.
    """
    env = make(env_id)
    try:
        return spec_from(env, env_id)
    finally:
        env.close()


def spec_from(env: gymnasium.Env, env_id: str) -> Spec:
    """:func:`spec_of` for an environment that is already made."""
    from gymnasium.spaces import Box, Discrete

    from prudent.types import Spec

    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, Box) or len(observation.shape) != 1:
        raise ConfigError(f"environment {env_id!r} has observations {_text(observation)}; a flat Box is needed")
    size = observation.shape[0]
    if isinstance(action, Discrete):
        return Spec(size, int(action.n), discrete=True, first_action=int(action.start))
    if not isinstance(action, Box) or len(action.shape) != 1:
        raise ConfigError(f"environment {env_id!r} has actions {_text(action)}; a flat Box or Discrete is needed")
    if not (np.isfinite(action.low).all() and np.isfinite(action.high).all()):
        return Spec(size, action.shape[0])
    low, high = tuple(map(float, action.low)), tuple(map(float, action.high))
    return Spec(size, action.shape[0], action_low=low, action_high=high)


def _text(space: object) -> str:
    """A space in one short line: bounds that differ are printed as arrays, over several lines."""
    text = " ".join(str(space).split())
    return text if len(text) <= 200 else f"{text[:197]}..."


def spaces(spec: Spec) -> tuple[gymnasium.spaces.Box, gymnasium.Space]:
    """Gymnasium's observation and action space for a spec; actions without declared bounds are unbounded."""
    from gymnasium.spaces import Box, Discrete

    observation = Box(-np.inf, np.inf, (spec.observation_size,), np.float32)
    if spec.discrete:
        return observation, Discrete(spec.action_size, start=spec.first_action)
    shape = (spec.action_size,)
    low = np.full(shape, -np.inf) if spec.action_low is None else np.array(spec.action_low)
    high = np.full(shape, np.inf) if spec.action_high is None else np.array(spec.action_high)
    return observation, Box(low.astype(np.float32), high.astype(np.float32), shape, np.float32)


def check_fits(env_id: str, spec: Spec, whose: str = "the dataset") -> None:
    """Refuse an environment in which a policy with this spec cannot act.

    The spec may have fewer discrete actions than the environment, and narrower bounds. ``whose`` names its owner in the
    message.

    Raises:
        ConfigError: sizes or kinds differ, or the spec's bounds reach beyond the environment's.
    """
    env = spec_of(env_id)
    problem = None
    if env.observation_size != spec.observation_size:
        problem = f"{env.observation_size} observation features, {whose} {spec.observation_size}"
    elif env.discrete != spec.discrete:
        kinds = {True: "discrete", False: "continuous"}
        problem = f"{kinds[env.discrete]} actions, {whose} {kinds[spec.discrete]} ones"
    elif spec.first_action != env.first_action:
        problem = f"actions numbered from {env.first_action}, {whose} from {spec.first_action} (first_action)"
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
    spec_low, spec_high = np.array(spec.action_low), np.array(spec.action_high)
    if (spec_low >= low - slack).all() and (spec_high <= high + slack).all():
        return None
    return f"actions from {low.tolist()} to {high.tolist()}, {whose} from {spec_low.tolist()} to {spec_high.tolist()}"


def versions() -> dict[str, str]:
    """Installed versions of gymnasium and the simulators; every result records them.

    They decide the numbers: MuJoCo releases change HalfCheetah and Ant slightly.
    """
    from importlib import metadata

    installed = {}
    for package in ("gymnasium", "mujoco", "pybullet", "pybullet-envs-gymnasium", "box2d"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed

"""Gymnasium environments: making them, checking that a dataset fits, stepping many together.

The only module that imports gymnasium, and only inside functions, so that importing prudent stays instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prudent.errors import ConfigError

if TYPE_CHECKING:
    import gymnasium

# What a missing package is called by those who import it, and what brings it.
_EXTRAS = {"mujoco": "prudent[mujoco]", "pygame": "prudent[demo]", "box2d": "gymnasium[box2d]"}


def make(env_id: str, render_mode: str | None = None) -> gymnasium.Env:
    """One Gymnasium environment.

    Raises:
        ConfigError: nobody registered the id, a package it needs is missing, or it cannot be built.
    """
    import gymnasium

    try:
        # Gymnasium's checker doubles the cost of a step and only warns; NaN is caught where it matters, below.
        return gymnasium.make(env_id, render_mode=render_mode, disable_env_checker=True)
    except gymnasium.error.UnregisteredEnv as error:
        raise ConfigError(f"environment {env_id!r} is not known to Gymnasium: {_line(error)}") from error
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {_missing(error)}") from error
    except Exception as error:
        raise ConfigError(f"environment {env_id!r} cannot be made: {_line(error)}") from error


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def _missing(error: BaseException) -> str:
    text = _line(error)
    for package, extra in _EXTRAS.items():
        if package in text.lower() and "gymnasium-robotics" not in text:
            return f'{package} is not installed, try: pip install "{extra}"'
    return text

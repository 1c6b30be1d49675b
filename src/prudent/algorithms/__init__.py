"""One file per algorithm; the file's name is the algorithm's name. ``shared/`` has what several of them use.

A new algorithm is one new file (``bc.py`` is the simplest one to read first) and a section in ``docs/algorithms.md``.
The registry, the flags, the agent (``prudent.TD3BC``, named after ``TITLE``) and the contract tests find it. Each file
exports

- ``TITLE``: the algorithm's name as people write it; its letters and digits name the estimator (``TD3+BC``: ``TD3BC``);
- ``POLICY``: ``gaussian`` (samples continuous actions), ``deterministic`` (takes one continuous action per state),
  ``categorical`` (samples discrete actions) or ``greedy`` (takes one discrete action per state);
- ``NEEDS``: the optional columns of a batch that its losses read (``return_to_go``, ``next_action``);
- ``Config``: a frozen dataclass that inherits shared settings from ``shared/settings.py``; the comment beside a field
  is the help of its flag; fields annotated ``float`` may differ between members of a population;
- ``init(spec, hyper, rng) -> State`` and ``draw(spec, hyper, rng) -> noise``;
- ``update_critic(state, batch, noise, hyper) -> Metrics``, ``update_actor(...)`` and ``update_target(state, hyper)``,
  of which :func:`prudent.engine.population.training_step` makes a step; only these and ``update_supervised`` change a
  state; what depends on the number of the step goes through ``shared/schedule.py``, and a new setting of that kind into
  its ``stage``;
- ``act(networks, observation, noise=None) -> (action, log_prob)``, the most likely action without noise; policies over
  discrete actions also take ``mask``, the allowed ones; a policy that takes one action gives it log-probability 0;
- ``q_value(networks, observation, action) -> (P, B)``, or None where there is no critic;
- ``update_supervised``, where ``Config`` has ``value_init``: a step of all networks towards Monte-Carlo returns;
- ``FORMER_SETTINGS``, if a new setting's default is not what older versions did: what a stored run without it means;
- ``check_stored(names)``, if parameters of older versions meant something else: refuses them by their names.
"""

import importlib
import pkgutil
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from prudent.errors import ConfigError

_FORMER = {"sql": ("cql", "cql with backup soft (--algo cql --backup soft; in a suite, settings of cql)")}
"""What older versions called an algorithm: its name today, and what a user writes in its place."""


def names() -> list[str]:
    """Every algorithm there is: the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)


def get(name: str) -> ModuleType:
    """The module of an algorithm.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in _FORMER:
        raise ConfigError(f"{name} is {_FORMER[name][1]}")
    if name not in names():
        close = get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"unknown algorithm {name!r}{hint} (there are {', '.join(names())})")
    return importlib.import_module(f"{__name__}.{name}")


def stored(name: str) -> str:
    """Today's name of an algorithm named in a run or a checkpoint, which an older version may have written.

    What was ``sql`` is ``cql``: the stored settings say that ``backup`` is soft.
    """
    return _FORMER[name][0] if name in _FORMER else name


def stored_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a run or a checkpoint, with those that an older version did not have and so did not write.

    What was ``clip_observations`` is ``outside_range``.
    """
    settings = dict(settings)
    if isinstance(clip := settings.get("clip_observations"), bool):
        del settings["clip_observations"]
        settings.setdefault("outside_range", "clip" if clip else "warn")
    return {**getattr(get(name), "FORMER_SETTINGS", {}), **settings}


def check_stored(name: str, tensors: Collection[str]) -> None:
    """Refuse a stored state, of which these are the tensors' names, whose parameters mean something else today.

    Raises:
        ConfigError: they do; the line says what.
    """
    if hasattr(get(name), "check_stored"):
        get(name).check_stored(tensors)


def is_discrete(name: str) -> bool:
    """Whether an algorithm is for discrete actions."""
    return get(name).POLICY in ("categorical", "greedy")


def check_actions(name: str, discrete: bool, dataset: str) -> None:
    """Refuse an algorithm for the other kind of actions.

    Raises:
        ConfigError: it is; the line says which algorithms would do.
    """
    if is_discrete(name) != discrete:
        kinds = {True: "discrete", False: "continuous"}
        fitting = ", ".join(other for other in names() if is_discrete(other) == discrete)
        raise ConfigError(
            f"{name} is for {kinds[not discrete]} actions, {dataset} has {kinds[discrete]} ones: choose from {fitting}"
        )

"""One file per algorithm; the file's name is the algorithm's name. ``shared/`` has what several of them use, ``own/``
takes files of the same kind from outside this package.

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
from pathlib import Path
from types import ModuleType
from typing import Any

from prudent.algorithms.own import registry
from prudent.algorithms.own.contract import class_name as class_name
from prudent.errors import ConfigError, shown
from prudent.user_code import entry_points

FORMER = {"sql": ("cql", "cql with backup soft (--algo cql --backup soft; in a suite, settings of cql)")}
"""What older versions called an algorithm: its name today, and what a user writes in its place."""


Given = str | Path | ModuleType
"""An algorithm as a user may give it: its name, the path of its file, its module."""


def names() -> list[str]:
    """Every algorithm of the library: the files of this folder."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)


def own_names() -> list[str]:
    """Algorithms from outside the library: those given in this process, and those that installed packages offer."""
    return sorted({*registry.given_names(), *entry_points.names(entry_points.ALGORITHMS)} - {*names()})


def get(name: str) -> ModuleType:
    """The module of an algorithm.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in FORMER:
        raise ConfigError(f"{name} is {FORMER[name][1]}")
    if name in names():
        return importlib.import_module(f"{__name__}.{name}")
    if (own := registry.given(name)) is not None:
        return own.module
    known = [*names(), *own_names()]
    close = get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(f"unknown algorithm {name!r}{hint} (there are {', '.join(known)})")


def take(algorithm: Given) -> str:
    """The name of an algorithm that is given by its name, as a module, or as the path of a Python file.

    A module or file is read and checked, and from then on :func:`get` finds it by its name, which is the file's name
    without ``.py``.

    Raises:
        ConfigError: there is no such algorithm or file, the file raised, it does not keep the contract, or its name or
            title is taken.
    """
    if isinstance(algorithm, str) and not is_file(algorithm):
        get(algorithm)
        return algorithm
    if not isinstance(algorithm, str | Path | ModuleType):
        raise ConfigError(f"an algorithm is a name, a module or the path of a Python file, got {shown(algorithm)}")
    if isinstance(algorithm, ModuleType) and algorithm.__name__.rpartition(".")[0] == __name__:
        return algorithm.__name__.rpartition(".")[2]
    stem = Path(str(getattr(algorithm, "__file__", "") or "") if isinstance(algorithm, ModuleType) else algorithm).stem
    if stem in (*names(), *FORMER):
        raise ConfigError(f"{stem}.py: prudent has an algorithm {stem} already: give the file another name")
    own = registry.take(algorithm)
    for name in names():
        if get(name).TITLE == own.module.TITLE:
            registry.forget(own.name)
            raise ConfigError(f"{own.source.path.name}: its TITLE {own.module.TITLE!r} is that of {name}: change it")
    return own.name


def is_file(text: str) -> bool:
    """Whether a word is meant as the file of an algorithm, not as a name."""
    return text.endswith(".py") or "/" in text or "\\" in text


def code_of(algorithm: ModuleType) -> registry.Own | None:
    """Where the module of an algorithm came from; None for one of the library."""
    return getattr(algorithm, registry.OWN, None)


def check_code(name: str, code: Any, place: object) -> None:
    """Refuse to go on with what was trained with other code than is known under that name now.

    ``code`` is what a run or checkpoint has stored (:meth:`prudent.algorithms.own.registry.Own.described`), None for an
    algorithm of the library; ``place`` is its folder. No code is imported from there.

    Raises:
        ConfigError: the file was not given, or is not the one that was trained with.
    """
    own = None if name in names() else registry.given(name)
    if code is None:
        if own is not None:
            raise ConfigError(f"{place} does not say with which file its algorithm {name} was trained: train it anew")
        return
    file = code.get("file") if isinstance(code, Mapping) else None
    if not isinstance(file, str) or not isinstance(code.get("sha256"), str):
        raise ConfigError(f"{place} is damaged: it does not say which file its algorithm {shown(name)} is")
    if own is None:
        package = code.get("package")
        install = f" or install {shown(package)}" if isinstance(package, str) else ""
        again = f"--algo {Path(file).name[:60]} (in Python algorithm={Path(file).name[:60]!r}){install}"
        raise ConfigError(
            f"{place} was trained with the algorithm file {shown(file)}, and code is never run by itself: "
            f"give the file again, {again}"
        )
    if own.source.sha256 != code["sha256"]:
        where = own.package or own.source.path
        former = f" (it was trained with {shown(code['package'])})" if isinstance(code.get("package"), str) else ""
        raise ConfigError(
            f"{place} was trained with another {shown(file)} than {where} is now: its SHA-256 differs{former}; "
            f"a copy of it lies in the run's folder code"
        )


def stored(name: str) -> str:
    """Today's name of an algorithm named in a run or a checkpoint, which an older version may have written.

    What was ``sql`` is ``cql``: the stored settings say that ``backup`` is soft.
    """
    return FORMER[name][0] if name in FORMER else name


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

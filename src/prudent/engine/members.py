"""Who trains together: seeds x hyperparameters, each member with its own settings and name."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from prudent.config import check_names, from_json, group_fields, member_fields
from prudent.errors import ConfigError

_ONE_VALUE = "{0} decides shapes or branches: give one value, and start a run for each, as prudent train does"


@dataclass(frozen=True)
class Member:
    """One member: its settings, its seed, and a name that says in what it differs from the others."""

    name: str
    seed: int
    config: Any


@dataclass(frozen=True)
class Group:
    """Members that train as one program; the name says in what they differ from other groups, if there are any."""

    name: str
    members: tuple[Member, ...]


def groups(base: Any, settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Group]:
    """Every combination of the values given for ``settings`` and the seeds, by who can train together.

    Several numbers for a ``float`` setting make members of one group. Whole numbers and choices decide shapes or
    branches: several of them make as many groups.

    Raises:
        ConfigError: as :func:`split_settings` and :func:`grid`, for any of them.
    """
    dividing = {
        name: list(values)
        for name, values in settings.items()
        if name in group_fields(type(base)) and isinstance(values, list | tuple)
    }
    for name, values in dividing.items():
        if len(values) == 0 or len(set(values)) != len(values):
            raise ConfigError(f"{name} must be one or more different values, got {values}")
    found = []
    for values in itertools.product(*dividing.values()):
        chosen = dict(zip(dividing, values, strict=True))
        told = (f"{name}={value}" for name, value in chosen.items() if len(dividing[name]) > 1)
        config, varied = split_settings(base, {**settings, **chosen})
        found.append(Group(",".join(told), tuple(grid(config, varied, seeds))))
    return found


def grid(config: Any, varied: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> list[Member]:
    """Every combination of the varied hyperparameters and the seeds, seeds fastest.

    Raises:
        ConfigError: a varied setting does not exist or cannot differ between members, or a seed or value is repeated.
    """
    check_names(type(config), varied)
    fixed = [name for name in varied if name not in member_fields(type(config))]
    if fixed:
        raise ConfigError(_ONE_VALUE.format(fixed[0]))
    for name, values in {**varied, "seeds": seeds}.items():
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
            raise ConfigError(f"{name} takes one value or a list of numbers, got {list(values)}")
        if name == "seeds" and any(v != int(v) for v in values):
            raise ConfigError(f"seeds must be whole numbers, got {list(values)}")
        if len(values) == 0 or len(set(values)) != len(values):
            raise ConfigError(f"{name} must be one or more different values, got {list(values)}")
    members = []
    for values in itertools.product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        label = [f"{name}={value:.15g}" for name, value in chosen.items()]
        own = replace(config, **chosen)
        members.extend(Member(",".join([*label, f"seed={seed}"]), seed, own) for seed in seeds)
    return members


def split_settings(base: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, list[float]]]:
    """``base`` with single values applied, and the settings for which several values were given.

    A list or tuple for a ``float`` field is several values; for any other field it is the value. A varied setting
    enters the config with its first value, so that settings checked against each other are checked at all.

    Raises:
        ConfigError: a setting does not exist, or a value is of the wrong type or out of its range.
    """
    varying = member_fields(type(base))
    lists: dict[str, list[float]] = {}
    single: dict[str, Any] = {}
    check_names(type(base), settings)
    for name, given in settings.items():
        # Numbers out of NumPy arrays are numbers too.
        value = given.item() if isinstance(given, np.generic) else given
        several = isinstance(value, list | tuple)
        if name in varying and several and len(value) > 1:
            lists[name] = list(value)
            single[name] = value[0]
        elif several and len(value) > 1 and name in group_fields(type(base)):
            raise ConfigError(_ONE_VALUE.format(name))
        elif several:
            single[name] = value[0] if name in varying and value else tuple(value)
        else:
            single[name] = value
    return from_json(type(base), {f.name: getattr(base, f.name) for f in fields(base)} | single), lists


ALL_SEEDS = "all seeds"
"""The setting of members that have no name but their seed."""


def settings_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Indices of the members that differ in nothing but their seed, by what their names have in common.

    ``{"alpha=1": [0, 1], "alpha=5": [2, 3]}``, in the order of the members; :data:`ALL_SEEDS` where nothing is left.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        common = re.sub(r"(^|,)\s*seed=[^,]*", "", name).strip(", ")
        groups.setdefault(common or ALL_SEEDS, []).append(index)
    return groups

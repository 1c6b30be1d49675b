"""Seeds x hyperparameters: the members, their names, and which of them train together."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from prudent.algorithms.shared.settings import Implicit
from prudent.config import AUTO, check_names, from_json, group_fields, member_fields
from prudent.data import Dataset
from prudent.data.spread import USUAL, spread_to_go
from prudent.errors import ConfigError, DataError

MOST_MEMBERS = 10_000
"""Members in all that one training may have."""

_ONE_VALUE = "{0} must be the same for all members: give one value, and start a run for each, as prudent train does"


@dataclass(frozen=True)
class Member:
    """One member: its name, which says how it differs from the other members, its seed and its settings."""

    name: str
    seed: int
    config: Any


@dataclass(frozen=True)
class Group:
    """Members that train as one population; the name says how they differ from other groups, if there are any."""

    name: str
    members: tuple[Member, ...]


def groups(base: Any, settings: Mapping[str, Any], seeds: Sequence[int]) -> list[Group]:
    """Every combination of the values in ``settings`` and the seeds, in groups that can train together.

    Several numbers for a ``float`` setting make members of one group. Several whole numbers or choices make one group
    each, because they change shapes or code paths.

    Raises:
        ConfigError: as :func:`split_settings` and :func:`grid`, for any of them.
    """
    dividing = {
        name: list(values)
        for name, values in settings.items()
        if name in group_fields(type(base)) and isinstance(values, list | tuple)
    }
    varied = [settings[name] for name in settings.keys() & member_fields(type(base))]
    _check_count([*dividing.values(), *(values for values in varied if isinstance(values, list | tuple)), seeds])
    for name, values in dividing.items():
        if len(values) == 0 or len(set(values)) != len(values):
            raise ConfigError(f"{name} must be one or more different values, got {values}")
    made = []
    for values in itertools.product(*dividing.values()):
        chosen = dict(zip(dividing, values, strict=True))
        label = (f"{name}={value}" for name, value in chosen.items() if len(dividing[name]) > 1)
        config, varied = split_settings(base, {**settings, **chosen})
        made.append(Group(",".join(label), tuple(grid(config, varied, seeds))))
    return made


def grid(config: Any, varied: Mapping[str, Sequence[float]], seeds: Sequence[int]) -> list[Member]:
    """A member for every combination of the varied hyperparameters and the seeds; seeds change fastest.

    Raises:
        ConfigError: a varied setting does not exist or cannot differ between members, or a seed or value is repeated.
    """
    check_names(type(config), varied)
    fixed = [name for name in varied if name not in member_fields(type(config))]
    if fixed:
        raise ConfigError(_ONE_VALUE.format(fixed[0]))
    _check_count([*varied.values(), seeds])
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
        member_config = replace(config, **chosen)
        members.extend(Member(",".join([*label, f"seed={seed}"]), seed, member_config) for seed in seeds)
    return members


def _check_count(choices: Iterable[Sequence[Any]]) -> None:
    """Refuse more members than any machine trains, before they are made."""
    count = math.prod(len(values) for values in choices)
    if count > MOST_MEMBERS:
        raise ConfigError(f"the values and seeds make {count:,} members, more than {MOST_MEMBERS:,}: give fewer")


def split_settings(base: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, list[float]]]:
    """``base`` with the single values applied, and the settings with several values.

    A list or tuple for a ``float`` field is several values; for any other field it is one value. The config gets the
    first of several values, so that settings are also checked against each other.

    Raises:
        ConfigError: a setting does not exist, or a value is of the wrong type or out of its range.
    """
    varying = member_fields(type(base))
    lists: dict[str, list[float]] = {}
    single: dict[str, Any] = {}
    check_names(type(base), settings)
    for name, setting in settings.items():
        # Numbers from NumPy arrays count as numbers.
        value = setting.item() if isinstance(setting, np.generic) else setting
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


def chosen_settings(members: Sequence[Member]) -> dict[str, Any]:
    """The settings that are not the defaults, as :func:`split_settings` takes them: lists where members differ."""
    configs, settings = [member.config for member in members], {}
    for f in fields(configs[0]):
        values = list(dict.fromkeys(getattr(config, f.name) for config in configs))
        if values != [f.default]:
            settings[f.name] = values if len(values) > 1 else values[0]
    if "return_range" in settings:
        settings.pop("reward_scale", None)  # it follows from the data, other data give another one
    return settings


def with_reward_scales(members: Sequence[Member], dataset: Dataset) -> list[Member]:
    """The members with the ``reward_scale`` that follows from the data, where they ask for it.

    ``reward_scale = auto`` makes returns-to-go spread (:func:`prudent.data.spread.spread_to_go`) as far as published
    settings assume (:func:`returns_spread`), with each member's own discount. The
    scaled rewards, and so all that is learned from them, are then the same in whatever unit the log has its rewards.
    Without any spread the largest reward takes its place, and 1 if all rewards are 0.

    ``return_range`` gives ``return_range / (largest - smallest return)`` over the episodes of the data, as in the code
    of IQL.

    Raises:
        ConfigError: ``return_range`` stands beside another ``reward_scale``, or all episodes have the same return.
        DataError: the rows are not in order of time, or the rewards are too small or too large to be scaled.
    """
    scaled, automatic = [], {}
    for member in members:
        config, span = member.config, getattr(member.config, "return_range", None)
        if span is not None:
            returns = dataset.episode_returns
            least, largest = float(returns.min()), float(returns.max())
            if not largest > least:
                raise ConfigError(
                    f"return_range needs episodes of different returns, {dataset.name} has {least:g} in all of them: "
                    "leave it out and set reward_scale"
                )
            scale = span / (largest - least)
            if config.reward_scale not in (1.0, scale):
                raise ConfigError("return_range sets reward_scale: give one of them")
            config = replace(config, reward_scale=scale)
        elif config.reward_scale == AUTO:
            if config.discount not in automatic:
                automatic[config.discount] = automatic_scale(dataset, config.discount, returns_spread(config))
            config = replace(config, reward_scale=automatic[config.discount])
        scaled.append(replace(member, config=config))
    return scaled


IMPLICIT_SPREAD = 20.0
"""The spread for which the settings of algorithms with a state value were published: that of the same logs with rewards
scaled so that returns span 1000 (18 to 26 in the three logs of :data:`prudent.data.spread.USUAL`)."""


def returns_spread(config: Any) -> float:
    """The spread of returns-to-go, in scaled rewards, that ``reward_scale = auto`` aims at."""
    return IMPLICIT_SPREAD if isinstance(config, Implicit) else USUAL


_SCALES = 1e-35, 1e35
"""Scales that float32 holds, with rewards and values of the usual size."""


def automatic_scale(dataset: Dataset, discount: float, wanted: float) -> float:
    """``reward_scale = auto`` if returns-to-go are to spread over ``wanted``: see :func:`with_reward_scales`."""
    size = spread_to_go(dataset, discount).std or float(np.abs(dataset.reward).max())
    scale = wanted / size if size else 1.0
    if not _SCALES[0] < scale < _SCALES[1]:
        raise DataError(
            f"{dataset.name}: reward_scale auto would be {scale:.3g}, because returns spread over {size:.3g}: "
            "give the rewards another unit"
        )
    return scale


ALL_SEEDS = "all seeds"
"""The setting of members whose names have nothing but a seed."""


def settings_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Indices of the members by setting, which is their name without the seed.

    ``{"alpha=1": [0, 1], "alpha=5": [2, 3]}``, in the order of the members; :data:`ALL_SEEDS` if nothing is left.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        common = re.sub(r"(^|,)\s*seed=[^,]*", "", name).strip(", ")
        groups.setdefault(common or ALL_SEEDS, []).append(index)
    return groups

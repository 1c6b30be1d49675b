"""Which column of a table means what: a TOML file, or the same as a dictionary."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from prudent.config import check_names, from_json, read_toml
from prudent.errors import ConfigError

_LISTS = ("observation", "action", "next_observation", "mask", "next_mask", "action_low", "action_high")


@dataclass(frozen=True)
class TableMap:
    """Column names by role; a list of one may be written without brackets.

    What is said of the whole table: ``discrete``, ``n_actions``, ``action_low``, ``action_high``, ``time_unit``.
    """

    observation: tuple[str, ...]  # columns of what was seen
    action: tuple[str, ...]  # columns of what was done; one, if actions are choices
    reward: str  # column of what the action earned
    episode: str | None = None  # column of numbers or names; rows of one episode may stand anywhere
    step: str | None = None  # column of whole numbers by which an episode's rows are ordered
    time: str | None = None  # column of numbers or timestamps: orders rows too, and gives dt
    time_unit: float | None = None  # how much time counts as one step of the discount; seconds for timestamps
    next_observation: tuple[str, ...] = ()  # columns of what was seen next; else the next row's
    terminated: str | None = None  # column of true/false: the end of value
    truncated: str | None = None  # column of true/false: the end of the recording
    mask: tuple[str, ...] = ()  # columns of true/false, one per action: what was allowed
    next_mask: tuple[str, ...] = ()  # the same of what followed; else the next row's
    group: str | None = None  # column of numbers or names: patient, user, machine
    behavior_prob: str | None = None  # column of the probability (or density) with which the action was taken
    behavior_log_prob: str | None = None  # the same as a logarithm
    discrete: bool | None = None  # whether actions are choices, numbered from 0, or amounts
    n_actions: int | None = None  # how many choices there are
    action_low: tuple[float, ...] | None = None  # lower bound of amounts, one or one per action column
    action_high: tuple[float, ...] | None = None  # upper bound

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every (role, column) that is named."""
        for f in fields(self):
            named = getattr(self, f.name)
            if f.name in ("action_low", "action_high") or named is None:
                continue
            for column in named if isinstance(named, tuple) else (named,):
                if isinstance(column, str):
                    yield f.name, column


def read_map(source: "TableMap | Mapping[str, Any] | str | Path") -> TableMap:
    """The mapping in a TOML file, or a dictionary of the same content, checked as far as can be without the table.

    Raises:
        ConfigError: a key is unknown or has a value of the wrong type, or roles contradict each other.
    """
    if isinstance(source, TableMap):
        return _checked(source, "mapping")
    if isinstance(source, Mapping):
        name, values = "mapping", dict(source)
    else:
        name, values = Path(source).name, read_toml(Path(source).expanduser())
    for key in _LISTS:
        if key in values and not isinstance(values[key], list | tuple):
            values[key] = [values[key]]
    try:
        check_names(TableMap, values)
        missing = [key for key in ("observation", "action", "reward") if not values.get(key)]
        if missing:
            raise ConfigError(f"{missing[0]} names no column")
        return _checked(from_json(TableMap, values), name)
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error


def _checked(found: TableMap, name: str) -> TableMap:
    seen: dict[str, str] = {}
    for role, column in found.columns():
        # One column may well be seen twice (a dose among the observations and as the next action), but never be both
        # what orders rows and what ends them.
        if role not in ("observation", "next_observation", "group", "time", "action", "mask", "next_mask"):
            if column in seen:
                raise ConfigError(f"{name}: column {column!r} is named as {seen[column]} and as {role}")
            seen[column] = role
    for role in _LISTS:
        named = getattr(found, role) or ()
        twice = next((column for column in named if named.count(column) > 1 and isinstance(column, str)), None)
        if twice is not None:
            raise ConfigError(f"{name}: {role} names column {twice!r} twice")
    if found.next_observation and len(found.next_observation) != len(found.observation):
        raise ConfigError(
            f"{name}: next_observation names {len(found.next_observation)} columns, "
            f"observation {len(found.observation)}"
        )
    if found.behavior_prob and found.behavior_log_prob:
        raise ConfigError(f"{name}: give behavior_prob or behavior_log_prob, not both")
    if found.next_mask and len(found.next_mask) != len(found.mask):
        raise ConfigError(f"{name}: next_mask names {len(found.next_mask)} columns, mask {len(found.mask)}")
    if not found.episode and not found.terminated and not found.truncated:
        raise ConfigError(f"{name}: nothing says where episodes end: name episode, terminated or truncated")
    if not found.episode and (found.step or found.time):
        raise ConfigError(f"{name}: {'step' if found.step else 'time'} orders the rows of an episode: name episode too")
    if found.time_unit is not None:
        if not found.time:
            raise ConfigError(f"{name}: time_unit is for a time column, and none is named")
        if not (found.time_unit > 0 and math.isfinite(found.time_unit)):
            raise ConfigError(f"{name}: time_unit must be above 0, got {found.time_unit}")
    return found

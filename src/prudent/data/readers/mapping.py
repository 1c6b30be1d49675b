"""Which column of a table means what, as a TOML file or a dictionary."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from prudent import files
from prudent.config import check_names, from_json, read_toml
from prudent.data.encoding import Column, Kind, distinct, is_finite, texts_of
from prudent.data.episodes.dropped import LAST_ROWS
from prudent.errors import ConfigError, shown

_LISTS = (
    "observation",
    "action",
    "next_observation",
    "mask",
    "next_mask",
    "target_prob",
    "action_low",
    "action_high",
    "missing_flag",
)
_TIME_UNIT = (
    "expected a number above 0, of seconds if the time column holds timestamps (60 counts minutes, 3600 hours, 86400 "
    "days), else in the units of that column"
)
_NO_COLUMNS = ("action_low", "action_high", "last_rows", "categories", "fill", "missing_flag", "action_labels")


@dataclass(frozen=True)
class TableMap:
    """Column names by role; a list of one may be written without brackets.

    ``discrete``, ``n_actions``, ``first_action``, ``action_low``, ``action_high``, ``time_unit`` and ``last_rows`` hold
    for the whole table. ``categories`` says of observation columns that they hold categories: a list of them becomes
    one feature for each, ``{"index": [...]}`` their place in the list; "one-hot" and "index" take those of the log.
    """

    observation: tuple[str, ...]  # columns of what the policy saw
    action: tuple[str, ...]  # columns of what it did; one if actions are choices
    reward: str  # column of what the action earned
    episode: str | None = None  # column of numbers or names; the rows of an episode may be anywhere
    step: str | None = None  # column of whole numbers that order the rows of an episode
    time: str | None = None  # column of numbers or timestamps: orders rows too, and gives dt
    time_unit: float | None = None  # time that counts as one step of the discount; in seconds for timestamps
    next_observation: tuple[str, ...] = ()  # columns of what it saw next; empty: the next row's
    terminated: str | None = None  # column of true/false: no value after this row
    truncated: str | None = None  # column of true/false: only the recording ends
    last_rows: str | None = None  # a last row without a successor: drop, or keep it as terminated or truncated
    mask: tuple[str, ...] = ()  # columns of true/false, one per action: allowed or not
    next_mask: tuple[str, ...] = ()  # the same for the next observation; empty: the next row's
    group: str | None = None  # column of numbers or names, such as patient, user or machine
    behavior_prob: str | None = None  # column of the action's probability (or density) under the logging policy
    behavior_log_prob: str | None = None  # column of its logarithm
    target_prob: tuple[str, ...] = ()  # columns of a policy to value: a probability per action, or the logged action's
    discrete: bool | None = None  # whether actions are choices or amounts
    n_actions: int | None = None  # how many choices there are
    first_action: int | None = None  # the number of the first choice; 0 if it is not said
    action_low: tuple[float, ...] | None = None  # lower bounds of amounts: one number, or one per action column
    action_high: tuple[float, ...] | None = None  # upper bounds, likewise
    categories: Mapping[str, Any] = field(default_factory=dict)  # observation column to its categories
    fill: Mapping[str, float | str] = field(default_factory=dict)  # observation column to what a missing cell counts as
    missing_flag: tuple[str, ...] = ()  # filled columns with a further feature: 1 where the cell was missing
    action_labels: tuple[str, ...] | None = None  # what the action column holds, in the order of the actions' numbers

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every (role, column) pair of the mapping."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _NO_COLUMNS or value is None:
                continue
            for column in value if isinstance(value, tuple) else (value,):
                if isinstance(column, str):
                    yield f.name, column


def read_map(source: "TableMap | Mapping[str, Any] | str | Path") -> TableMap:
    """The mapping in a TOML file or a dictionary, checked as far as possible without the table.

    Raises:
        ConfigError: a key is unknown or has a value of the wrong type, or roles contradict each other.
    """
    if isinstance(source, TableMap):
        return _checked(source, "mapping")
    if isinstance(source, Mapping):
        name, values = "mapping", dict(source)
    else:
        name, values = Path(source).name, read_toml(files.expand_user(source))
    for key in _LISTS:
        if key in values and not isinstance(values[key], list | tuple):
            values[key] = [values[key]]
    try:
        check_names(TableMap, values)
        missing = [key for key in ("observation", "action", "reward") if not values.get(key)]
        if missing:
            raise ConfigError(f"{missing[0]} names no column")
        unit = values.get("time_unit")
        if isinstance(unit, bool) or not isinstance(unit, int | float | None):
            raise ConfigError(f"time_unit cannot be {unit!r}: {_TIME_UNIT}")
        tables = {key: values.pop(key) for key in ("categories", "fill") if key in values}
        for key, table in tables.items():
            if not isinstance(table, Mapping):
                raise ConfigError(f"{key} must be a table of observation columns, got {table!r}")
        if values.get("action_labels") is not None:
            values["action_labels"] = _distinct(values["action_labels"], "action_labels")
        return _checked(replace(from_json(TableMap, values), **tables), name)
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).removeprefix(f'{name}: ')}") from error


def _checked(roles: TableMap, name: str) -> TableMap:
    seen: dict[str, str] = {}
    for role, column in roles.columns():
        # A column may have two of these roles (a dose is an action, and an observation later), but it cannot both order
        # rows and end episodes.
        if role not in ("observation", "next_observation", "group", "time", "action", "mask", "next_mask"):
            if column in seen:
                raise ConfigError(f"{name}: column {column!r} is named as {seen[column]} and as {role}")
            seen[column] = role
    for role in _LISTS:
        names = getattr(roles, role) or ()
        twice = next((column for column in names if names.count(column) > 1 and isinstance(column, str)), None)
        if twice is not None:
            raise ConfigError(f"{name}: {role} names column {twice!r} twice")
    if roles.next_observation and len(roles.next_observation) != len(roles.observation):
        raise ConfigError(
            f"{name}: next_observation names {len(roles.next_observation)} columns, "
            f"observation {len(roles.observation)}"
        )
    if roles.behavior_prob and roles.behavior_log_prob:
        raise ConfigError(f"{name}: give behavior_prob or behavior_log_prob, not both")
    if roles.next_mask and len(roles.next_mask) != len(roles.mask):
        raise ConfigError(f"{name}: next_mask names {len(roles.next_mask)} columns, mask {len(roles.mask)}")
    if not roles.episode and not roles.terminated and not roles.truncated:
        raise ConfigError(f"{name}: nothing says where episodes end: name episode, terminated or truncated")
    if not roles.episode and (roles.step or roles.time):
        raise ConfigError(f"{name}: {'step' if roles.step else 'time'} orders the rows of an episode: name episode too")
    if roles.last_rows not in (None, *LAST_ROWS):
        raise ConfigError(f"{name}: last_rows must be one of {', '.join(LAST_ROWS)}, got {roles.last_rows!r}")
    if roles.last_rows is not None and roles.next_observation and (roles.next_mask or not roles.mask):
        raise ConfigError(f"{name}: last_rows is for rows without a successor, and next_observation gives each row one")
    if roles.time_unit is not None:
        if not roles.time:
            raise ConfigError(f"{name}: time_unit is for a time column, and none is named")
        if not (roles.time_unit > 0 and math.isfinite(roles.time_unit)):
            raise ConfigError(f"{name}: time_unit cannot be {roles.time_unit}: {_TIME_UNIT}")
    _check_labels(roles, name)
    columns_of(roles, name)
    return roles


def _check_labels(roles: TableMap, name: str) -> None:
    if roles.action_labels is None:
        return
    count = len(_distinct(roles.action_labels, f"{name}: action_labels"))
    if len(roles.action) != 1 or roles.discrete is False or roles.action_low or roles.action_high:
        raise ConfigError(f"{name}: action_labels are for one column of choices")
    if roles.n_actions not in (None, count):
        raise ConfigError(f"{name}: {count} action_labels for n_actions = {roles.n_actions}")
    if roles.mask and len(roles.mask) != count:
        raise ConfigError(f"{name}: {count} action_labels, but mask names {len(roles.mask)} columns")
    if roles.first_action:
        raise ConfigError(f"{name}: labelled actions are numbered from 0: leave out first_action")


def columns_of(roles: TableMap, name: str) -> list[Column]:
    """The observation columns of a mapping. Categories that the log has to say have no ``values`` yet.

    Raises:
        ConfigError: a rule is for a column that is no observation, or makes no sense.
    """
    for key in ("categories", "fill", "missing_flag"):
        for column in getattr(roles, key):
            if column not in roles.observation:
                close = get_close_matches(str(column), roles.observation, n=1)
                hint = f"; did you mean {shown(close[0])}?" if close else ""
                raise ConfigError(f"{name}: {key} is for observation columns, and {shown(column)} is none{hint}")
    return [_column(column, roles, name) for column in roles.observation]


def _column(column: str, roles: TableMap, name: str) -> Column:
    kind, values = _categories(column, roles, name)
    fill = roles.fill.get(column)
    if column in roles.fill:
        wrong = isinstance(fill, bool) or not isinstance(fill, int | float | str)
        if kind == "number" and (wrong or isinstance(fill, str) or not is_finite(fill)):  # type: ignore[arg-type]
            raise ConfigError(f"{name}: the fill value of {shown(column)} must be a finite number, got {fill!r}")
        if kind != "number":
            fill = next(iter(texts_of(fill)), None)
            if wrong or fill is None or (values and fill not in values):
                raise ConfigError(f"{name}: the fill value of {shown(column)} is none of its categories: {fill!r}")
    flag = column in roles.missing_flag
    if flag and column not in roles.fill:
        raise ConfigError(f"{name}: missing_flag is for columns with a fill value, and {shown(column)} has none")
    return Column(column, kind, values, fill if isinstance(fill, str) or fill is None else float(fill), flag)


def _categories(column: str, roles: TableMap, name: str) -> tuple[Kind, tuple[str, ...]]:
    """How a column is encoded, and its categories; none if it has none, or if the log has to say."""
    rule = roles.categories.get(column)
    if column not in roles.categories:
        return "number", ()
    if rule == "one-hot" or rule == "index":
        return rule, ()
    if isinstance(rule, list | tuple):
        return "one-hot", _distinct(rule, f"{name}: categories of {shown(column)}")
    if isinstance(rule, Mapping) and len(rule) == 1:
        kind, values = next(iter(rule.items()))
        if kind in ("one-hot", "index") and isinstance(values, list | tuple):
            return kind, _distinct(values, f"{name}: categories of {shown(column)}")
    raise ConfigError(
        f'{name}: categories of {shown(column)} must be a list, {{ index = [...] }}, "one-hot" or "index", got {rule!r}'
    )


def _distinct(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{what} must be a list, got {values!r}")
    try:
        return distinct(values, what)
    except ValueError as error:
        raise ConfigError(str(error)) from error

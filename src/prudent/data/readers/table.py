"""CSV and Parquet: a table with one row per step. A mapping says which column means what."""

import re
from dataclasses import replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np

from prudent.data.columns import ask_whether_discrete, floats, strays_of
from prudent.data.dataset import Dataset
from prudent.data.episodes import recorders
from prudent.data.episodes.dropped import LastRows
from prudent.data.episodes.ends import KEEP_THEM
from prudent.data.episodes.order import Order, arrange
from prudent.data.meanings import Meanings
from prudent.data.readers import _arrow, _ends
from prudent.data.readers._encode import EncodedColumns, declared_by, kind_of
from prudent.data.readers._roles import RoleColumns
from prudent.data.readers._sound import episodes_of, sound_episodes
from prudent.data.readers.declared import Declared
from prudent.data.readers.mapping import TableMap, read_map
from prudent.errors import ConfigError, DataError, EpisodeError, shown

_KINDS: dict[str, _arrow.Kind] = {
    "episode": "label",
    "group": "label",
    "time": "time",
    "step": "whole",
    "terminated": "flag",
    "truncated": "flag",
    "mask": "flag",
    "next_mask": "flag",
}


def read(path: str | Path, user: Declared) -> Dataset:
    """Read a table whose columns ``user.mapping`` (a TOML file, or a dictionary of the same) maps to roles.

    Rows of an episode are put together and ordered by ``step`` or ``time``. The next row is the successor, unless
    ``next_observation`` is mapped. The last row of an episode that did not terminate then has no successor: it is
    dropped, and the notes count it, unless ``last_rows`` says that it is an end. ``extra`` holds, where mapped,
    ``step`` (rows,) int64, ``dt`` (rows,) float32, ``group`` (rows,) int64 and ``behavior_log_prob`` (rows,) float32.
    What the user declares replaces what the mapping says. Rows in errors and notes are those of the file, counted from
    0 without the header.

    Raises:
        DataError: one line naming file, column, row and reason.
        ConfigError: the mapping is wrong, or does not fit the table.
    """
    path = Path(path)
    _require_pyarrow(path.name)
    if user.mapping is None:
        raise DataError(
            f"{path.name}: which column means what? Say so with --map map.toml, mapping= in Python; "
            f"its columns are {_column_names(path)}"
        )
    roles = read_map(user.mapping)
    with _arrow.opened(path) as file:
        kinds = _kinds(roles, file.names, path.name)
        rows, table = file.read(kinds, lenient=bool(user.skip_bad_episodes))
        mapped = [column for _, column in roles.columns()]
        notes = _ends.unmapped(
            file.names, mapped, episode=roles.episode is not None, terminated=roles.terminated is not None
        )
    if rows == 0:
        raise DataError(f"{path.name}: the table has no rows")
    columns, size = RoleColumns(table, roles, path.name), path.stat().st_size
    if user.skip_bad_episodes:
        return sound_episodes(columns, lambda columns, rows: _Table(columns, rows, notes, size).dataset(user))
    try:
        return _Table(columns, rows, notes, size).dataset(user)
    except EpisodeError:
        episodes_of(columns)  # refuses the table for good if its rows cannot be assigned to episodes
        raise


def _column_names(path: Path) -> str:
    """The names of a table's columns, as many as a line can hold."""
    with _arrow.opened(path) as file:
        return _listed(file.names)


def _listed(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _require_pyarrow(name: str) -> None:
    if find_spec("pyarrow") is None:
        raise DataError(f'{name}: pyarrow is not installed, try: pip install "prudent[table]"')


def _kinds(roles: TableMap, names: list[str], name: str) -> dict[str, list[_arrow.Kind]]:
    """How to read each mapped column of a table that has the columns ``names``: once for each kind of use.

    Raises:
        ConfigError: the table does not have the column.
    """
    kinds: dict[str, list[_arrow.Kind]] = {}
    for role, column in roles.columns():
        if column not in names:
            close = get_close_matches(column, names, n=1)
            hint = f"did you mean {shown(close[0])}?" if close else f"there are {_listed(names)}"
            divider = next((mark for mark in ";\t|" if any(mark in other for other in names)), None)
            if divider is not None and any(column in re.split(f"[{divider}]", other) for other in names):
                hint = f"its columns are divided by {divider!r}: write it with commas, and numbers with points"
            raise ConfigError(f"{name}: no column {column!r} for {role}; {hint}")
        several = kinds.setdefault(column, [])
        kind = kind_of(roles, role, column, _KINDS.get(role, "number"))
        if kind not in several:
            several.append(kind)
    # Numbers serve as flags: a 0/1 column may be a flag and an observation.
    return {
        column: [kind for kind in several if kind != "flag" or "number" not in several]
        for column, several in kinds.items()
    }


class _Table:
    """Turns the columns of one file, of ``size`` bytes, into a dataset."""

    def __init__(self, table: RoleColumns, rows: int, notes: list[str], size: int):
        self.table, self.rows = table, rows
        self.roles, self.name = table.roles, table.name
        self.columns = EncodedColumns(table, rows, size)
        self.notes = notes
        self.groups: tuple[str, ...] | None = None

    def dataset(self, user: Declared) -> Dataset:
        """The dataset; see :func:`read`."""
        roles = self.roles
        declared = user.or_else(declared_by(roles, user, self.name), self.name)
        action = self.columns.action()
        if declared.discrete is None and declared.action_low is None:
            ask_whether_discrete(action, self.name)
        if declared.discrete and action.shape[1] != 1:
            raise DataError(f"{self.name}: discrete actions stand in one column, action names {action.shape[1]}")
        observation = self.columns.observation()
        floats(observation, "observation", self.name, ndim=2)  # refuses what has no number in float32
        order = self.find_order(user)
        following = self.columns.successors(order.terminated) if roles.next_observation else None
        self.check_recorders(observation, action, following, order, user.recorders)
        user.refuse_last_rows(self.name, order.lacking)
        dataset = Dataset.from_columns(
            observation=observation,
            action=action,
            reward=self.table.numbers("reward")[:, 0],
            next_observation=observation if following is None else following,
            terminated=order.terminated,
            truncated=np.zeros_like(order.terminated),
            action_low=declared.action_low,
            action_high=declared.action_high,
            discrete=bool(declared.discrete),
            n_actions=declared.n_actions,
            first_action=declared.first_action or 0,
            name=self.name,
            extra=self.extra(order, bool(declared.discrete)),
        )
        self.notes += self.columns.notes
        return replace(self.arranged(dataset, order, following), meanings=self.meanings(order))

    def arranged(self, dataset: Dataset, order: Order, following: np.ndarray | None) -> Dataset:
        """The checked dataset, with its rows put into the order of episodes and its successors filled in."""
        rows = order.rows
        observation = dataset.observation[rows]
        if following is None:
            successor = np.concatenate([observation[1:], observation[-1:]])
            successor[order.terminated[rows]] = observation[order.terminated[rows]]
        else:
            successor = dataset.next_observation[rows]
        successor[order.final] = observation[order.final]
        extra = {key: column[rows] for key, column in dataset.extra.items()}
        if "mask" in extra and not self.roles.next_mask:
            next_mask = np.concatenate([extra["mask"][1:], extra["mask"][-1:]])
            extra["next_mask"] = next_mask | order.terminated[rows, None]
            extra["next_mask"][order.final] = extra["mask"][order.final]
        if extra.get("target_prob", np.zeros(0)).ndim == 2 and following is None:
            # Of a last row without a successor the next state is its own, and so are the probabilities.
            extra["next_target_prob"] = np.concatenate([extra["target_prob"][1:], extra["target_prob"][-1:]])
            for alone in (order.final, order.terminated[rows]):
                extra["next_target_prob"][alone] = extra["target_prob"][alone]
        in_order = replace(
            dataset,
            observation=observation,
            action=dataset.action[rows],
            reward=dataset.reward[rows],
            extra=extra,
        )
        if not order.keep.any():
            raise DataError(
                f"{self.name}: no row has a successor of its own episode, so there is nothing to learn from; "
                f"{KEEP_THEM}"
            )
        ends = replace(order, terminated=order.terminated[rows])
        return in_order.with_successors(ends, successor, self.notes)

    def check_recorders(
        self, observation: np.ndarray, action: np.ndarray, following: np.ndarray | None, order: Order, count: int | None
    ) -> None:
        """Check what is declared about recorders side by side; without an episode column their rows may be in turn."""
        rows = order.rows
        if self.roles.episode:
            return
        if following is not None:
            recorders.check_stated(strays_of(observation[rows], following[rows]), count, self.name)
        else:
            ends = order.terminated[rows] | order.truncated
            self.notes += recorders.check_next_rows(observation[rows], action[rows], ends, count, self.name)

    def find_order(self, user: Declared) -> Order:
        roles = self.roles
        if roles.episode and user.recorders is not None:
            raise DataError(f"{self.name}: recorders does not apply to it, episode says which rows belong together")
        terminated, truncated = self.table.flag("terminated"), self.table.flag("truncated")
        needs_row = not roles.next_observation or bool(roles.mask and not roles.next_mask)
        return arrange(
            self.rows,
            self.name,
            episode=self.table.labels("episode"),
            step=self.table.steps(),
            time=self.table.time(),
            terminated=terminated,
            truncated=truncated,
            needs_row=needs_row,
            time_unit=roles.time_unit,
            last_rows=user.last_rows or cast(LastRows, roles.last_rows or "drop"),
            recorders=user.recorders,
        )

    def extra(self, order: Order, discrete: bool) -> dict[str, np.ndarray]:
        roles = self.roles
        columns: dict[str, np.ndarray] = {}
        if order.step is not None:
            columns["step"] = order.step
        if order.dt is not None:
            columns["dt"] = order.dt
        group = self.table.labels("group")
        if group is not None:
            codes, names = group
            columns["group"] = codes
            self.groups = tuple(str(name) for name in names)
            self.notes += self.meanings(order).notes()
        if roles.behavior_prob or roles.behavior_log_prob:
            columns["behavior_log_prob"] = self.behavior_log_prob(discrete)
        if roles.target_prob:
            target = self.table.numbers("target_prob")
            columns["target_prob"] = target[:, 0] if len(roles.target_prob) == 1 else target
        for role in ("mask", "next_mask"):
            if getattr(roles, role):
                optional = order.terminated if role == "next_mask" else None
                flags = [self.table.flags_of(name, role, optional) for name in getattr(roles, role)]
                columns[role] = np.stack(flags, axis=1)
        if "mask" in columns and "next_mask" not in columns:
            columns["next_mask"] = np.ones_like(columns["mask"])
        return columns

    def meanings(self, order: Order) -> Meanings:
        """What the numbers of groups and dt stand for, and what observations and actions are called."""
        encoding, column = self.columns.encoding, self.roles.group or "group"
        return Meanings(self.groups, column, order.dt_unit, encoding, order.in_seconds)

    def behavior_log_prob(self, discrete: bool) -> np.ndarray:
        roles = self.roles
        if roles.behavior_log_prob:
            value = self.table.numbers("behavior_log_prob")[:, 0]
        else:
            prob = self.table.numbers("behavior_prob")[:, 0].astype(np.float64)
            bad = np.flatnonzero(~(prob > 0))
            if len(bad):
                raise DataError(
                    f"{self.name}: behavior_prob must be above 0, as the action was taken; "
                    f"row {bad[0]} has {prob[bad[0]]:g}"
                )
            value = np.log(prob)
        if discrete:
            bad = np.flatnonzero(value > 1e-6)
            if len(bad):
                role = "behavior_log_prob" if roles.behavior_log_prob else "behavior_prob"
                raise DataError(f"{self.name}: {role} of a choice is a probability of 1 at most, row {bad[0]} has more")
        return floats(value, "behavior_log_prob", self.name, ndim=1)

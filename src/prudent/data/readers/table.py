"""CSV and Parquet: a long table, one row per step, of which a mapping says which column means what."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.data import columns
from prudent.data.columns import Bound, ask_whether_discrete, counted, declared_discrete
from prudent.data.dataset import Dataset
from prudent.data.episodes.order import Order, arrange
from prudent.data.readers import _arrow
from prudent.data.readers._damage import guarded, shown
from prudent.data.readers.mapping import TableMap, read_map
from prudent.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS: dict[str, _arrow.Kind] = {
    "episode": "label",
    "group": "label",
    "time": "time",
    "terminated": "flag",
    "truncated": "flag",
    "mask": "flag",
    "next_mask": "flag",
}
_TRUE, _FALSE = ("true", "t", "yes", "1", "1.0"), ("false", "f", "no", "0", "0.0")
_NAMED_GROUPS = 20


def read(
    path: str | Path,
    mapping: TableMap | Mapping[str, Any] | str | Path,
    *,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    discrete: bool | None = None,
    n_actions: int | None = None,
) -> Dataset:
    """Read a table whose columns ``mapping`` (a TOML file, or a dictionary of the same) maps to roles.

    Rows of an episode are brought together and ordered by ``step`` or ``time``. The next row is the successor, unless
    ``next_observation`` is mapped; the last row of an episode that did not terminate has none, and is dropped and
    counted. ``extra`` holds, where mapped, ``step`` (rows,) int64, ``dt`` (rows,) float32, ``group`` (rows,) int64 and
    ``behavior_log_prob`` (rows,) float32. Arguments replace what the mapping says. Rows in complaints and notes are
    those of the file, counted from 0 without the header.

    Raises:
        DataError: one line naming file, column, row and reason.
        ConfigError: the mapping is wrong, or does not fit the table.
    """
    path = Path(path)
    _require_pyarrow(path.name)
    roles = read_map(mapping)
    kinds = _kinds(roles, path)
    table = _arrow.read_columns(path, kinds)
    if table.num_rows == 0:
        raise DataError(f"{path.name}: the table has no rows")
    return _Table(table, roles, path.name).dataset(action_low, action_high, discrete, n_actions)


def columns_of(path: Path) -> str:
    """The names of a table's columns, as many as a line can hold."""
    _require_pyarrow(path.name)
    return _some(_arrow.column_names(path))


def _some(names: list[str]) -> str:
    return ", ".join(shown(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def _require_pyarrow(name: str) -> None:
    try:
        import pyarrow  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise DataError(f'{name}: pyarrow is not installed, try: pip install "prudent[table]"') from error


def _kinds(roles: TableMap, path: Path) -> dict[str, _arrow.Kind]:
    """How to read each mapped column.

    Raises:
        ConfigError: the table does not have it, or two roles want it read differently.
    """
    from difflib import get_close_matches

    there = _arrow.column_names(path)
    kinds: dict[str, _arrow.Kind] = {}
    for role, column in roles.columns():
        if column not in there:
            close = get_close_matches(column, there, n=1)
            hint = f"did you mean {shown(close[0])}?" if close else f"there are {_some(there)}"
            raise ConfigError(f"{path.name}: no column {column!r} for {role}; {hint}")
        kind = _KINDS.get(role, "number")
        if kinds.setdefault(column, kind) != kind:
            # A number says as much as a name or a flag does: 0/1 columns may be observations as well.
            kinds[column] = "number"
    return kinds


class _Table:
    """The columns of one file, by role."""

    def __init__(self, table: "pa.Table", roles: TableMap, name: str):
        self.table, self.roles, self.name = table, roles, name
        self.notes: list[str] = []

    def dataset(
        self, action_low: Bound | None, action_high: Bound | None, discrete: bool | None, n_actions: int | None
    ) -> Dataset:
        roles = self.roles
        discrete, n_actions = declared_discrete(discrete, n_actions, roles.discrete, roles.n_actions, self.name)
        low = roles.action_low if action_low is None else action_low
        high = roles.action_high if action_high is None else action_high
        action = self.numbers("action")
        if discrete is None and low is None:
            ask_whether_discrete(action, self.name)
        if discrete and action.shape[1] != 1:
            raise DataError(f"{self.name}: discrete actions stand in one column, action names {action.shape[1]}")
        observation = columns.floats(self.numbers("observation"), "observation", self.name, ndim=2)
        following = (
            columns.floats(self.numbers("next_observation"), "next_observation", self.name, ndim=2)
            if roles.next_observation
            else None
        )
        order = self.order(following is not None)
        dataset = Dataset.from_columns(
            observation=observation,
            action=action,
            reward=self.numbers("reward")[:, 0],
            next_observation=observation if following is None else following,
            terminated=order.terminated,
            truncated=np.zeros_like(order.terminated),
            action_low=low,
            action_high=high,
            discrete=bool(discrete),
            n_actions=n_actions,
            name=self.name,
            extra=self.extra(order, bool(discrete)),
        )
        return self.arranged(dataset, order, following)

    def arranged(self, dataset: Dataset, order: Order, following: np.ndarray | None) -> Dataset:
        """The dataset, checked in the file's order so that complaints name its rows, in the order of its episodes."""
        rows = order.rows
        observation = dataset.observation[rows]
        if following is None:
            successor = np.concatenate([observation[1:], observation[-1:]])
            successor[order.terminated[rows]] = observation[order.terminated[rows]]
        else:
            successor = dataset.next_observation[rows]
        extra = {key: column[rows] for key, column in dataset.extra.items()}
        if "mask" in extra and not self.roles.next_mask:
            after = np.concatenate([extra["mask"][1:], extra["mask"][-1:]])
            extra["next_mask"] = after | order.terminated[rows, None]
        sorted_ = replace(
            dataset,
            observation=observation,
            action=dataset.action[rows],
            reward=dataset.reward[rows],
            terminated=order.terminated[rows],
            extra=extra,
        )
        if not order.keep.any():
            raise DataError(
                f"{self.name}: no row has a successor of its own episode, so there is nothing to learn from"
            )
        return sorted_.with_successors(order.keep, successor, order.truncated, (*self.notes, *order.notes))

    # --- roles ----------------------------------------------------------------------------------------------

    def order(self, has_successors: bool) -> Order:
        roles = self.roles
        terminated, truncated = self.flag("terminated"), self.flag("truncated")
        step = None
        if roles.step:
            step = columns.whole(self.numbers("step")[:, 0], "step", self.name)
        needs_row = not has_successors or bool(roles.mask and not roles.next_mask)
        return arrange(
            self.table.num_rows,
            self.name,
            episode=self.labels("episode"),
            step=step,
            time=self.time(),
            terminated=terminated,
            truncated=truncated,
            needs_row=needs_row,
            time_unit=roles.time_unit,
        )

    def extra(self, order: Order, discrete: bool) -> dict[str, np.ndarray]:
        roles = self.roles
        found: dict[str, np.ndarray] = {}
        if order.step is not None:
            found["step"] = order.step
        if order.dt is not None:
            found["dt"] = order.dt
        group = self.labels("group")
        if group is not None:
            codes, names = group
            found["group"] = codes
            listed = ", ".join(f"{code} = {shown(name)}" for code, name in enumerate(names[:_NAMED_GROUPS]))
            more = f", ... ({len(names):,} groups)" if len(names) > _NAMED_GROUPS else ""
            self.notes.append(f"group {shown(roles.group)}: {listed}{more}")
        if roles.behavior_prob or roles.behavior_log_prob:
            found["behavior_log_prob"] = self.behavior_log_prob(discrete)
        for role in ("mask", "next_mask"):
            if getattr(roles, role):
                found[role] = np.stack([self.flags_of(name, role) for name in getattr(roles, role)], axis=1)
        if "mask" in found and "next_mask" not in found:
            found["next_mask"] = np.ones_like(found["mask"])
        return found

    def behavior_log_prob(self, discrete: bool) -> np.ndarray:
        roles = self.roles
        if roles.behavior_log_prob:
            value = self.numbers("behavior_log_prob")[:, 0]
        else:
            prob = self.numbers("behavior_prob")[:, 0].astype(np.float64)
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
        return columns.floats(value, "behavior_log_prob", self.name, ndim=1)

    # --- columns --------------------------------------------------------------------------------------------

    def numbers(self, role: str) -> np.ndarray:
        """The columns of a role side by side, (rows, columns); integers only where all of them are."""
        named = getattr(self.roles, role)
        several = named if isinstance(named, tuple) else (named,)
        return np.stack([self._number(name, role) for name in several], axis=1)

    def _number(self, name: str, role: str) -> np.ndarray:
        import pyarrow as pa

        column: Any = self.table.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or _is_decimal(column.type)):
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} holds {str(column.type)[:60]}, expected numbers"
            )
        missing = column.null_count
        if missing or _is_decimal(column.type):
            column = guarded(self.name, lambda: column.cast(pa.float64(), safe=False))
        values = column.to_numpy()
        if missing:
            rows = np.flatnonzero(np.isnan(values))
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} is empty in {counted(missing, 'row')}, "
                f"the first is row {rows[0]}"
            )
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} is NaN or infinite in "
                f"{counted(len(bad), 'row')}, the first is row {bad[0]}"
            )
        return values

    def flag(self, role: str) -> np.ndarray | None:
        name = getattr(self.roles, role)
        return None if name is None else self.flags_of(name, role)

    def flags_of(self, name: str, role: str) -> np.ndarray:
        """A column of true/false, 0/1 or yes/no as (rows,) bool."""
        if not _is_text(self.table.column(name).type):
            return columns.flags(self._number(name, role), f"column {shown(name)} for {role}", self.name)
        codes, words = self._labels(name, role)
        meaning = np.array([_truth(word) for word in words], dtype=np.int8)
        bad = np.flatnonzero(meaning[codes] < 0)
        if len(bad):
            word = shown(words[codes[bad[0]]])
            raise DataError(
                f"{self.name}: column {shown(name)} for {role} must be true/false or 0/1, row {bad[0]} is {word}"
            )
        return meaning[codes] == 1

    def labels(self, role: str) -> tuple[np.ndarray, list[Any]] | None:
        name = getattr(self.roles, role)
        return None if name is None else self._labels(name, role)

    def _labels(self, name: str, role: str) -> tuple[np.ndarray, list[Any]]:
        """A column of names or whole numbers as numbers from 0, (rows,) int64, and what each stands for, sorted."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.table.column(name)
        if column.null_count:
            row = pc.index(pc.is_null(column), True).as_py()  # type: ignore[attr-defined]
            raise DataError(f"{self.name}: column {shown(name)} for {role} is empty in row {row}")
        if not _is_text(column.type):
            numbers, codes = np.unique(self._number(name, role), return_inverse=True)
            return codes.astype(np.int64), numbers.tolist()
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        whole = guarded(self.name, lambda: column.unify_dictionaries().combine_chunks())
        whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
        codes, names = np.unique(whole.indices.to_numpy(), return_inverse=True)[::-1]
        words = [str(whole.dictionary[int(i)].as_py()) for i in names]
        rank = np.argsort(np.argsort(np.array(words, dtype=object)))
        codes = rank[codes].astype(np.int64)
        words = sorted(words)
        if "" in words:
            row = np.flatnonzero(codes == 0)[0]
            raise DataError(f"{self.name}: column {shown(name)} for {role} is empty in row {row}")
        return codes, words

    def time(self) -> np.ndarray | None:
        """Seconds since the first (timestamps), or the numbers as they are; (rows,) float64."""
        import pyarrow as pa

        name = self.roles.time
        if name is None:
            return None
        column = self.table.column(name)
        if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
            return self._number(name, "time").astype(np.float64)
        if column.null_count:
            raise DataError(f"{self.name}: column {shown(name)} for time is empty in {column.null_count} rows")
        moments = guarded(self.name, lambda: column.cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy())
        if int(moments.max()) - int(moments.min()) >= 1 << 62:
            raise DataError(f"{self.name}: column {shown(name)} for time spans more than a century")
        # Nanoseconds since 1970 are beyond what float64 tells apart; differences within a log are not.
        return (moments - moments.min()).astype(np.float64) / 1e9


def _truth(word: object) -> int:
    text = str(word).strip().lower()
    return 1 if text in _TRUE else 0 if text in _FALSE else -1


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(inner) or pa.types.is_large_string(inner)


def _is_decimal(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_decimal(kind)

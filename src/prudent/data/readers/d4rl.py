"""D4RL HDF5: flat arrays, as written by D4RL (Fu et al. 2020) and by d4rl-pybullet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.data import masks
from prudent.data.columns import MOST_ACTIONS, Dones, Rows, ask_whether_discrete, flags, floats
from prudent.data.dataset import Dataset
from prudent.data.episodes import recorders
from prudent.data.episodes.dropped import Dropped
from prudent.data.episodes.ends import COMMON_HORIZON, KEEP_THEM, EpisodeEnds, find_successors, note_on_equal_lengths
from prudent.data.episodes.left_out import BadRows
from prudent.data.exact import whole
from prudent.data.readers import _ends, _hdf5, _keys, _names, _tree
from prudent.data.readers._budget import Budget
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError

if TYPE_CHECKING:
    import h5py

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations", *masks.KEYS.values())
EXTRA, EXTRA_COLUMNS = "extra", ("dt", "group", "step", "behavior_log_prob", "behaviour_log_prob")
"""Group and names of the optional columns (N,) that this library writes."""
EVERY = (*KEYS, *(f"{EXTRA}/{key}" for key in EXTRA_COLUMNS))
"""Every key that is read."""
REQUIRED = ("observations", "actions", "rewards")
_D3RLPY = ("discrete_action", "create_mask", "mask_size", "version")
"""What d3rlpy 1.x stores beside its columns."""


def read(path: str | Path, user: Declared = UNDECLARED) -> Dataset:
    """Read ``observations (N, S)``, ``actions (N, A)``, ``rewards terminals timeouts (N,)``.

    Without ``next_observations (N, S)`` the following row is the successor, except at an episode's end. Without
    ``timeouts`` (d4rl-pybullet) episodes end at ``terminals``, at ``horizon`` steps, or where the observation jumps;
    with ``dones="truncated"`` the terminals only end the recording. Flags under other names are read as well, such as
    d3rlpy's ``episode_terminals``: see :mod:`prudent.data.readers._ends`. ``notes`` say what was inferred or dropped.
    Files of this library have ``metadata/true_successors``: flags and ``next_observations`` are then taken as they
    are. Few files declare ``metadata/action_low`` and ``action_high``; give the bounds if you know them. Discrete
    actions are declared by ``discrete`` or ``n_actions``, by the user or in the file (an attribute, or under
    ``metadata``; ``first_action`` likewise), and may have ``action_masks next_action_masks (N, n_actions)``.

    Raises:
        DataError: one line naming file, key and reason.
    """
    path = Path(path)
    with _hdf5.opened(path) as file:
        header = read_header(file, path.name, user)
        with _hdf5.reading(path.name):
            table = _hdf5.columns(file, (*EVERY, *header.flag_keys), path.name, Budget(), header.flag_keys)
    return assemble(table, path.name, header)


@dataclass(frozen=True)
class Header:
    """What holds for the whole of a file."""

    user: Declared
    """What the user declares."""
    declared: Declared
    """The same, and where the user leaves something open, what the file declares."""
    true_successors: bool
    notes: tuple[str, ...]
    """A note on keys that are not read, or none."""
    dropped: Dropped | None = None
    """What was lost when the file was written; only files of this library say so."""
    flag_keys: tuple[str, ...] = ()
    """Columns that mark ends of episodes under other names than ``terminals`` and ``timeouts``."""
    certain: bool = False
    """Whether the file says of every row if its episode ends there."""
    names: Any = None
    """What columns and actions are called, as JSON holds it; only files of this library say so."""

    def trusts(self, keys: Collection[str], truncated: np.ndarray | None) -> bool:
        """Whether flags and successors are taken as they are; for that they all have to be among ``keys``."""
        needed = {"next_observations", "terminals", "timeouts"}
        needed |= {"next_action_masks"} if "action_masks" in keys else set()
        return self.true_successors and truncated is not None and needed <= set(keys)


def read_header(file: "h5py.File", name: str, user: Declared) -> Header:
    """What the user and the file declare.

    Raises:
        DataError: the file declares something that makes no sense, or has a column under a wrong name.
    """
    with _hdf5.reading(name):
        flag_keys = _ends.pick(_tree.arrays(file, name), EVERY)
        notes = _keys.unread(_keys_of(file, name), (*EVERY, *_D3RLPY, *flag_keys), name)
        discrete = _whole_number(file, "discrete", name, least=0)
        if discrete is None and (stored := _small(file, "discrete_action", "iub", 1, name)) is not None:
            discrete = int(stored.ravel()[0])
        if discrete not in (None, 0, 1):
            raise DataError(f"{name}: whether actions are choices must be true/false or 0/1, the file says {discrete}")
        filed = Declared(
            horizon=_whole_number(file, "max_episode_steps", name),
            action_low=_bound(file, "action_low", name),
            action_high=_bound(file, "action_high", name),
            discrete=None if discrete is None else bool(discrete),
            n_actions=_whole_number(file, "n_actions", name),
            first_action=_whole_number(file, "first_action", name, least=-MOST_ACTIONS),
        )
        true_successors = bool(_whole_number(file, "true_successors", name, least=0))
        dropped, names = _dropped(file, name), _names.in_hdf5(file, name)
    declared = user.or_else(filed, name)
    return Header(user, declared, true_successors, tuple(notes), dropped, tuple(flag_keys), names=names)


def check_required(table: Mapping[str, Any], name: str, header: Header) -> None:
    """Refuse a file that lacks a required column or has no rows. ``table`` has its columns; they need not be read."""
    for key in REQUIRED:
        if key not in table:
            notes = "".join(f"; {note}" for note in header.notes)
            raise DataError(f"{name}: no {key} in the file; a D4RL file has {', '.join(KEYS[:5])}{notes}")
    if len(table["rewards"]) == 0:
        raise DataError(f"{name}: the file has no rows")


def find_bad_rows(columns: Mapping[str, Rows], terminated: np.ndarray, name: str, header: Header) -> BadRows | None:
    """The bad rows of a file whose episodes are to be left out; None if the user does not ask for that."""
    return BadRows(columns, terminated, name) if header.user.skip_bad_episodes else None


def check_actions(action: Any, name: str, header: Header) -> None:
    """Refuse actions that may be choices or amounts; they need not have been read."""
    if header.declared.discrete is None and header.declared.action_low is None:
        ask_whether_discrete(action, name)


def assemble(table: dict[str, np.ndarray], name: str, header: Header) -> Dataset:
    """The dataset in the raw columns of a D4RL file; see :func:`read`."""
    check_required(table, name, header)
    table = recorders.take_apart(table, len(table["rewards"]), header.user.recorders)
    table, header = with_flags(table, name, header)
    terminated, truncated, notes = end_flags(table, name, header)
    if header.trusts(table, truncated) and truncated is not None:
        truncated = recorders.cut(terminated, truncated, header.user.recorders)
    bad = find_bad_rows(row_columns(table), terminated, name, header)
    if bad is not None:
        whole_file = slice(0, len(terminated))
        table = table | {key: bad.mended(key, column, whole_file) for key, column in row_columns(table).items()}
    check_actions(table["actions"], name, header)
    # Checked before episodes are worked out, so that a NaN is reported by the row it has in the file.
    raw = Dataset.from_columns(
        observation=table["observations"],
        action=table["actions"],
        reward=table["rewards"],
        next_observation=table.get("next_observations", table["observations"]),
        terminated=terminated,
        truncated=np.zeros_like(terminated) if truncated is None else truncated,
        action_low=header.declared.action_low,
        action_high=header.declared.action_high,
        discrete=bool(header.declared.discrete),
        n_actions=header.declared.n_actions,
        first_action=header.declared.first_action or 0,
        name=name,
        notes=header.notes,
        extra=masks.from_file(table, name) | extra_columns(table, name),
    )
    raw = replace(raw, meanings=_names.meanings(header.names, raw.spec, name))
    if header.trusts(table, truncated):
        # Here a successor that equals the next episode's first row is a real one.
        header.user.refuse_last_rows(name, 0)
        recorders.check_stated(raw.strays, header.user.recorders, name)
        raw = replace(raw, notes=(*raw.notes, *notes), dropped=header.dropped)
        every = np.ones_like(terminated)
        stated = EpisodeEnds(raw.terminated, raw.truncated, every, np.flatnonzero(raw.terminated), True, ())
        return raw if bad is None else bad.without_episodes(raw, stated, inferred=False)
    strays = None
    if "next_observations" in table:
        strays = raw.strays if bad is None else bad.without(raw.strays, raw.terminated | raw.truncated)
    successors = find_successors(
        raw.observation,
        terminated,
        truncated,
        raw.next_observation if "next_observations" in table else None,
        horizon=header.declared.horizon,
        fallback_horizon=None if "next_observations" in table else COMMON_HORIZON,
        mask=raw.extra.get("mask"),
        next_mask=raw.extra.get("next_mask") if "next_action_masks" in table else None,
        name=name,
        strays=strays,
        last_rows=header.user.last_rows,
        recorders=header.user.recorders,
        action=raw.action,
        certain=header.certain,
    )
    check_ends(successors.ends, name, header)
    dataset = raw.with_successors(successors.ends, successors.next_observation, notes, successors.next_mask)
    return dataset if bad is None else bad.without_episodes(dataset, successors.ends, inferred=truncated is None)


def check_ends(ends: EpisodeEnds, name: str, header: Header) -> None:
    """Refuse a file without a transition, and one for which ``last_rows`` decides nothing."""
    header.user.refuse_last_rows(name, ends.lacking)
    if not ends.keep.any():
        raise DataError(f"{name}: no row has a successor, so there is no transition to learn from; {KEEP_THEM}")


def row_columns(table: Mapping[str, Any]) -> dict[str, Any]:
    """The columns in which a row may be bad: all but the flags."""
    return {key: column for key, column in table.items() if key not in ("terminals", "timeouts") and column.shape}


def extra_columns(table: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The columns of :data:`EXTRA_COLUMNS` that the file has."""
    extra = {}
    for key in EXTRA_COLUMNS:
        column = table.get(f"{EXTRA}/{key}")
        if column is not None and key in ("group", "step"):
            extra[key] = whole(column, key, name)
        elif column is not None:
            extra[key] = floats(column, key, name, ndim=1)
    if "dt" in extra and (extra["dt"] <= 0).any():
        raise DataError(f"{name}: {EXTRA}/dt must be above 0, row {np.flatnonzero(extra['dt'] <= 0)[0]} is not")
    return extra


def with_flags(table: Mapping[str, Any], name: str, header: Header) -> tuple[dict[str, Any], Header]:
    """The table with ``terminals`` and ``timeouts`` in place of its flags, which must have been read.

    Raises:
        DataError: flags contradict each other, or one has no clear meaning.
    """
    keys = [key for key in ("terminals", "timeouts", *header.flag_keys) if key in table]
    ends = _ends.resolve({key: table[key] for key in keys}, len(table["rewards"]), name, header.user)
    found = dict(ends.columns)
    if "dones" in found:
        done = found.pop("dones")
        found["terminals"] = done & ~found["timeouts"] if "timeouts" in found else done
    rest = {key: column for key, column in table.items() if key not in keys}
    return rest | found, replace(header, certain=header.certain or ends.certain, notes=(*header.notes, *ends.notes))


def end_flags(table: Mapping[str, Any], name: str, header: Header) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Terminations (rows,), truncations (rows,) or None if unknown, and notes. The flags must have been read.

    Raises:
        DataError: a declaration of the user would change nothing about them.
    """
    terminals, timeouts, notes = _end_flags(table, name, header.declared.dones)
    flags_tell = "terminals" not in table or "timeouts" in table
    header.user.refuse_what_flags_tell(name, terminations=flags_tell, truncated=timeouts)
    return terminals, timeouts, [*recorders.notes(header.user.recorders, len(terminals), name), *notes]


def _end_flags(
    table: Mapping[str, Any], name: str, dones: Dones | None
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    rows = len(table["rewards"])
    notes: list[str] = []
    terminals = flags(table["terminals"], "terminals", name) if "terminals" in table else None
    timeouts = flags(table["timeouts"], "timeouts", name) if "timeouts" in table else None
    if terminals is None:
        notes.append("no terminals in the file: no episode is taken to end in a termination")
        terminals = np.zeros(rows, dtype=bool)
    if timeouts is not None and not timeouts.any() and not terminals.any() and rows > COMMON_HORIZON:
        notes.append("neither terminals nor timeouts are ever set")
        timeouts = None
    if timeouts is None and terminals.any():
        if dones == "truncated":
            return (
                np.zeros(rows, dtype=bool),
                terminals,
                [*notes, "terminals were read as truncations, as asked"],
            )
        notes += note_on_equal_lengths(terminals)
    return terminals, timeouts, notes


def _whole_number(file: "h5py.File", key: str, name: str, least: int = 1) -> int | None:
    """A whole number that the file declares: an attribute, or under ``metadata`` an array or attribute."""
    import h5py

    value = _hdf5.attribute(file, key, name)
    if value is None:
        value = _small(file, f"metadata/{key}", "iub", 1, name)
    if value is None and isinstance(group := _hdf5.child(file, "metadata", name), h5py.Group):
        value = _hdf5.attribute(group, key, name)
    if value is None:
        return None
    number = np.asarray(value).ravel()
    if number.size != 1 or number.dtype.kind not in "iub" or number[0] < least:
        raise DataError(f"{name}: {key} must be one whole number from {least}")
    return int(number[0])


def _keys_of(file: "h5py.File", name: str) -> list[str]:
    """The keys of a file, those of :data:`EXTRA` with their group."""
    import h5py

    keys = [key for key in file.keys() if key != EXTRA]  # noqa: SIM118 - typed as str, unlike iteration
    group = _hdf5.child(file, EXTRA, name)
    if isinstance(group, h5py.Group):
        return [*keys, *(f"{EXTRA}/{key}" for key in group.keys())]  # noqa: SIM118
    return keys if group is None else [*keys, EXTRA]


def _dropped(file: "h5py.File", name: str) -> Dropped | None:
    numbers = _small(file, "metadata/dropped", "f", 5, name)
    try:
        return None if numbers is None else Dropped.from_numbers(numbers.ravel().tolist())
    except ValueError as error:
        raise DataError(f"{name}: metadata/dropped is damaged ({error})") from error


def _bound(file: "h5py.File", key: str, name: str) -> np.ndarray | None:
    return _small(file, f"metadata/{key}", "fiu", 1 << 16, name)


def _small(file: "h5py.File", key: str, kinds: str, most: int, name: str) -> np.ndarray | None:
    """An array of at most ``most`` numbers, or None if there is no such array."""
    import h5py

    node = _hdf5.child(file, key, name)
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in kinds or node.size is None or node.size > most:
        return None
    return np.asarray(node[()])

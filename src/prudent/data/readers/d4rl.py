"""D4RL HDF5: flat arrays, as written by D4RL (Fu et al. 2020) and by d4rl-pybullet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prudent.data import masks
from prudent.data.columns import MOST_ACTIONS, Dones, ask_whether_discrete, flags, floats, whole
from prudent.data.dataset import Dataset
from prudent.data.episodes.ends import COMMON_HORIZON, find_successors, note_on_equal_lengths
from prudent.data.readers import _hdf5, _keys
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
_WRONG = {**_keys.WRONG, "done": "terminals", "dones": "terminals"}


def read(path: str | Path, user: Declared = UNDECLARED) -> Dataset:
    """Read ``observations (N, S)``, ``actions (N, A)``, ``rewards terminals timeouts (N,)``.

    Without ``next_observations (N, S)`` the following row is the successor, except at an episode's end. Without
    ``timeouts`` (d4rl-pybullet) episodes end at ``terminals``, at ``horizon`` steps, or where the observation jumps;
    with ``dones="truncated"`` the terminals only end the recording. ``notes`` say what was inferred or dropped.
    Files of this library have ``metadata/true_successors``: flags and ``next_observations`` are then taken as they
    are. Few files declare ``metadata/action_low`` and ``action_high``; give the bounds if you know them. Discrete
    actions are declared by ``discrete`` or ``n_actions``, by the user or in the file (an attribute, or under
    ``metadata``; ``first_action`` likewise), and may have ``action_masks next_action_masks (N, n_actions)``.

    Raises:
        DataError: one line naming file, key and reason.
    """
    path = Path(path)
    with _hdf5.opened(path) as file:
        with _hdf5.reading(path.name):
            table = _hdf5.columns(file, EVERY, path.name, Budget())
        header = read_header(file, path.name, user)
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
        notes = _keys.unread(_keys_of(file, name), EVERY, name, _WRONG)
        discrete = _whole_number(file, "discrete", name, least=0)
        filed = Declared(
            horizon=_whole_number(file, "max_episode_steps", name),
            action_low=_bound(file, "action_low", name),
            action_high=_bound(file, "action_high", name),
            discrete=None if discrete is None else bool(discrete),
            n_actions=_whole_number(file, "n_actions", name),
            first_action=_whole_number(file, "first_action", name, least=-MOST_ACTIONS),
        )
        true_successors = bool(_whole_number(file, "true_successors", name, least=0))
    return Header(user, user.or_else(filed, name), true_successors, tuple(notes))


def check_required(table: Mapping[str, Any], name: str, header: Header) -> None:
    """Refuse a file that lacks a required column or has no rows, or whose actions may be choices or amounts.

    ``table`` holds its columns; they need not have been read.
    """
    for key in REQUIRED:
        if key not in table:
            notes = "".join(f"; {note}" for note in header.notes)
            raise DataError(f"{name}: no {key} in the file; a D4RL file has {', '.join(KEYS[:5])}{notes}")
    if len(table["rewards"]) == 0:
        raise DataError(f"{name}: the file has no rows")
    if header.declared.discrete is None and header.declared.action_low is None:
        ask_whether_discrete(table["actions"], name)


def assemble(table: dict[str, np.ndarray], name: str, header: Header) -> Dataset:
    """The dataset in the raw columns of a D4RL file; see :func:`read`."""
    check_required(table, name, header)
    terminated, truncated, notes = end_flags(table, name, header)
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
    if header.trusts(table, truncated):
        # Here a successor that equals the next episode's first row is a real one.
        return raw
    successors = find_successors(
        raw.observation,
        terminated,
        truncated,
        raw.next_observation if "next_observations" in table else None,
        horizon=header.declared.horizon,
        fallback_horizon=None if "next_observations" in table else COMMON_HORIZON,
        mask=None if "next_action_masks" in table else raw.extra.get("mask"),
        name=name,
        strays=raw.strays if "next_observations" in table else None,
    )
    if not successors.keep.any():
        raise DataError(f"{name}: no row has a successor, so there is no transition to learn from")
    return raw.with_successors(
        successors.keep,
        successors.next_observation,
        successors.truncated,
        (*notes, *successors.notes),
        successors.next_mask,
    )


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


def end_flags(table: Mapping[str, Any], name: str, header: Header) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Terminations (rows,), truncations (rows,) or None if unknown, and notes. The flags must have been read.

    Raises:
        DataError: a declaration of the user would change nothing about them.
    """
    terminals, timeouts, notes = _end_flags(table, name, header.declared.dones)
    flags_tell = "terminals" not in table or "timeouts" in table
    header.user.refuse_what_flags_tell(name, terminations=flags_tell, truncated=timeouts)
    return terminals, timeouts, notes


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


def _bound(file: "h5py.File", key: str, name: str) -> np.ndarray | None:
    return _small(file, f"metadata/{key}", "fiu", 1 << 16, name)


def _small(file: "h5py.File", key: str, kinds: str, most: int, name: str) -> np.ndarray | None:
    """An array of at most ``most`` numbers, or None if there is no such array."""
    import h5py

    node = _hdf5.child(file, key, name)
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in kinds or node.size is None or node.size > most:
        return None
    return np.asarray(node[()])

"""Replay buffers of Stable-Baselines3 in an npz file: parallel environments, stored as a ring.

Every array is (size, environments, ...): row ``pos`` is written next, and the rows from there on are the oldest ones if
the ring is ``full``.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from prudent.data.columns import counted, flags
from prudent.data.end_names import meaning_of
from prudent.data.readers.declared import Declared
from prudent.errors import DataError

KEYS = ("pos", "full", "space_low", "space_high")
"""What is stored beside the arrays: state of the ring, and the bounds of the environment's action space."""
_PARTS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
_HOW = "docs/data.md has the lines that write one"


def is_one(table: Mapping[str, np.ndarray], name: str) -> bool:
    """Whether an npz file holds a replay buffer.

    Raises:
        DataError: its arrays are those of one, but the state of the ring is missing.
    """
    if "pos" in table and "full" in table:
        return True
    if all(key in table for key in _PARTS[2:4]) and table["rewards"].ndim == 2 and table["actions"].ndim == 3:
        raise DataError(
            f"{name}: rewards has shape {table['rewards'].shape}, as in a replay buffer of Stable-Baselines3; "
            f"store its pos and full as well ({_HOW})"
        )
    return False


def flattened(
    table: Mapping[str, np.ndarray], name: str, user: Declared
) -> tuple[dict[str, np.ndarray], Declared, list[str]]:
    """The columns of a buffer (rows, ...), the environments one after the other, each from its oldest row on.

    Also returned: what the user declares, without what was used here; and notes. ``dones`` with a timeout are
    truncations, those without are terminations; if no timeout is ever set, ``user.dones`` may say what they are.
    Actions are turned from [-1, 1] back to the units of the environment if the file has its bounds.

    Raises:
        DataError: arrays are missing or do not fit together, or ``pos`` and ``full`` do not.
    """
    _check(table, name)
    size, environments = table["rewards"].shape
    rows = _rows(table, size, name)
    done = _flag(table, "dones", rows, name)
    timeout = _flag(table, "timeouts", rows, name) if "timeouts" in table else np.zeros_like(done)
    notes = [f"replay buffer of {counted(environments, 'environment')}, {counted(len(rows), 'step')} of each"]
    terminated, truncated = done & ~timeout, timeout.copy()
    if not timeout.any():
        truncated = done if user.dones == "truncated" else truncated
        terminated = np.zeros_like(done) if user.dones == "truncated" else done
        notes.append(
            "dones were read as truncations, as asked: value goes on after them"
            if user.dones == "truncated"
            else "no timeout is set in the buffer: dones were read as terminations; if they are time limits, "
            'dones="truncated" (--dones truncated) says so'
        )
        user = replace(user, dones=None)
    # The recording stops here in every environment.
    truncated[-1] |= ~terminated[-1]
    observation = table["observations"][rows]
    if "next_observations" in table:
        following = table["next_observations"][rows]
    else:
        # One array serves for both: the row after an end already holds the next episode's first observation.
        following = table["observations"][(rows + 1) % size].copy()
        inner = terminated.copy()
        inner[-1] = False
        following[inner] = observation[inner]
        notes.append("no next_observations (optimize_memory_usage): the next row's observation is the successor")
    flat = {
        "observations": _apart(observation),
        "next_observations": _apart(following),
        "actions": _apart(table["actions"][rows]),
        "rewards": _apart(table["rewards"][rows]),
        "terminals": _apart(terminated),
        "timeouts": _apart(truncated),
    }
    rest = {key: column for key, column in table.items() if key not in (*_PARTS, *KEYS)}
    return rest | flat | _scaled(table, flat["actions"], name, user, notes), user, notes


def _check(table: Mapping[str, np.ndarray], name: str) -> None:
    missing = [key for key in _PARTS if key not in table and key not in ("next_observations", "timeouts")]
    if missing:
        raise DataError(f"{name}: no {', '.join(missing)} in the replay buffer; {_HOW}")
    known = (*_PARTS, *KEYS)
    odd = [key for key in table if key in ("action_masks", "next_action_masks")]
    odd += [key for key in table if key not in known and meaning_of(key) is not None]
    if odd:
        raise DataError(f"{name}: {odd[0]} is no part of a replay buffer; remove it, or pos and full")
    shape = table["rewards"].shape
    if len(shape) != 2 or 0 in shape:
        raise DataError(f"{name}: rewards has shape {shape}, a replay buffer has (size, environments)")
    for key in _PARTS:
        if key not in table:
            continue
        axes = 3 if key in ("observations", "next_observations", "actions") else 2
        if table[key].shape[:2] != shape or table[key].ndim != axes:
            wanted = f"({shape[0]}, {shape[1]}{', features)' if axes == 3 else ')'}"
            raise DataError(f"{name}: {key} has shape {table[key].shape}, expected {wanted}")


def _rows(table: Mapping[str, np.ndarray], size: int, name: str) -> np.ndarray:
    """The numbers of the rows that hold steps, from the oldest on."""
    pos, full = (np.ravel(table[key]) for key in ("pos", "full"))
    if pos.size != 1 or full.size != 1 or pos.dtype.kind not in "iu" or full[0] not in (0, 1):
        raise DataError(f"{name}: pos must be one whole number and full one true/false")
    start = int(pos[0])
    if not 0 <= start < size and not (start == size and not full[0]):
        raise DataError(f"{name}: pos is {start}, but the buffer has {size} rows")
    if not full[0]:
        rows = np.arange(start)
    elif "next_observations" in table:
        rows = (np.arange(size) + start) % size
    else:
        # The observation of the oldest step has become the successor of the newest.
        rows = (np.arange(1, size) + start) % size
    if len(rows) == 0:
        raise DataError(f"{name}: the buffer is empty (pos 0, not full)")
    return rows


def _flag(table: Mapping[str, np.ndarray], key: str, rows: np.ndarray, name: str) -> np.ndarray:
    return flags(table[key][rows].ravel(), key, name).reshape(len(rows), -1)


def _apart(column: np.ndarray) -> np.ndarray:
    """From (steps, environments, ...) to (rows, ...), one environment after the other."""
    return np.ascontiguousarray(column.swapaxes(0, 1)).reshape(-1, *column.shape[2:])


def _scaled(
    table: Mapping[str, np.ndarray], action: np.ndarray, name: str, user: Declared, notes: list[str]
) -> dict[str, np.ndarray]:
    """Actions in the units of the environment, and their bounds, where the buffer's are scaled."""
    given = [key for key in ("space_low", "space_high") if key in table]
    if len(given) == 1:
        raise DataError(f"{name}: {given[0]} is in the file alone, space_low and space_high belong together")
    # A bad row has no part in this: it is refused, or left out, later.
    inside = action.dtype.kind == "f" and bool((np.abs(action[np.isfinite(action)]) <= 1 + 1e-5).all())
    if not given:
        if inside and not user.discrete and user.action_low is None and "n_actions" not in table:
            notes.append(
                "actions were left in [-1, 1], as Stable-Baselines3 scales them; with space_low and space_high in the "
                "file they are turned back to the units of the environment"
            )
            return {"action_low": np.array(-1.0), "action_high": np.array(1.0)}
        return {}
    low, high = (np.asarray(table[key], dtype=np.float64).ravel() for key in given)
    if low.shape != high.shape or low.shape != action.shape[1:] or not np.isfinite([*low, *high]).all():
        raise DataError(f"{name}: space_low and space_high need one finite number per action feature")
    if not inside:
        raise DataError(
            f"{name}: actions lie outside [-1, 1], so they are not scaled by space_low and space_high; "
            "store the bounds as action_low and action_high"
        )
    notes.append("actions were turned from [-1, 1] back to the units of the environment (space_low to space_high)")
    scaled = low + (np.clip(action, -1, 1).astype(np.float64) + 1) / 2 * (high - low)
    return {"actions": scaled.astype(np.float32), "action_low": low, "action_high": high}

"""D4RL HDF5: flat arrays, as written by D4RL (Fu et al. 2020) and by d4rl-pybullet."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from prudent.data.columns import Bound, flags
from prudent.data.dataset import Dataset
from prudent.data.readers import _hdf5
from prudent.data.readers._budget import Budget
from prudent.data.readers._episodes import COMMON_HORIZON, settle
from prudent.errors import DataError

if TYPE_CHECKING:
    import h5py

KEYS = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
REQUIRED = ("observations", "actions", "rewards")


def read(
    path: str | Path,
    *,
    dones: Literal["terminated", "truncated"] = "terminated",
    horizon: int | None = None,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    discrete: bool = False,
) -> Dataset:
    """Read ``observations (N, S)``, ``actions (N, A)``, ``rewards terminals timeouts (N,)``.

    Without ``next_observations (N, S)`` the following row is the successor, except at an episode's end.
    Without ``timeouts`` (d4rl-pybullet) episodes end at ``terminals``, at ``horizon`` steps, or where the
    observation jumps; ``dones="truncated"`` then says that the terminals only end the recording. Everything
    inferred or dropped is in ``notes``. Files declare no action bounds; give them if you know them.

    Raises:
        DataError: one line naming file, key and reason.
    """
    path = Path(path)
    with _hdf5.opened(path) as file:
        budget = Budget()
        table = _hdf5.columns(file, KEYS, path.name, budget)
        horizon = horizon or _declared_horizon(file, path.name)
    return assemble(
        table,
        path.name,
        dones=dones,
        horizon=horizon,
        action_low=action_low,
        action_high=action_high,
        discrete=discrete,
    )


def assemble(
    table: dict[str, np.ndarray],
    name: str,
    *,
    dones: Literal["terminated", "truncated"],
    horizon: int | None,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    discrete: bool = False,
) -> Dataset:
    """A dataset of the raw columns of a D4RL file; see :func:`read`."""
    for key in REQUIRED:
        if key not in table:
            raise DataError(f"{name}: no {key} in the file; a D4RL file has {', '.join(KEYS[:5])}")
    if len(table["rewards"]) == 0:
        raise DataError(f"{name}: the file has no rows")
    terminated, truncated, notes = _flags(table, name, dones)
    # Checked before episodes are worked out, so that a NaN is reported by the row it has in the file.
    raw = Dataset.from_columns(
        observation=table["observations"],
        action=table["actions"],
        reward=table["rewards"],
        next_observation=table.get("next_observations", table["observations"]),
        terminated=terminated,
        truncated=np.zeros_like(terminated) if truncated is None else truncated,
        action_low=action_low,
        action_high=action_high,
        discrete=discrete,
        name=name,
    )
    settled = settle(
        raw.observation,
        terminated,
        truncated,
        raw.next_observation if "next_observations" in table else None,
        horizon=horizon,
        fallback_horizon=None if "next_observations" in table else COMMON_HORIZON,
    )
    if not settled.keep.any():
        raise DataError(f"{name}: no row has a successor, so there is no transition to learn from")
    return raw.with_successors(
        settled.keep, settled.next_observation, settled.truncated, notes=(*notes, *settled.notes)
    )


def _flags(
    table: dict[str, np.ndarray], name: str, dones: Literal["terminated", "truncated"]
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Terminations, truncations (None: unknown) and notes."""
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
        lengths = np.diff(np.flatnonzero(np.concatenate([[True], terminals])))
        if len(lengths) > 1 and (lengths == lengths[0]).all():
            notes.append(
                f"all terminals come after exactly {lengths[0]} steps, which looks like a time limit; "
                'if it is one, read the file with dones="truncated"'
            )
    return terminals, timeouts, notes


def _declared_horizon(file: "h5py.File", name: str) -> int | None:
    """``max_episode_steps`` where the writer left it, as an attribute or under metadata."""
    value = file.attrs.get("max_episode_steps")
    if value is None:
        value = _scalar(file, "metadata/max_episode_steps", name)
    if value is None:
        return None
    steps = np.asarray(value).ravel()
    if steps.size != 1 or steps.dtype.kind not in "iu" or steps[0] < 1:
        raise DataError(f"{name}: max_episode_steps must be one whole number from 1")
    return int(steps[0])


def _scalar(file: "h5py.File", key: str, name: str) -> np.ndarray | None:
    import h5py

    node = _hdf5.child(file, key, name)
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "iu" or node.size != 1:
        return None
    return np.asarray(node[()])

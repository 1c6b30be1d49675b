"""d3rlpy 2.x: what ``ReplayBuffer.dump`` and ``MDPDataset.dump`` write, a few numbered arrays per episode.

Files of d3rlpy 1.x are flat; ``d4rl`` reads them.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import counted
from prudent.data.dataset import Dataset
from prudent.data.end_names import meaning_of
from prudent.data.readers import _hdf5, _tree, d4rl
from prudent.data.readers._budget import Budget
from prudent.data.readers._keys import plain
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError
from prudent.progress import watched

if TYPE_CHECKING:
    import h5py

_COLUMNS = ("observations", "actions", "rewards")
_NUMBERED = re.compile(r"(?:observations|actions|rewards|terminated)_(\d{1,18})")
_KNOWN = ("columns", "num_episodes", "version")


def is_one(file: "h5py.File") -> bool:
    """Whether an open file has this layout: a number of episodes, and numbered arrays."""
    keys = file.keys()
    return "num_episodes" in keys and "observations" not in keys


def read(path: Path, user: Declared = UNDECLARED) -> Dataset:
    """Read ``observations_K (T, S)``, ``actions_K (T, A)``, ``rewards_K (T, 1)``, ``terminated_K`` of every episode K.

    The following row is the successor. The last step of an episode that did not terminate has none: it is dropped, as
    d3rlpy drops it. The file does not say whether actions are choices.

    Raises:
        DataError: one line naming file, key and reason.
    """
    name = path.name
    user.refuse(name, ("recorders",))
    with _hdf5.opened(path) as file, _hdf5.reading(name):
        episodes, last = _episodes(file, name)
    lengths = [len(episode["rewards"]) for episode in episodes]
    for key in ("observations", "actions"):
        widths = {episode[key].shape[1] for episode in episodes}
        if len(widths) > 1:
            raise DataError(f"{name}: {key} of the episodes have {min(widths)} to {max(widths)} features")
    ends = np.cumsum(lengths) - 1
    table = {key: np.concatenate([episode.pop(key) for episode in episodes]) for key in _COLUMNS}
    terminated, truncated = np.zeros(len(table["rewards"]), dtype=bool), np.zeros(len(table["rewards"]), dtype=bool)
    terminated[ends], truncated[ends] = last, ~last
    table |= {"terminals": terminated, "timeouts": truncated}
    note = f"read as a d3rlpy file of {counted(len(episodes), 'episode')}"
    user = replace(user, recorders=1)  # the file keeps episodes apart
    header = d4rl.Header(user, user.or_else(UNDECLARED, name), true_successors=False, notes=(note,), certain=True)
    return d4rl.assemble(table, name, header)


def _episodes(file: "h5py.File", name: str) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """The columns of every episode, and whether each terminated (episodes,)."""
    budget = Budget()
    count = _count(file, name)
    met: dict[tuple[int, int], str] = {}
    nodes = [_nodes(file, number, name, budget, met) for number in range(count)]
    budget.settle(name)
    read = {f"{key}_{k}" for k in range(count) for key in (*_COLUMNS, "terminated")}
    for key in _tree.names(file, name):
        numbered = _NUMBERED.fullmatch(key)
        if numbered and key not in read and int(numbered[1]) >= count:
            raise DataError(f"{name}: num_episodes is {count:,}, but there is {key} in the file")
        if key not in read and key not in _KNOWN and meaning_of(key.rstrip("_0123456789")) is not None:
            raise DataError(f"{name}: {plain(key)} looks like the end of an episode, but d3rlpy writes no such array")
    last = np.array([_terminated(file, number, name) for number in range(count)])
    parts = watched(nodes, f"reading {name}", "episodes")
    episodes = [{key: node[()] for key, node in episode.items()} for episode in parts]
    return [e | {"rewards": e["rewards"].reshape(len(e["rewards"]))} for e in episodes], last


def _count(file: "h5py.File", name: str) -> int:
    number = _scalar(file, "num_episodes", name)
    arrays = len(file)
    if number != int(number) or not 1 <= number <= arrays:
        raise DataError(f"{name}: num_episodes is {number:.12g}, but there are {arrays} arrays in the file")
    return int(number)


def _scalar(file: "h5py.File", key: str, name: str) -> float:
    """One number. Raises DataError if the key is something else."""
    import h5py

    node = _hdf5.child(file, key, name)
    if node is None:
        raise DataError(f"{name}: no {key} in the file")
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "iubf" or node.size != 1:
        raise DataError(f"{name}: {key} must be one number")
    value = float(np.ravel(node[()])[0])
    if not np.isfinite(value):
        raise DataError(f"{name}: {key} is {value}, expected a number")
    return value


def _terminated(file: "h5py.File", number: int, name: str) -> bool:
    value = _scalar(file, f"terminated_{number}", name)
    if value not in (0, 1):
        raise DataError(f"{name}: terminated_{number} must be true/false or 0/1, it is {value:g}")
    return bool(value)


def _nodes(
    file: "h5py.File", number: int, name: str, budget: Budget, met: dict[tuple[int, int], str]
) -> "Mapping[str, h5py.Dataset]":
    """The arrays of an episode, not yet read."""
    import h5py

    nodes: dict[str, h5py.Dataset] = {}
    for column in _COLUMNS:
        key = f"{column}_{number}"
        node = _hdf5.child(file, key, name)
        if node is None and f"{key}_0" in file.keys():  # noqa: SIM118 - `in file` follows links
            raise DataError(f"{name}: {column} of several parts ({key}_0 ...); only one array of numbers can be read")
        if not isinstance(node, h5py.Dataset):
            raise DataError(f"{name}: no array {key} in the file, though num_episodes counts it")
        _tree.check_once(node, key, name, met)
        _hdf5.check_array(node, key, name, budget)
        nodes[column] = node
    rows = nodes["rewards"].shape[0]
    for column, axes in (("observations", 2), ("actions", 2), ("rewards", 1)):
        shape, first = nodes[column].shape, nodes[column].shape[1:]
        # d3rlpy stores rewards, and whole numbers of choices, with one column.
        flat = first in ((), (1,)) if axes == 1 else len(shape) == axes
        if shape[0] != rows or rows == 0 or not flat:
            wanted = f"({rows}, 1)" if axes == 1 else f"({rows}, features)"
            raise DataError(f"{name}: {column}_{number} has shape {shape}, expected {wanted}")
    return nodes

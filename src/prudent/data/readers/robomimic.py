"""robomimic: demonstrations in groups ``data/demo_K``, each with several kinds of observations.

What the file says about its environment (``env_args``, ``model_file``) is not read, and no environment is made of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data.columns import counted, flags
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

_DEMO = re.compile(r"demo_\d{1,9}")
_KNOWN = ("obs", "next_obs", "actions", "rewards", "dones", "states", "actions_abs", "action_dict", "robot_states")
_SHOWN, _MOST_KEYS = 20, 1000


def is_one(file: "h5py.File", name: str) -> bool:
    """Whether an open file has this layout: a group ``data`` with groups ``demo_K``."""
    import h5py

    if "data" not in file.keys() or not isinstance(file.get("data", getlink=True), h5py.HardLink):  # noqa: SIM118
        return False
    group = _hdf5.child(file, "data", name)
    return isinstance(group, h5py.Group) and any(map(_DEMO.fullmatch, _tree.names(group, name)))


def read(path: Path, user: Declared = UNDECLARED) -> Dataset:
    """Read ``obs/KEY (T, ...)``, ``actions (T, A)``, ``rewards (T,)``, ``dones (T,)`` of every demonstration.

    An observation is all keys of numbers of one axis, in alphabetical order, put side by side. Images are left out.
    ``next_obs`` are the successors; without them the following row is, and the last step that does not terminate is
    dropped. See :func:`_ends_of` for what ``dones`` mean. The notes say all of this for the file.

    Raises:
        DataError: one line naming file, key and reason.
    """
    name = path.name
    user.refuse(name, ("recorders",))
    with _hdf5.opened(path) as file, _hdf5.reading(name):
        demos, notes = _demos(file, name)
        parts = [demo.read() for demo in watched(demos, f"reading {name}", "demonstrations")]
    _check_widths(parts, name)
    parts, user, end_notes = _ends_of(parts, user, name)
    table = {key: np.concatenate([part.pop(key) for part in parts]) for key in list(parts[0])}
    stated = "next_observations" in table
    user = user if stated else replace(user, recorders=1)  # the file keeps episodes apart
    declared = user.or_else(UNDECLARED, name)
    header = d4rl.Header(user, declared, true_successors=stated, notes=(*notes, *end_notes), certain=True)
    return d4rl.assemble(table, name, header)


def _check_widths(parts: list[dict[str, np.ndarray]], name: str) -> None:
    for key in ("observations", "actions"):
        widths = {part[key].shape[1] for part in parts}
        if len(widths) > 1:
            raise DataError(f"{name}: {key} of the demonstrations have {min(widths)} to {max(widths)} features")


def _demos(file: "h5py.File", name: str) -> "tuple[list[_Demo], list[str]]":
    """The demonstrations in order of their numbers, and notes."""
    import h5py

    group = _hdf5.child(file, "data", name)
    assert isinstance(group, h5py.Group)
    numbered = sorted(filter(_DEMO.fullmatch, _tree.names(group, name)), key=lambda key: int(key[5:]))
    budget = Budget()
    demos: list[_Demo] = []
    keys: list[str] = []
    left_out: list[str] = []
    others: set[str] = set()
    met: dict[tuple[int, int], str] = {}
    for demo in numbered:
        node = _hdf5.child(group, demo, name, f"data/{demo}")
        if not isinstance(node, h5py.Group):
            raise DataError(f"{name}: data/{demo} is no group")
        if not demos:
            keys, left_out = _observation_keys(node, demo, name)
        demos.append(_Demo.of(node, demo, keys, name, budget, met))
        others |= set(_observation_keys(node, demo, name)[0]) - {*keys, *left_out}
    budget.settle(name)
    notes = [
        f"read as a robomimic file of {counted(len(demos), 'demonstration')}; "
        f"an observation is {_listed(keys)}, in this order"
    ]
    if left_out:
        notes.append(f"observations left out, as they are images or no vectors: {_listed(left_out)}")
    if others:
        notes.append(f"observations left out, as {numbered[0]} has none of them: {_listed(sorted(others))}")
    if filters := _filters(file, name):
        notes.append(f"the file's filter keys are not used, all demonstrations are read: {_listed(filters)}")
    stated = [demo.stated for demo in demos]
    if any(stated) and not all(stated):
        raise DataError(f"{name}: next_obs is in {sum(stated)} of {len(stated)} demonstrations, not in all")
    return demos, notes


def _observation_keys(demo: "h5py.Group", where: str, name: str) -> tuple[list[str], list[str]]:
    """The keys below ``obs`` that make an observation, and those that do not."""
    import h5py

    group = _hdf5.child(demo, "obs", name, f"data/{where}/obs")
    if not isinstance(group, h5py.Group):
        raise DataError(
            f"{name}: data/{where} has no obs: extract observations first (robomimic's dataset_states_to_obs.py)"
        )
    if len(group) > _MOST_KEYS:
        raise DataError(f"{name}: data/{where}/obs has {len(group):,} keys, at most {_MOST_KEYS:,} are read")
    taken, left = [], []
    for key in sorted(_tree.names(group, name)):
        node = _hdf5.child(group, key, name, f"data/{where}/obs/{key}")
        vector = isinstance(node, h5py.Dataset) and node.dtype.kind in "fiub" and len(node.shape) in (1, 2)
        (taken if vector else left).append(key)
    if not taken:
        raise DataError(f"{name}: data/{where}/obs has no vectors, only {_listed(left) or 'nothing'}")
    return taken, left


def _filters(file: "h5py.File", name: str) -> list[str]:
    import h5py

    if "mask" not in file.keys() or not isinstance(file.get("mask", getlink=True), h5py.HardLink):  # noqa: SIM118
        return []
    group = _hdf5.child(file, "mask", name)
    return _tree.names(group, name) if isinstance(group, h5py.Group) else []


def _listed(keys: Sequence[str]) -> str:
    more = f", and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
    return ", ".join(plain(key) for key in keys[:_SHOWN]) + more


@dataclass(frozen=True)
class _Demo:
    """One demonstration: its arrays, checked but not yet read."""

    where: str
    nodes: "dict[str, h5py.Dataset]"
    observation: "list[h5py.Dataset]"
    following: "list[h5py.Dataset]"
    name: str

    @property
    def stated(self) -> bool:
        """Whether the successors are in the file."""
        return bool(self.following)

    @staticmethod
    def of(
        demo: "h5py.Group", key: str, obs: Sequence[str], name: str, budget: Budget, met: dict[tuple[int, int], str]
    ) -> "_Demo":
        """The demonstration in a group."""
        where = f"data/{key}"
        for other in _tree.names(demo, name):
            if other not in _KNOWN and meaning_of(other) is not None:
                raise DataError(
                    f"{name}: {where}/{plain(other)} looks like the end of an episode; robomimic writes dones: "
                    "rename it, or remove it"
                )

        def array(part: str) -> "h5py.Dataset | None":
            import h5py

            node = _hdf5.child(demo, part, name, f"{where}/{part}")
            if node is not None and not isinstance(node, h5py.Dataset):
                raise DataError(f"{name}: {where}/{part} is a group, expected an array")
            if node is not None:
                _tree.check_once(node, f"{where}/{part}", name, met)
                _hdf5.check_array(node, f"{where}/{part}", name, budget)
            return node

        def required(part: str) -> "h5py.Dataset":
            node = array(part)
            if node is None:
                raise DataError(f"{name}: no {where}/{part} in the file, other demonstrations have it or need it")
            return node

        nodes = {part: required(part) for part in ("actions", "rewards")}
        if (dones := array("dones")) is not None:
            nodes["dones"] = dones
        observation = [required(f"obs/{part}") for part in obs]
        has_next = "next_obs" in demo.keys()  # noqa: SIM118
        following = [required(f"next_obs/{part}") for part in obs] if has_next else []
        rows = nodes["actions"].shape[0]
        for part, node in [*nodes.items(), *zip((f"obs/{o}" for o in obs), observation, strict=True)]:
            if node.shape[0] != rows:
                raise DataError(f"{name}: {where}/{part} has {node.shape[0]} rows, actions has {rows}")
        for before, after in zip(observation, following, strict=bool(following)):
            if before.shape != after.shape:
                raise DataError(f"{name}: {where}/next_obs has shape {after.shape}, obs {before.shape}")
        samples = _hdf5.attribute(demo, "num_samples", name)
        if rows == 0 or (samples is not None and (samples.size != 1 or float(samples.ravel()[0]) != rows)):
            raise DataError(f"{name}: {where} has {rows} rows, its num_samples is {samples}")
        return _Demo(where, nodes, observation, following, name)

    def read(self) -> dict[str, np.ndarray]:
        """The columns, under the names that D4RL has for them; ``dones`` if the demonstration has any."""
        columns = {part: node[()] for part, node in self.nodes.items()}
        columns["rewards"] = columns["rewards"].reshape(len(columns["rewards"]), -1)
        if columns["rewards"].shape[1] != 1 or columns["actions"].ndim != 2:
            raise DataError(f"{self.name}: {self.where} needs rewards (T,) and actions (T, features)")
        columns["rewards"] = columns["rewards"][:, 0]
        if "dones" in columns:
            columns["dones"] = flags(columns["dones"], f"{self.where}/dones", self.name)
        columns["observations"] = _side_by_side(self.observation)
        if self.following:
            columns["next_observations"] = _side_by_side(self.following)
        return columns


def _side_by_side(nodes: "Sequence[h5py.Dataset]") -> np.ndarray:
    return np.concatenate([node[()].reshape(node.shape[0], -1) for node in nodes], axis=1)


def _ends_of(
    parts: list[dict[str, np.ndarray]], user: Declared, name: str
) -> tuple[list[dict[str, np.ndarray]], Declared, list[str]]:
    """The demonstrations with ``terminals`` and ``timeouts`` in place of ``dones``; what is left to declare; notes.

    Every demonstration is an episode. robomimic sets ``dones`` at success, at the end of every demonstration, or both
    (``done_mode`` 0, 1, 2), and does not store which. A row with ``dones`` is the last of its episode, as value ends
    there. If rewards are 0 and 1, one at success, then ``dones`` without a reward in the last row only end the
    recording. ``user.dones`` decides otherwise.
    """
    notes: list[str] = []
    with_dones = sum("dones" in part for part in parts)
    if 0 < with_dones < len(parts):
        raise DataError(f"{name}: dones is in {with_dones} of {len(parts)} demonstrations, not in all")
    if not with_dones:
        notes.append("no dones in the file: every demonstration ends in a truncation")
    dones = [part.pop("dones", np.zeros(len(part["rewards"]), dtype=bool)) for part in parts]
    if with_dones and user.dones == "truncated":
        notes.append("dones were read as truncations, as asked: value goes on after them")
        dones = [np.zeros_like(done) for done in dones]
    elif with_dones:
        rewards = np.concatenate([part["rewards"] for part in parts])
        sparse = user.dones is None and bool(np.isin(rewards, (0, 1)).all() and rewards.any())
        failed = 0
        for part, done in zip(parts, dones, strict=True):
            if sparse and done[-1] and not done[:-1].any() and part["rewards"][-1] == 0:
                done[-1], failed = False, failed + 1
        notes.append(
            "dones of robomimic mark success or the end of a demonstration, the file does not say which; read as "
            "terminations"
            + (f", but {failed:,} without a reward as truncations" if failed else "")
            + '; dones="truncated" '
            "(--dones truncated) reads all of them as time limits"
        )
    cut = 0
    ended: list[dict[str, np.ndarray]] = []
    for part, done in zip(parts, dones, strict=True):
        rows = int(done.argmax()) + 1 if done.any() else len(done)
        cut += len(done) - rows
        truncated = np.zeros(rows, dtype=bool)
        truncated[-1] = not done[rows - 1]
        shortened = {key: column[:rows] for key, column in part.items()}
        ended.append(shortened | {"terminals": done[:rows], "timeouts": truncated})
    if cut:
        notes.append(
            f"{counted(cut, 'row')} after the first of a demonstration's dones left out: value has ended there"
        )
    return ended, replace(user, dones=None) if with_dones else user, notes

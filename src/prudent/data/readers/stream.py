"""Datasets read block by block, for files that do not fit into memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prudent.data import masks, precision
from prudent.data.columns import BLOCK, blocks, check_shape
from prudent.data.dataset import COLUMNS, Dataset
from prudent.data.episodes.ends import COMMON_HORIZON, EpisodeEnds, find_ends
from prudent.data.readers import _hdf5, d4rl
from prudent.data.readers._budget import Budget
from prudent.data.readers.declared import Declared
from prudent.errors import DataError
from prudent.types import Spec

if TYPE_CHECKING:
    import h5py

Block = Mapping[str, np.ndarray]
"""Some rows of every column of a dataset, those of ``extra`` beside the others."""

_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Stream:
    """A dataset to be read once, in order.

    ``blocks`` yields the rows, with the spec that they show: a block may know fewer discrete actions than another.
    ``whole`` says that all of it is in memory.
    """

    name: str
    rows: int
    notes: tuple[str, ...]
    blocks: Callable[[], Iterator[tuple[Spec, Block]]]
    whole: bool = False


def of_dataset(dataset: Dataset) -> Stream:
    """The blocks of a dataset that has been loaded."""

    def rows() -> Iterator[tuple[Spec, Block]]:
        for block in blocks(len(dataset)):
            yield dataset.spec, rows_of(dataset, block)

    mapped = isinstance(dataset.observation, np.memmap)
    return Stream(dataset.name, len(dataset), dataset.notes, rows, not mapped)


def rows_of(dataset: Dataset, block: slice | np.ndarray) -> dict[str, np.ndarray]:
    """Some rows of every column of a dataset."""
    return {key: getattr(dataset, key)[block] for key in COLUMNS} | {k: c[block] for k, c in dataset.extra.items()}


@contextmanager
def of_hdf5(path: Path, user: Declared) -> Iterator[Stream]:
    """The blocks of a D4RL file: the same rows that :func:`prudent.data.readers.d4rl.read` returns.

    Only flags (a few bytes per row) and one block are in memory at a time. The file may have any size.

    Raises:
        DataError: as for ``read``; row numbers of single values count from the row that the line names.
    """
    name = path.name
    with _hdf5.opened(path) as file:
        with _hdf5.reading(name):
            nodes = _hdf5.nodes(file, d4rl.EVERY, name, Budget(_NO_LIMIT))
        header = d4rl.read_header(file, name, user)
        with _hdf5.reading(name):
            d4rl.check_required(nodes, name, header)
            flags = {key: nodes[key][()] for key in ("terminals", "timeouts") if key in nodes}
        terminated, truncated, notes = d4rl.end_flags({**nodes, **flags}, name, header)
        dtype, remarks = _observation_type(nodes, name)
        ends = _episode_ends(nodes, terminated, truncated, header, name, dtype)
        if not ends.keep.any():
            raise DataError(f"{name}: no row has a successor, so there is no transition to learn from")
        rows = int(ends.keep.sum())
        notes = (*header.notes, *remarks, *notes, *ends.notes)
        yield Stream(name, rows, notes, lambda: _blocks(nodes, ends, header, name, dtype))


class _Column:
    """A column of a file as a type; only the rows that are taken are read."""

    def __init__(self, node: "h5py.Dataset", name: str, dtype: type = np.float32):
        self.node, self.name, self.dtype = node, name, dtype

    def __len__(self) -> int:
        return len(self.node)

    def __getitem__(self, block: slice, /) -> np.ndarray:
        with _hdf5.reading(self.name):
            rows = self.node[block]
        with np.errstate(over="ignore"):
            return rows.astype(self.dtype, copy=False)


def _episode_ends(
    nodes: "Mapping[str, h5py.Dataset]",
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    header: d4rl.Header,
    name: str,
    dtype: type,
) -> EpisodeEnds:
    observation, following = nodes["observations"], nodes.get("next_observations")
    check_shape(observation.shape, "observations", name, ndim=2)
    if following is not None and following.shape != observation.shape:
        raise DataError(f"{name}: next_observations has shape {following.shape}, observations {observation.shape}")
    if header.trusts(nodes, truncated):
        assert truncated is not None
        keep, final = np.ones_like(terminated), np.zeros(0, dtype=np.int64)
        ends = EpisodeEnds(terminated, truncated & ~terminated, keep, final, stated=True, notes=())
    else:
        ends = find_ends(
            _Column(observation, name, dtype),
            terminated,
            truncated,
            None if following is None else _Column(following, name, dtype),
            horizon=header.declared.horizon,
            fallback_horizon=None if following is not None else COMMON_HORIZON,
            masks_follow="action_masks" in nodes and "next_action_masks" not in nodes,
            name=name,
        )
    if ends.keep.any():
        # The recording ends with the file: an episode that is still open there is truncated.
        last = np.flatnonzero(ends.keep)[-1]
        ends.truncated[last] |= not terminated[last]
    return ends


def _observation_type(nodes: "Mapping[str, h5py.Dataset]", name: str) -> tuple[type, list[str]]:
    """See :func:`prudent.data.precision.observation_type`; the notes also say which other columns float32 blurs."""
    stated = [nodes[key] for key in ("observations", "next_observations") if key in nodes]
    if any(len(node.shape) != 2 or node.shape != stated[0].shape for node in stated):
        return np.float32, []
    wide = [_Column(node, name, np.float64) for node in stated]
    following = wide[1] if len(wide) > 1 else None
    dtype, notes = precision.observation_type(wide[0], following, *(node.dtype for node in stated))
    with _hdf5.reading(name):
        first = {key: nodes[key][:BLOCK] for key in ("rewards", "actions") if key in nodes}
    return dtype, notes + [note for key, column in first.items() for note in precision.blurred(key, column)]


def _blocks(
    nodes: "Mapping[str, h5py.Dataset]", ends: EpisodeEnds, header: d4rl.Header, name: str, dtype: type
) -> Iterator[tuple[Spec, Block]]:
    observation = _Column(nodes["observations"], name, dtype)
    following = _Column(nodes["next_observations"], name, dtype) if ends.stated else observation
    rows = len(observation)
    for block in blocks(rows):
        with _hdf5.reading(name):
            table = {key: node[block] for key, node in nodes.items()}
        part = Dataset.from_columns(
            observation=table["observations"],
            action=table["actions"],
            reward=table["rewards"],
            next_observation=table.get("next_observations", table["observations"]),
            terminated=ends.terminated[block],
            truncated=ends.truncated[block],
            action_low=header.declared.action_low,
            action_high=header.declared.action_high,
            discrete=bool(header.declared.discrete),
            n_actions=header.declared.n_actions,
            first_action=header.declared.first_action or 0,
            name=name if rows <= BLOCK else f"{name}, counted from row {block.start}",
            extra=masks.from_file(table, name) | d4rl.extra_columns(table, name),
        )
        columns = rows_of(part, slice(None)) | {
            # The whole file has one type; a block alone may need less or more.
            "observation": observation[block],
            "next_observation": ends.successors(observation, following, block),
            "truncated": ends.truncated[block] & ~ends.terminated[block],
        }
        if "mask" in columns and "next_action_masks" not in nodes:
            columns["next_mask"] = ends.next_masks(_Column(nodes["action_masks"], name, bool), block)
        keep = ends.keep[block]
        yield part.spec, columns if keep.all() else {key: column[keep] for key, column in columns.items()}

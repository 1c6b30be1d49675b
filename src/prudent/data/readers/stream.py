"""Datasets read block by block, for files that do not fit into memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from prudent.data import masks, precision, terminal
from prudent.data.columns import BLOCK, blocks, check_shape, strays_of
from prudent.data.dataset import COLUMNS, Dataset
from prudent.data.episodes import recorders
from prudent.data.episodes.dropped import Dropped, notes_on
from prudent.data.episodes.ends import COMMON_HORIZON, EpisodeEnds, find_ends
from prudent.data.episodes.left_out import BadRows
from prudent.data.meanings import UNKNOWN, Meanings
from prudent.data.readers import _hdf5, _names, d4rl
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
    ``whole`` says that all of it is in memory, ``dropped`` what was lost with rows that could not be kept.
    """

    name: str
    rows: int
    notes: tuple[str, ...]
    blocks: Callable[[], Iterator[tuple[Spec, Block]]]
    whole: bool = False
    dropped: Dropped | None = None
    meanings: Meanings = UNKNOWN
    has_groups: bool = False


def of_dataset(dataset: Dataset) -> Stream:
    """The blocks of a dataset that has been loaded."""

    def rows() -> Iterator[tuple[Spec, Block]]:
        for block in blocks(len(dataset)):
            yield dataset.spec, rows_of(dataset, block)

    mapped = isinstance(dataset.observation, np.memmap)
    return Stream(
        dataset.name,
        len(dataset),
        dataset.notes,
        rows,
        not mapped,
        dataset.dropped,
        dataset.meanings,
        "group" in dataset.extra,
    )


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
        header = d4rl.read_header(file, name, user)
        with _hdf5.reading(name):
            keys = (*d4rl.EVERY, *header.flag_keys)
            nodes = _hdf5.nodes(file, keys, name, Budget(_NO_LIMIT), header.flag_keys)
        with _hdf5.reading(name):
            d4rl.check_required(nodes, name, header)
            if (user.recorders or 1) > 1:
                nodes = {
                    key: cast("h5py.Dataset", recorders.Interleaved(node, user.recorders or 1))
                    for key, node in nodes.items()
                }
            flags = {key: nodes[key][()] for key in ("terminals", "timeouts", *header.flag_keys) if key in nodes}
        table, header = d4rl.with_flags({**nodes, **flags}, name, header)
        terminated, truncated, notes = d4rl.end_flags(table, name, header)
        columns = {key: _Column(node, key, name) for key, node in nodes.items() if key not in flags}
        bad = d4rl.find_bad_rows(d4rl.row_columns(columns), terminated, name, header)
        if bad is not None:
            columns |= {key: column.mended(bad) for key, column in d4rl.row_columns(columns).items()}
        d4rl.check_actions(columns["actions"], name, header)
        dtype, remarks = _observation_type(columns)
        trusted = header.trusts(table, truncated)
        ends = _episode_ends(columns, terminated, truncated, header, name, bad, trusted, dtype)
        d4rl.check_ends(ends, name, header)
        rewards = columns["rewards"]
        dropped = header.dropped if trusted else Dropped.count((rewards[b] for b in blocks(len(rewards))), ends.keep)
        missing = _notes_on_terminal_rows(columns, terminated)
        notes = [*header.notes, *remarks, *missing, *notes, *ends.notes, *([] if trusted else notes_on(dropped))]
        if bad is not None:
            keep, note = bad.left_out(ends, inferred=truncated is None)
            ends, notes = replace(ends, keep=keep), [*notes, note]
        rows = int(ends.keep.sum())
        yield Stream(
            name,
            rows,
            tuple(notes),
            lambda: _blocks(columns, ends, header, name, dtype),
            dropped=dropped,
            meanings=_names.meanings(header.names, _spec(columns, header), name),
            has_groups="extra/group" in columns,
        )


class _Column:
    """A column of a file; only the rows that are taken are read. Bad rows in it may be mended."""

    def __init__(
        self,
        node: "h5py.Dataset",
        key: str,
        name: str,
        bad: BadRows | None = None,
        dtype: np.dtype | None = None,
    ):
        self.node, self.key, self.name, self.bad = node, key, name, bad
        self.dtype = node.dtype if dtype is None else dtype
        self.shape, self.ndim, self.size = node.shape, len(node.shape), node.size

    def mended(self, bad: BadRows) -> "_Column":
        """The column with stand-ins in its bad rows."""
        return _Column(self.node, self.key, self.name, bad, self.dtype)

    def as_type(self, dtype: type) -> "_Column":
        """The column as a type of numbers."""
        return _Column(self.node, self.key, self.name, self.bad, np.dtype(dtype))

    def __len__(self) -> int:
        return len(self.node)

    def __getitem__(self, block: slice, /) -> np.ndarray:
        with _hdf5.reading(self.name):
            rows = self.node[block]
        if self.bad is not None:
            rows = self.bad.mended(self.key, rows, block)
        with np.errstate(over="ignore"):
            return rows.astype(self.dtype, copy=False)


Columns = Mapping[str, _Column]


def _spec(columns: Columns, header: d4rl.Header) -> Spec:
    """The spaces as far as the file declares them: blocks may show fewer actions."""
    declared, (_, features) = header.declared, columns["observations"].shape
    n_actions = declared.n_actions or 0 if declared.discrete else int(np.prod(columns["actions"].shape[1:]))
    return Spec(features, n_actions, bool(declared.discrete), first_action=declared.first_action or 0)


def _mask_column(columns: Columns, key: str) -> _Column | None:
    return columns[key].as_type(bool) if key in columns else None


def _episode_ends(
    columns: Columns,
    terminated: np.ndarray,
    truncated: np.ndarray | None,
    header: d4rl.Header,
    name: str,
    bad: BadRows | None,
    trusted: bool,
    dtype: type,
) -> EpisodeEnds:
    observation, following = columns["observations"].as_type(dtype), columns.get("next_observations")
    check_shape(observation.shape, "observations", name, ndim=2)
    if following is not None and following.shape != observation.shape:
        raise DataError(f"{name}: next_observations has shape {following.shape}, observations {observation.shape}")
    if trusted:
        assert truncated is not None
        keep, final = np.ones_like(terminated), np.zeros(0, dtype=np.int64)
        truncated = recorders.cut(terminated, truncated & ~terminated, header.user.recorders)
        ends = EpisodeEnds(terminated, truncated, keep, final, stated=True, notes=())
        if header.user.recorders is not None:
            assert following is not None
            recorders.check_stated(strays_of(observation, following.as_type(dtype)), header.user.recorders, name)
    else:
        stated = _following(columns, terminated, dtype)
        strays = None
        if bad is not None and stated is not None:
            flagged = terminated if truncated is None else terminated | truncated
            with np.errstate(over="ignore", invalid="ignore"):
                strays = bad.without(strays_of(observation, stated), flagged)
        ends = find_ends(
            observation,
            terminated,
            truncated,
            stated,
            horizon=header.declared.horizon,
            fallback_horizon=None if following is not None else COMMON_HORIZON,
            masks_follow="action_masks" in columns and "next_action_masks" not in columns,
            name=name,
            last_rows=header.user.last_rows,
            recorders=header.user.recorders,
            action=columns["actions"].as_type(np.float32),
            certain=header.certain,
            strays=strays,
        )
    if ends.keep.any():
        # The recording ends with the file: an episode that is still open there is truncated.
        last = np.flatnonzero(ends.keep)[-1]
        ends.truncated[last] |= not ends.terminated[last]
    return ends


def _observation_type(columns: Columns) -> tuple[type, list[str]]:
    """See :func:`prudent.data.precision.observation_type`; the notes also say which other columns float32 blurs."""
    stated = [columns[key] for key in ("observations", "next_observations") if key in columns]
    if any(column.ndim != 2 or column.shape != stated[0].shape for column in stated):
        return np.float32, []
    following = stated[1] if len(stated) > 1 else None
    dtype, notes = precision.observation_type(stated[0], following, *(column.dtype for column in stated))
    first = {key: columns[key][slice(0, BLOCK)] for key in ("rewards", "actions")}
    return dtype, notes + [note for key, column in first.items() for note in precision.blurred(key, column)]


def _notes_on_terminal_rows(columns: Columns, terminated: np.ndarray) -> list[str]:
    """The notes that :meth:`Dataset.from_columns` makes on terminal rows where something is missing."""
    notes = []
    for key, note in (("next_observations", terminal.note), ("next_action_masks", terminal.mask_note)):
        if key in columns and columns[key].dtype.kind == "f":
            column = columns[key].as_type(np.float32)
            count = terminal.count_missing(column, terminated, list(blocks(len(terminated))))
            notes += [note(count)] if count else []
    return notes


def _following(columns: Columns, terminated: np.ndarray, dtype: type) -> terminal.Filled | None:
    """The next observations of a file, None if it has none."""
    if "next_observations" not in columns:
        return None
    following, observation = (columns[key].as_type(dtype) for key in ("next_observations", "observations"))
    return terminal.Filled(following, observation, terminated)


def _blocks(
    columns: Columns, ends: EpisodeEnds, header: d4rl.Header, name: str, dtype: type
) -> Iterator[tuple[Spec, Block]]:
    observation = columns["observations"].as_type(dtype)
    stated = _following(columns, ends.terminated, dtype) if ends.stated else None
    following = observation if stated is None else stated
    rows = len(observation)
    # As one type from the start: a block alone may need another than the whole file, and is read once.
    states = ("observations", "next_observations")
    columns = {key: column.as_type(dtype) if key in states else column for key, column in columns.items()}
    for block in blocks(rows):
        table = {key: column[block] for key, column in columns.items()}
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
        filled = rows_of(part, slice(None)) | {
            "observation": table["observations"],
            "next_observation": ends.successors(observation, following, block),
            "truncated": ends.truncated[block] & ~ends.terminated[block],
        }
        if "mask" in filled:
            mask, following_mask = (_mask_column(columns, key) for key in masks.KEYS.values())
            assert mask is not None
            filled["next_mask"] = ends.next_masks(mask, following_mask, block)
        keep = ends.keep[block]
        yield part.spec, filled if keep.all() else {key: column[keep] for key, column in filled.items()}

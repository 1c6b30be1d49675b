"""npz: one array per column, with the keys of MLX-CQL; also the replay buffers of Stable-Baselines3."""

import io
import tokenize
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from prudent.data import masks
from prudent.data.columns import MOST_ACTIONS, ask_whether_discrete, flags
from prudent.data.dataset import Dataset
from prudent.data.end_names import clue_of, meaning_of
from prudent.data.episodes import recorders
from prudent.data.episodes.ends import KEEP_THEM, find_successors, note_on_equal_lengths
from prudent.data.episodes.left_out import BadRows
from prudent.data.readers import _ends, _keys, _zip, replay_buffer
from prudent.data.readers._budget import Budget
from prudent.data.readers.declared import UNDECLARED, Declared
from prudent.errors import DataError, in_one_line
from prudent.progress import Wait

_HEADER_BYTES = 10_000
REQUIRED = ("observations", "actions", "rewards", "next_observations")
FLAGS = _ends.CANONICAL
WHOLE = ("action_low", "action_high", "discrete", "n_actions", "first_action")
"""Keys that hold for the whole file; all others have one entry per row."""
ROWS = (*REQUIRED, *masks.KEYS.values())
"""The columns in which a row may be bad."""
EVERY = (*REQUIRED, *FLAGS, *WHOLE, *masks.KEYS.values())
"""Every key that is read."""


def read(path: str | Path, user: Declared = UNDECLARED) -> Dataset:
    """Read ``observations next_observations (N, S)``, ``actions (N, A)``, ``rewards dones (N,)``.

    ``terminals`` and ``timeouts`` (N,) tell termination from truncation; ``dones`` alone cannot, so ``user.dones``
    says which of the two it means. Flags under other names are read as well: see
    :mod:`prudent.data.readers._ends`. ``action_low``/``action_high`` (A,) or one number, ``discrete`` (one flag),
    ``n_actions`` and ``first_action`` (one number) are optional; what the user declares replaces them. Discrete
    actions may have ``action_masks next_action_masks (N, n_actions)``.

    Raises:
        DataError: one line naming file, key and reason. Refused are arrays of objects, headers that declare more
            than the file holds, and columns under a wrong name (``mask``).
    """
    path = Path(path)
    table, keys = _arrays(path)
    name = path.name
    is_buffer = replay_buffer.is_one(table, name)
    flag_keys = [key for key in table if key not in (*EVERY, *replay_buffer.KEYS)]
    unread = _keys.unread(keys, (*EVERY, *flag_keys, *(replay_buffer.KEYS if is_buffer else ())), name)
    if is_buffer:
        user.refuse(name, ("recorders",))
        table, user, buffer_notes = replay_buffer.flattened(table, name, user)
        unread += buffer_notes
    missing = [key for key in REQUIRED if key not in table]
    if missing:
        hint = ""
        if missing == ["next_observations"]:
            hint = "; if the next row is the successor, store the arrays as HDF5, where that is read"
        raise DataError(f"{name}: no {', '.join(missing)} in the file; it has {_content(table, unread)}{hint}")
    for key in REQUIRED:
        if table[key].ndim == 0:
            raise DataError(f"{name}: {key} is a single value, expected one row per transition")
    by_row = {key: column for key, column in table.items() if key not in WHOLE}
    table |= recorders.take_apart(by_row, len(table["rewards"]), user.recorders)
    if not is_buffer:
        columns = {key: table.pop(key) for key in (*FLAGS, *flag_keys) if key in table}
        ends = _ends.resolve(columns, len(table["observations"]), name, user)
        table |= ends.columns
        unread += ends.notes
    declared = user.or_else(_filed(table, name), name)
    terminated, truncated, notes = _flags(table, name, declared)
    bad = None
    if user.skip_bad_episodes:
        bad = BadRows({key: table[key] for key in ROWS if key in table and table[key].ndim}, terminated, name)
        whole = slice(0, len(terminated))
        table |= {key: bad.mended(key, table[key], whole) for key in bad.columns}
    if declared.discrete is None and declared.action_low is None:
        ask_whether_discrete(table["actions"], name)
    flags_tell = bool(table.keys() & {"terminals", "timeouts"})
    declared.refuse_what_flags_tell(name, terminations=flags_tell, truncated=truncated)
    raw = Dataset.from_columns(
        observation=table["observations"],
        action=table["actions"],
        reward=table["rewards"],
        next_observation=table["next_observations"],
        terminated=terminated,
        truncated=np.zeros_like(terminated) if truncated is None else truncated,
        action_low=declared.action_low,
        action_high=declared.action_high,
        discrete=bool(declared.discrete),
        n_actions=declared.n_actions,
        first_action=declared.first_action or 0,
        name=name,
        notes=[*unread, *recorders.notes(user.recorders, len(terminated), name), *notes],
        extra=masks.from_file(table, name),
    )
    successors = find_successors(
        raw.observation,
        raw.terminated,
        truncated,
        raw.next_observation,
        horizon=declared.horizon,
        mask=raw.extra.get("mask"),
        next_mask=raw.extra.get("next_mask") if "next_action_masks" in table else None,
        name=name,
        strays=raw.strays if bad is None else bad.without(raw.strays, raw.terminated | raw.truncated),
        last_rows=user.last_rows,
        recorders=user.recorders,
    )
    ends = successors.ends
    user.refuse_last_rows(name, ends.lacking)
    if not ends.keep.any():
        raise DataError(f"{name}: no row has a successor of its own episode; {KEEP_THEM}")
    dataset = raw.with_successors(ends, successors.next_observation, (), successors.next_mask)
    return dataset if bad is None else bad.without_episodes(dataset, ends, inferred=truncated is None)


def _content(table: dict[str, np.ndarray], unread: list[str]) -> str:
    return "; ".join([", ".join(table) or "nothing known", *unread])


def _flags(
    table: dict[str, np.ndarray], name: str, declared: Declared
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Terminations (rows,), truncations (rows,) or None if unknown, and notes."""
    columns = {key: flags(table[key], key, name) for key in FLAGS if key in table}
    if not columns:
        raise DataError(f"{name}: no dones in the file, nor terminals or timeouts: nothing says where value ends")
    rows = len(table["observations"])
    for key, column in columns.items():
        if len(column) != rows:
            raise DataError(f"{name}: {key} has {len(column)} rows, observations has {rows}")
    done, timeouts = columns.get("dones"), columns.get("timeouts")
    if "terminals" in columns:
        if timeouts is None and done is not None:
            timeouts = done & ~columns["terminals"]
        return columns["terminals"], timeouts, []
    if done is None:
        return (
            np.zeros(rows, dtype=bool),
            timeouts,
            ["no terminals or dones: no episode ends in a termination"],
        )
    if timeouts is not None:
        return done & ~timeouts, timeouts, ["dones without a timeout were read as terminations"]
    if declared.dones == "truncated":
        return (
            np.zeros(rows, dtype=bool),
            done,
            ["dones were read as truncations, as asked: value goes on after them"],
        )
    note = (
        "dones alone cannot tell a termination from a time limit; read as terminations, "
        'dones="truncated" (--dones truncated) reads them as time limits'
    )
    return done, None, [note, *note_on_equal_lengths(done)]


def _filed(table: dict[str, np.ndarray], name: str) -> Declared:
    """What the file declares about itself."""
    discrete = _one_number(table, "discrete", 0, 1, name)
    return Declared(
        action_low=_bound(table, "action_low", name),
        action_high=_bound(table, "action_high", name),
        discrete=None if discrete is None else bool(discrete),
        n_actions=_one_number(table, "n_actions", 1, None, name),
        first_action=_one_number(table, "first_action", -MOST_ACTIONS, None, name),
    )


def _bound(table: dict[str, np.ndarray], key: str, name: str) -> np.ndarray | None:
    if key not in table:
        return None
    if table[key].dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {table[key].dtype}, not numbers")
    return table[key].astype(np.float64)


def _one_number(table: dict[str, np.ndarray], key: str, least: int, most: int | None, name: str) -> int | None:
    column = table.get(key)
    if column is None:
        return None
    value = column.ravel()[0] if column.size == 1 and column.dtype.kind in "biuf" else None
    if value is None or value != value // 1 or value < least or (most is not None and value > most):
        wanted = "one true/false or 0/1" if most == 1 else f"one whole number from {least}"
        raise DataError(f"{name}: {key} must be {wanted}")
    return int(value)


# --- the container ------------------------------------------------------------------------------------------


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays that are read, those of :data:`EVERY` first, and the names of all arrays in the file."""
    budget = Budget()
    table: dict[str, np.ndarray] = {}
    keys: list[str] = []
    try:
        with _zip.opened(path) as archive:
            keys = [_key(entry) for entry in archive.infolist()]
            entries = _wanted(archive, _entries(archive, path.name), path.name)
            for key, entry in entries.items():
                with archive.open(entry) as stream:
                    _check(stream, entry, key, path.name, budget)
            budget.settle(path.name)
            with Wait(f"reading {path.name}", sum(entry.file_size for entry in entries.values())) as wait:
                for key, entry in entries.items():
                    with archive.open(entry) as stream:
                        counted: Any = _Counted(stream, wait)
                        table[key] = np.lib.format.read_array(counted, allow_pickle=False)
    except DataError:
        raise
    # Everything that zipfile, zlib and NumPy raise for damaged or unusual content.
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        KeyError,
        SyntaxError,
        MemoryError,
        TypeError,
        OverflowError,
        tokenize.TokenError,
    ) as error:
        raise DataError(f"{path.name}: a truncated or damaged npz file ({in_one_line(error)})") from error
    except Exception as error:
        if type(error).__module__ in ("zlib", "lzma"):
            raise DataError(f"{path.name}: a damaged npz file ({in_one_line(error)})") from error
        raise
    return table, keys


class _Counted:
    """A stream that tells ``wait`` how many bytes were read from it."""

    def __init__(self, stream: IO[bytes], wait: Wait):
        self._stream, self._wait = stream, wait

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        content = self._stream.read(count)
        self._wait.advance(len(content))
        return content


def _key(entry: zipfile.ZipInfo) -> str:
    return entry.filename.removesuffix(".npy")


def _entries(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The arrays that may be read: those in :data:`EVERY`, in that order, then buffers' and those that may be flags."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        key = _key(entry)
        if key not in (*EVERY, *replay_buffer.KEYS) and meaning_of(key) is None and clue_of(key) is None:
            continue
        if key in entries:
            raise DataError(f"{name}: {key} is in the file twice")
        # Other methods may unpack to any size, and LZMA takes as much memory as the file asks for.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{name}: {key} is packed by method {entry.compress_type}, NumPy writes 0 or 8")
        entries[key] = entry
    return {key: entries[key] for key in (*EVERY, *entries) if key in entries}


def _wanted(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    """Those of ``entries`` that are read: without arrays that have the name of a flag, but not the shape."""
    known = (*EVERY, *replay_buffer.KEYS)
    shapes = {}
    for key, entry in entries.items():
        if key not in known or key == "observations":
            with archive.open(entry) as stream:
                shape, dtype = _header(stream, key, name)
            shapes[key] = shape, "O" if dtype.hasobject else dtype.kind
    picked = {*known, *_ends.pick(shapes, EVERY)}
    return {key: entry for key, entry in entries.items() if key in picked}


def _check(stream: IO[bytes], entry: zipfile.ZipInfo, key: str, name: str, budget: Budget) -> None:
    """Compare an array's header with the bytes that the archive holds."""
    shape, dtype = _header(stream, key, name)
    if dtype.hasobject:
        raise DataError(f"{name}: {key} holds objects, which are never loaded (they can run code)")
    if dtype.kind not in "fiub":
        raise DataError(f"{name}: {key} holds {dtype}, not numbers")
    declared = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if any(length < 0 for length in shape) or declared > entry.file_size:
        raise DataError(f"{name}: {key} declares shape {shape} but the file holds only {entry.file_size} bytes of it")
    # Small numbers become float32.
    taken = declared * max(dtype.itemsize, 4) // dtype.itemsize if dtype.kind in "iuf" else declared
    budget.spend(declared, stored=entry.compress_size, key=key, name=name, taken=taken)


def _header(stream: IO[bytes], key: str, name: str) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version in ((1, 0), (2, 0)):
        # NumPy reads the whole header before it checks the length.
        prefix = stream.read(2 * version[0])
        if int.from_bytes(prefix, "little") > _HEADER_BYTES:
            raise DataError(f"{name}: {key} has a header of {int.from_bytes(prefix, 'little')} bytes")
        header = io.BytesIO(prefix + stream.read(int.from_bytes(prefix, "little")))
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(header)
    else:
        raise DataError(f"{name}: {key} is an npy array of version {version}, only 1.0 and 2.0 hold plain numbers")
    return shape, dtype

"""Datasets on disk: a folder with one ``.npy`` file per column and an index; the files are mapped into memory.

The folder holds ``observation.npy``, ``action.npy``, ... with the columns of :class:`prudent.data.Dataset`;
``episode_bounds.npy``, ``episode_returns.npy`` and ``followed.npy``; and ``index.json``: shapes and types of all files,
spec, name, notes, names of groups, fingerprint, the figures of the observations
(:class:`prudent.data.figures.Figures`), and what ``seal`` compares.
"""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Self

import numpy as np

from prudent import files
from prudent.data.columns import Bound, bounds, check_bounds
from prudent.data.dataset import COLUMNS, Dataset
from prudent.data.episodes.dropped import Dropped
from prudent.data.figures import Figures
from prudent.data.mapped import index as index_file
from prudent.data.mapped import seal
from prudent.data.mapped.index import FIGURES, INDEX, KEY, NUMBER, PER_EPISODE, VERSION
from prudent.data.meanings import UNKNOWN, Meanings
from prudent.data.readers.stream import Block
from prudent.data.writers.d4rl import check_target
from prudent.errors import DataError, in_one_line
from prudent.files import human_bytes
from prudent.types import Spec

_FIGURE_DTYPES = {"episode_bounds": "<i8", "episode_returns": "<f8", "followed": "|b1"}

# --- writing --------------------------------------------------------------------------------------------------


class Writer:
    """Writes a folder of columns block by block; the folder gets its name when it is complete.

    ``rows`` is how many rows there will be. Without :meth:`finish`, the end of the ``with`` block removes everything.

    Raises:
        DataError: the folder exists or cannot be made, or the disk has too little room.
    """

    def __init__(self, folder: Path | str, rows: int):
        self.folder, self.rows, self.written = Path(folder), rows, 0
        check_target(self.folder)
        files.make_folder(self.folder.absolute().parent)
        self.aside = self.folder.with_name(f".{self.folder.name}.{uuid.uuid4().hex}.tmp")
        self.aside.mkdir()
        self._open: dict[str, BinaryIO] = {}
        self._columns: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            # A full disk fails here again; this file is thrown away, so ignore it.
            with suppress(OSError):
                file.close()
        shutil.rmtree(self.aside, ignore_errors=True)

    def append(self, block: Block) -> None:
        """Add rows.

        Raises:
            DataError: the columns differ from those of the first block, or cannot be written.
        """
        columns = {key: (column.dtype, column.shape[1:]) for key, column in block.items()}
        if not self._open:
            self._begin(columns)
        if columns != self._columns:
            keys = sorted(columns | self._columns)
            different = [key for key in keys if columns.get(key) != self._columns.get(key)]
            raise DataError(f"{self.folder.name}: {', '.join(different)}: not the same in all of the sources")
        with _writing(self.folder):
            for key, column in block.items():
                self._open[key].write(np.ascontiguousarray(column).data)
        self.written += len(block["reward"])

    def _begin(self, columns: dict[str, tuple[np.dtype, tuple[int, ...]]]) -> None:
        needed = self.rows * sum(dtype.itemsize * math.prod(shape) for dtype, shape in columns.values())
        free = shutil.disk_usage(self.aside).free
        if needed > free:
            raise DataError(f"{self.folder}: it needs {human_bytes(needed)} and the disk has {human_bytes(free)} free")
        self._columns = columns
        for key, (dtype, shape) in columns.items():
            if not KEY.fullmatch(key) or not NUMBER.fullmatch(dtype.str):
                raise DataError(
                    f"{self.folder.name}: {key} ({dtype}) cannot be stored: a column has a plain name and holds numbers"
                )
            file = self._open[key] = (self.aside / f"{key}.npy").open("wb")
            _write_header(file, dtype, (self.rows, *shape))

    def finish(
        self,
        spec: Spec,
        name: str,
        notes: Sequence[str] = (),
        dropped: Dropped | None = None,
        meanings: Meanings = UNKNOWN,
    ) -> Dataset:
        """Compute the figures from the files, give the folder its name, and open it.

        ``dropped`` is what was lost with rows that could not be kept; ``meanings`` name groups and columns.
        """
        if self.written != self.rows:
            raise ValueError(f"{self.written} rows were written, {self.rows} were announced")
        with _writing(self.folder):
            self._complete(spec, name, notes, dropped, meanings)
        return read(self.folder, just_written=True)

    def _complete(
        self, spec: Spec, name: str, notes: Sequence[str], dropped: Dropped | None, meanings: Meanings
    ) -> None:
        for file in self._open.values():
            file.flush()
            os.fsync(file.fileno())
            file.close()
        mapped = {key: _map(self.aside / f"{key}.npy", *array) for key, array in self._arrays().items()}
        extra = {key: column for key, column in mapped.items() if key not in COLUMNS}
        columns: dict[str, Any] = {key: mapped[key] for key in COLUMNS}
        dataset = Dataset(**columns, spec=spec, name=name, notes=tuple(notes), extra=extra, dropped=dropped)
        for key in FIGURES:
            _write_array(self.aside / f"{key}.npy", getattr(dataset, key))
        figures = {f"observation_{key}": value.tolist() for key, value in vars(dataset.observation_figures).items()}
        index = {
            "format": "prudent columns",
            "version": VERSION,
            "name": name,
            "rows": self.rows,
            "episodes": dataset.n_episodes,
            "spec": asdict(spec),
            "notes": list(notes),
            "dropped": None if dropped is None else dropped.numbers(),
            "meanings": {key: getattr(meanings, key) for key in ("groups", "column", "dt_unit", "in_seconds")},
            **({} if meanings.encoding is None else {"encoding": meanings.encoding.to_json()}),
            "columns": {key: {"dtype": t.str, "shape": list(shape)} for key, (t, shape) in self._arrays().items()},
            "fingerprint": dataset.fingerprint,
            **figures,
            "figures": seal.figures(self.aside),
        }
        index[seal.SEAL] = seal.of_index(index)
        files.write(self.aside / INDEX, (json.dumps(index, indent=1) + "\n").encode())
        files.sync_folder(self.aside)
        check_target(self.folder)
        os.rename(self.aside, self.folder)
        files.sync_folder(self.folder.absolute().parent)

    def _arrays(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        return {key: (dtype, (self.rows, *shape)) for key, (dtype, shape) in self._columns.items()}


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {files.error_text(error)}") from error


def _write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


# --- reading --------------------------------------------------------------------------------------------------


def is_folder_of_columns(path: Path) -> bool:
    """Whether a folder was written by :class:`Writer`."""
    return (path / INDEX).is_file()


def read(
    path: Path | str,
    action_low: Bound | None = None,
    action_high: Bound | None = None,
    *,
    just_written: bool = False,
) -> Dataset:
    """The dataset in a folder; its columns are mapped (:class:`numpy.memmap`) and read where they are used.

    Values were checked when the folder was written. Here all files are read once and compared with what was written
    (see ``seal``), unless this process has ``just_written`` them. Bounds replace those of the folder.

    Raises:
        DataError: the index or a file is missing or damaged, or has changed, or they do not fit each other.
    """
    path = Path(path)
    index = index_file.read(path)
    columns = {
        key: _map(path / f"{key}.npy", column["dtype"], column["shape"]) for key, column in index["columns"].items()
    }
    rows, episodes = index["rows"], index["episodes"]
    lengths = {"episode_bounds": episodes + 1, "episode_returns": episodes, "followed": rows}
    figures = {key: _map(path / f"{key}.npy", np.dtype(_FIGURE_DTYPES[key]), (lengths[key],)) for key in FIGURES}
    cuts = figures["episode_bounds"]
    if cuts[0] != 0 or cuts[-1] != rows or (np.diff(cuts) <= 0).any():
        raise DataError(f"{path}: episode_bounds.npy does not divide {rows} rows into {episodes} episodes")
    if not just_written:
        seal.check(path, columns, index["spec"].first_action)
    spec = index["spec"]
    if action_low is not None or action_high is not None:
        spec = _with_bounds(spec, {"action_low": action_low, "action_high": action_high}, columns, index["name"])
    named: dict[str, Any] = {key: columns[key] for key in COLUMNS}
    return Dataset(
        **named,
        spec=spec,
        name=index["name"],
        notes=tuple(index["notes"]),
        dropped=index["dropped"],
        meanings=index["meanings"],
        extra={key: column for key, column in columns.items() if key not in COLUMNS},
    ).knowing(
        **{key: np.array(figures[key]) for key in PER_EPISODE},
        followed=figures["followed"],
        observation_figures=Figures(**{f.name: np.array(index[f"observation_{f.name}"]) for f in fields(Figures)}),
        fingerprint=index["fingerprint"],
    )


def _with_bounds(
    spec: Spec, new_bounds: Mapping[str, Bound | None], columns: Mapping[str, np.ndarray], name: str
) -> Spec:
    checked = {
        key: bounds(bound, columns["action"], key, name) for key, bound in new_bounds.items() if bound is not None
    }
    spec = Spec(**{**asdict(spec), **checked})
    check_bounds(columns["action"], spec, name)
    return spec


def is_mapped(dataset: Dataset) -> bool:
    """Whether a dataset's rows are on disk."""
    return isinstance(dataset.observation, np.memmap)


def _map(path: Path, dtype: np.dtype, shape: Sequence[int]) -> np.memmap:
    """The array in an ``.npy`` file, mapped for reading.

    Raises:
        DataError: the file is missing, a link or no regular file, or its type, shape or size is not the one expected.
    """
    index_file.check_regular(path)
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("not version 1.0 of the format")
            file_shape, fortran, file_dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    # NumPy parses a header as Python, so a damaged one may fail as that does.
    except (ValueError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        raise DataError(f"{path} is not an .npy file that can be read ({in_one_line(error)})") from error
    if fortran or file_shape != tuple(shape) or file_dtype != dtype:
        raise DataError(f"{path} holds {file_dtype} of shape {file_shape}, the index says {dtype} of {tuple(shape)}")
    if size != start + math.prod(shape) * dtype.itemsize:
        raise DataError(f"{path} is cut short or has grown: {size} bytes do not hold shape {tuple(shape)}")
    return np.memmap(path, dtype, "r", start, tuple(shape))

"""Whether the files of a folder of columns are still those that were written.

The index has the fingerprint of the columns, a hash of each file of figures, and a seal: a hash of the index itself.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prudent.data.columns import COLUMNS, fingerprint
from prudent.data.mapped.index import FIGURES, INDEX
from prudent.errors import DataError

SEAL = "seal"
_CHUNK = 1 << 20


def figures(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of figures in a folder, by name."""
    return {key: _hash(folder / f"{key}.npy") for key in FIGURES}


def of_index(index: Mapping[str, Any]) -> str:
    """SHA-256 of the entries of an index, without the seal."""
    entries = {key: value for key, value in index.items() if key != SEAL}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def check(folder: Path, columns: Mapping[str, np.memmap], first_action: int) -> None:
    """Read all files of a folder, once and in order, and compare them with its index.

    Raises:
        DataError: a column, a figure or the index has changed since the folder was written.
    """
    index = json.loads((folder / INDEX).read_bytes())
    keys = [*COLUMNS, *sorted(columns.keys() - set(COLUMNS))]
    table: dict[str, Any] = {key: _Column(columns[key]) for key in keys}
    try:
        same = (
            index.get(SEAL) == of_index(index)
            and index["figures"] == figures(folder)
            and index["fingerprint"] == fingerprint(table, first_action)
        )
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    if not same:
        raise DataError(f"{folder}: its files have changed since they were written: convert the source again")


class _Column:
    """A mapped column that is read from its file: pages of a mapping would stay in the memory of the process."""

    def __init__(self, column: np.memmap):
        self.path, self.start = str(column.filename), column.offset
        self.dtype, self.shape = column.dtype, column.shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, block: slice) -> np.ndarray:
        row = math.prod(self.shape[1:])
        start, count = self.start + block.start * row * self.dtype.itemsize, (block.stop - block.start) * row
        return np.fromfile(self.path, self.dtype, count, offset=start)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

"""Rows of columns that lie in files, read by their numbers without mapping anything.

Through a mapping, a page that is touched becomes the process's own, and brings its neighbours along: Linux maps whole
folios of up to some MiB at once. A read at a position copies the bytes of its row, and nothing else stays.
"""

import mmap
import os
import weakref
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from prudent import files
from prudent.errors import DataError

READERS = 16
"""Threads that wait for a disk: several rows at once take it hardly longer than one."""


def is_plain(column: np.ndarray) -> TypeGuard[np.memmap]:
    """Whether a column is the whole of a mapping, so that its rows can be read from its file here.

    Slices and copies of one are not, and their ``filename`` and ``offset`` would mislead. Windows has no ``preadv``.
    """
    if not (hasattr(os, "preadv") and isinstance(column, np.memmap) and isinstance(column.base, mmap.mmap)):
        return False
    return column.filename is not None and column.flags.c_contiguous and column.nbytes > 0


class RowFile:
    """The column behind a mapping (see :func:`is_plain`), read from its file; ``file[rows]`` is as of a tensor.

    Rows in the system's cache are read where they are asked for; ``readers`` read those that have to be waited for.
    The file is closed when this goes.

    Raises:
        DataError: the file cannot be opened, or is shorter than the column.
    """

    def __init__(self, column: np.memmap, readers: Executor):
        self.path = os.fspath(column.filename or "")
        self.shape, self.dtype, self.nbytes = column.shape, column.dtype, column.nbytes
        self.start, self.row_bytes = column.offset, column.nbytes // len(column)
        self.readers = readers
        self.tells_late = hasattr(os, "RWF_NOWAIT")  # until the file system says that it does not
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        # At the end of the process the system closes it: nothing is taken from under a thread that still reads.
        weakref.finalize(self, os.close, self.descriptor).atexit = False
        if os.fstat(self.descriptor).st_size < self.start + self.nbytes:
            raise self._cut_short()
        if hasattr(os, "posix_fadvise"):
            # Rows are read in no order, so reading on behind them is in vain.
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The rows numbered (...) int64 on the CPU, from 0: a new tensor (..., features).

        Raises:
            DataError: the file was cut short meanwhile, or the disk fails.
        """
        rows_N = rows.reshape(-1).numpy()
        if len(rows_N) and not 0 <= rows_N.min() <= rows_N.max() < self.shape[0]:
            raise IndexError(f"rows {rows_N.min()} to {rows_N.max()} of {self.shape[0]}")
        found = np.empty((len(rows_N), *self.shape[1:]), self.dtype)
        into, size = found.reshape(-1).view(np.uint8).data, self.row_bytes
        pieces = [into[begin : begin + size] for begin in range(0, len(into), size)]
        offsets = (self.start + rows_N * size).tolist()
        late = self._read_cached(pieces, offsets)
        shares = (late[first::READERS] for first in range(min(READERS, len(late))))
        list(self.readers.map(lambda share: self._read_late(pieces, offsets, share), shares))
        return torch.from_numpy(found).reshape(*rows.shape, *self.shape[1:])

    def _read_cached(self, pieces: Sequence[memoryview], offsets: Sequence[int]) -> Sequence[int]:
        """Read what is in the system's cache; returns the places of the pieces that are not filled."""
        if not self.tells_late:
            return range(len(pieces))
        read, descriptor, size, flags = os.preadv, self.descriptor, self.row_bytes, os.RWF_NOWAIT
        late = []
        for place, (piece, offset) in enumerate(zip(pieces, offsets, strict=True)):
            try:
                # Less than a row: it goes on in a page that is not in the cache, or the file was cut.
                if read(descriptor, [piece], offset, flags) != size:
                    late.append(place)
            except BlockingIOError:
                late.append(place)
            except OSError:
                # This file system cannot tell (what else may be wrong, a reader meets again).
                self.tells_late = False
                return [*late, *range(place, len(pieces))]
        return late

    def _read_late(self, pieces: Sequence[memoryview], offsets: Sequence[int], places: Sequence[int]) -> None:
        """Fill some pieces, however long it takes."""
        for place in places:
            piece, offset = pieces[place], offsets[place]
            while piece:
                try:
                    count = os.preadv(self.descriptor, [piece], offset)
                except OSError as error:
                    raise DataError(f"{self.path} cannot be read: {files.error_text(error)}") from error
                if count == 0:
                    raise self._cut_short()
                piece, offset = piece[count:], offset + count

    def _cut_short(self) -> DataError:
        size = os.fstat(self.descriptor).st_size
        return DataError(f"{self.path} is cut short: {size} of {self.start + self.nbytes} bytes are there")

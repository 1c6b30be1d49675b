"""Rows of a column on disk, read by number from its file instead of through the mapping.

When a mapping is read, whole pages enter the memory of the process, and Linux maps up to some MiB around each at once.
Reading the file at a position copies the bytes of the row and nothing else.
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
"""Threads that wait for the disk: it reads several rows at once in about the time of one."""


def is_plain(column: np.ndarray) -> TypeGuard[np.memmap]:
    """Whether a column is a whole mapped file, and its rows can be read from that file on this system.

    Slices and copies of a mapping have a wrong ``filename`` or ``offset``. Windows has no ``preadv``.
    """
    if not (hasattr(os, "preadv") and isinstance(column, np.memmap) and isinstance(column.base, mmap.mmap)):
        return False
    return column.filename is not None and column.flags.c_contiguous and column.nbytes > 0


class RowFile:
    """A mapped column (see :func:`is_plain`) that is read from its file; ``file[rows]`` works as for a tensor.

    Rows in the system's cache are read at once, all others in the threads of ``readers``. The file is closed when this
    object is deleted.

    Raises:
        DataError: the file cannot be opened, or is shorter than the column.
    """

    def __init__(self, column: np.memmap, readers: Executor):
        self.path = os.fspath(column.filename or "")
        self.shape, self.dtype, self.nbytes = column.shape, column.dtype, column.nbytes
        self.start, self.row_bytes = column.offset, column.nbytes // len(column)
        self.readers = readers
        self.knows_cached = hasattr(os, "RWF_NOWAIT")  # False once the file system does not support it
        try:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        # Not at exit, where a thread may still be reading: the system closes the file then.
        weakref.finalize(self, os.close, self.descriptor).atexit = False
        if os.fstat(self.descriptor).st_size < self.start + self.nbytes:
            raise self._cut_short()
        if hasattr(os, "posix_fadvise"):
            # Rows are read in random order, so reading ahead is useless.
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The rows numbered (...) int64 on the CPU, from 0: a new tensor (..., features).

        Raises:
            DataError: the file was cut short in the meantime, or the disk fails.
        """
        rows_N = rows.reshape(-1).numpy()
        if len(rows_N) and not 0 <= rows_N.min() <= rows_N.max() < self.shape[0]:
            raise IndexError(f"rows {rows_N.min()} to {rows_N.max()} of {self.shape[0]}")
        result = np.empty((len(rows_N), *self.shape[1:]), self.dtype)
        buffer, size = result.reshape(-1).view(np.uint8).data, self.row_bytes
        pieces = [buffer[begin : begin + size] for begin in range(0, len(buffer), size)]
        offsets = (self.start + rows_N * size).tolist()
        missing = self._read_cached(pieces, offsets)
        shares = (missing[first::READERS] for first in range(min(READERS, len(missing))))
        list(self.readers.map(lambda share: self._read_from_disk(pieces, offsets, share), shares))
        return torch.from_numpy(result).reshape(*rows.shape, *self.shape[1:])

    def _read_cached(self, pieces: Sequence[memoryview], offsets: Sequence[int]) -> Sequence[int]:
        """Fill the pieces that are in the system's cache; returns the indices of all others."""
        if not self.knows_cached:
            return range(len(pieces))
        read, descriptor, size, flags = os.preadv, self.descriptor, self.row_bytes, os.RWF_NOWAIT
        missing = []
        for index, (piece, offset) in enumerate(zip(pieces, offsets, strict=True)):
            try:
                # Less than a row: the rest is in a page that is not cached, or the file was cut short.
                if read(descriptor, [piece], offset, flags) != size:
                    missing.append(index)
            except BlockingIOError:
                missing.append(index)
            except OSError:
                # This file system does not support RWF_NOWAIT. Any other error will happen again in a reader.
                self.knows_cached = False
                return [*missing, *range(index, len(pieces))]
        return missing

    def _read_from_disk(self, pieces: Sequence[memoryview], offsets: Sequence[int], indices: Sequence[int]) -> None:
        """Fill the pieces with these indices, waiting for the disk."""
        for index in indices:
            piece, offset = pieces[index], offsets[index]
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

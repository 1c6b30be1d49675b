"""Rows read from a file equal those that indexing gives, whatever cache, file system and disk do."""

import errno
import gc
import mmap
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from prudent.data.mapped.rows import RowFile, is_plain
from prudent.errors import DataError

pytestmark = pytest.mark.skipif(not hasattr(os, "preadv"), reason="this system reads through the mapping")

ROWS, HEADER = 3000, 128
COLUMNS = [("f4", (17,)), ("f4", ()), ("i8", ()), ("?", ()), ("?", (5,))]


@pytest.fixture
def readers():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def column(folder, dtype="f4", features=(17,), rows=ROWS) -> np.memmap:
    """Random rows behind a header, mapped."""
    values = np.random.default_rng(0).integers(0, 255, (rows, *features)).astype(dtype)
    path = folder / "column.npy"
    path.write_bytes(bytes(HEADER) + values.tobytes())
    return np.memmap(path, dtype, "r", HEADER, values.shape)


def random_rows(*shape) -> torch.Tensor:
    """Rows in random order, with repeats, the first row and the last."""
    rows = torch.randint(ROWS, shape, generator=torch.Generator().manual_seed(0))
    rows.view(-1)[0], rows.view(-1)[1], rows.view(-1)[2] = 0, ROWS - 1, 0
    return rows


def assert_as_indexed(file, mapped, rows):
    result, expected = file[rows], torch.from_numpy(np.array(mapped))[rows]
    assert result.dtype == expected.dtype
    assert torch.equal(result, expected)


def replace_nowait(monkeypatch, nowait, calls=None):
    """``os.preadv`` calls ``nowait()`` if its flags say not to wait; ``calls`` collects the flags."""
    real = os.preadv

    def preadv(descriptor, buffers, offset, flags=0):
        if calls is not None:
            calls.append(flags)
        return nowait(real, descriptor, buffers, offset) if flags else real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "RWF_NOWAIT", 8, raising=False)


def fails_with(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(("dtype", "features"), COLUMNS)
def test_rows_are_as_indexed(tmp_path, readers, dtype, features):
    mapped = column(tmp_path, dtype, features)
    file = RowFile(mapped, readers)
    # (members, batch), and a plain list of rows.
    for shape in ((1, 8), (3, 64), (3, 65), (256,)):
        assert_as_indexed(file, mapped, random_rows(*shape))
    assert file[torch.empty(2, 0, dtype=torch.int64)].shape == (2, 0, *features)
    assert file.nbytes == mapped.nbytes


def test_rows_that_are_not_there_are_refused(tmp_path, readers):
    file = RowFile(column(tmp_path), readers)
    for row in (-1, ROWS):
        with pytest.raises(IndexError):
            file[torch.tensor([0, row])]


def test_rows_outside_the_cache_are_waited_for(tmp_path, readers, monkeypatch):
    mapped, calls = column(tmp_path), []

    def every_third(real, descriptor, buffers, offset):
        if len(calls) % 3 == 0:
            raise BlockingIOError(errno.EAGAIN, "not in the cache")
        return real(descriptor, buffers, offset)

    replace_nowait(monkeypatch, every_third, calls)
    file = RowFile(mapped, readers)
    for shape in ((1, 8), (3, 64)):
        calls.clear()
        assert_as_indexed(file, mapped, random_rows(*shape))
        assert calls.count(0) > 0, "no row was read with waiting"
        assert calls.count(8) == random_rows(*shape).numel(), "not every row was first tried without waiting"


def test_a_row_that_is_half_in_the_cache_is_read_whole(tmp_path, readers, monkeypatch):
    mapped = column(tmp_path)
    replace_nowait(monkeypatch, lambda real, descriptor, buffers, offset: real(descriptor, [buffers[0][:30]], offset))
    assert_as_indexed(RowFile(mapped, readers), mapped, random_rows(3, 8))


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_nowait_is_tried_once(tmp_path, readers, monkeypatch, number):
    mapped, calls = column(tmp_path), []
    replace_nowait(monkeypatch, fails_with(number), calls)
    file = RowFile(mapped, readers)
    for _ in range(2):
        assert_as_indexed(file, mapped, random_rows(3, 8))
    assert calls.count(8) == 1


def test_a_system_without_nowait_is_never_tried(tmp_path, readers, monkeypatch):
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    mapped = column(tmp_path)
    assert_as_indexed(RowFile(mapped, readers), mapped, random_rows(3, 8))


def test_partial_reads_are_continued(tmp_path, readers, monkeypatch):
    mapped, real = column(tmp_path), os.preadv
    monkeypatch.delattr(os, "RWF_NOWAIT", raising=False)
    monkeypatch.setattr(os, "preadv", lambda descriptor, buffers, offset: real(descriptor, [buffers[0][:7]], offset))
    assert_as_indexed(RowFile(mapped, readers), mapped, random_rows(3, 8))


def test_a_file_cut_short_is_reported(tmp_path, readers):
    mapped = column(tmp_path)
    file = RowFile(mapped, readers)
    # In the middle of the last row.
    os.truncate(mapped.filename, HEADER + mapped.nbytes - 10)
    assert file[torch.tensor([0])].shape == (1, 17)
    size = f"{HEADER + mapped.nbytes - 10} of {HEADER + mapped.nbytes} bytes"
    with pytest.raises(DataError, match=rf"column\.npy is cut short: {size}"):
        file[torch.tensor([0, ROWS - 1])]
    with pytest.raises(DataError, match="is cut short"):
        RowFile(mapped, readers)


def test_a_failing_disk_is_reported(tmp_path, readers, monkeypatch):
    file = RowFile(column(tmp_path), readers)
    monkeypatch.setattr(os, "preadv", fails_with(errno.EIO))
    with pytest.raises(DataError, match=r"column\.npy cannot be read: .*/output error"):
        file[torch.tensor([0])]


def test_a_missing_file_is_reported(tmp_path, readers):
    mapped = column(tmp_path)
    os.unlink(mapped.filename)
    with pytest.raises(DataError, match=r"column\.npy cannot be read: No such file"):
        RowFile(mapped, readers)


def test_the_file_is_closed_when_the_object_is_deleted(tmp_path, readers):
    mapped = column(tmp_path)
    file = RowFile(mapped, readers)
    descriptor = file.descriptor
    os.fstat(descriptor)
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    os.truncate(mapped.filename, 0)
    with pytest.raises(DataError):
        RowFile(mapped, readers)
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)  # the lowest free number: that of the refused file


def test_only_a_whole_mapping_is_plain(tmp_path):
    mapped = column(tmp_path)
    assert is_plain(mapped)
    others = (mapped[1:], mapped[::2], mapped[:, :3], mapped.astype("f8"), mapped + 1, np.array(mapped))
    assert not any(is_plain(other) for other in others)
    turned = np.memmap(mapped.filename, "f4", "r", HEADER, mapped.shape, order="F")
    assert isinstance(turned.base, mmap.mmap)
    assert not is_plain(turned)

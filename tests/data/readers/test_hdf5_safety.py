"""Files that attack their reader. Each is built here; a canary tells whether foreign bytes were read."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5
from prudent.data import load_dataset
from prudent.data.readers import _hdf5
from prudent.errors import DataError

CANARY = 777.0


def log_file(path, without=()):
    log = walk([4, 4])
    columns = flat(log, terminals=log["ends"])
    return write_hdf5(path, **{key: column for key, column in columns.items() if key not in without})


@pytest.fixture
def canary(tmp_path):
    return write_hdf5(tmp_path / "secret.h5", rewards=np.full(8, CANARY, np.float32))


def test_external_link(tmp_path, canary):
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    with h5py.File(path, "a") as file:
        file["rewards"] = h5py.ExternalLink(str(canary), "/rewards")
    assert "log.hdf5: rewards is an external link" in complaint(load_dataset, path)


def test_soft_link(tmp_path):
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    with h5py.File(path, "a") as file:
        file["real"] = np.zeros(8)
        file["rewards"] = h5py.SoftLink("/real")
    assert "log.hdf5: rewards is a soft link" in complaint(load_dataset, path)


def test_one_array_under_two_names_counts_twice(tmp_path, monkeypatch):
    """Harmless here: the keys that are read are few, and each is counted against the limit."""
    path = log_file(tmp_path / "log.hdf5")
    with h5py.File(path, "a") as file:
        file["next_observations"] = file["observations"]
        size = sum(column.size * 4 for column in file.values() if column.dtype.kind == "f")
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(size - 1))
    assert "above the limit" in complaint(load_dataset, path)
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(2 * size))
    assert len(load_dataset(path)) > 0


def test_virtual_dataset(tmp_path, canary):
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    layout = h5py.VirtualLayout(shape=(8,), dtype="f4")
    layout[:] = h5py.VirtualSource(str(canary), "rewards", shape=(8,))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("rewards", layout)
    assert "log.hdf5: rewards is a virtual dataset" in complaint(load_dataset, path)


def test_external_storage(tmp_path):
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.full(8, CANARY, np.float32).tobytes())
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    with h5py.File(path, "a") as file:
        file.create_dataset("rewards", (8,), "f4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])
    assert "log.hdf5: rewards keeps its bytes in external storage" in complaint(load_dataset, path)


def test_objects_and_text(tmp_path):
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    with h5py.File(path, "a") as file:
        file.create_dataset("rewards", data=["a"] * 8, dtype=h5py.string_dtype())
    assert "log.hdf5: rewards holds objects or text" in complaint(load_dataset, path)


def test_a_group_where_an_array_belongs(tmp_path):
    path = log_file(tmp_path / "log.hdf5", without=["rewards"])
    with h5py.File(path, "a") as file:
        file.create_group("rewards")
    assert "log.hdf5: rewards is a group" in complaint(load_dataset, path)


def test_small_file_that_declares_400_gigabytes(tmp_path):
    path = tmp_path / "log.hdf5"
    with h5py.File(path, "w") as file:
        rows = 100_000_000
        file.create_dataset("observations", (rows, 1000), "f4", chunks=(1000, 1000), compression="gzip")
        file.create_dataset("actions", (rows, 1), "f4", chunks=(1000, 1))
        file.create_dataset("rewards", (rows,), "f4", chunks=(1000,))
    assert path.stat().st_size < 20_000
    line = complaint(load_dataset, path)
    assert "observations declares 372.5 GiB but the file stores only 0 B" in line


def test_more_than_the_limit_is_refused_before_reading(tmp_path, monkeypatch):
    path = log_file(tmp_path / "log.hdf5")
    monkeypatch.setenv("PRUDENT_MAX_BYTES", "100")
    line = complaint(load_dataset, path)
    assert "above the limit of 100 B" in line
    assert "PRUDENT_MAX_BYTES" in line


def test_what_is_not_read_does_not_matter(tmp_path, canary):
    path = log_file(tmp_path / "log.hdf5")
    with h5py.File(path, "a") as file:
        file["infos/goal"] = h5py.ExternalLink(str(canary), "/rewards")
        file.create_dataset("metadata/algorithm", data="SAC", dtype=h5py.string_dtype())
    assert len(load_dataset(path)) == 8


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_file(tmp_path, kept):
    path = log_file(tmp_path / "log.hdf5")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    line = complaint(load_dataset, path)
    assert line.startswith("log.hdf5: ")
    assert "damaged" in line


def test_damaged_bytes_never_crash(tmp_path):
    """Every outcome but a dataset or one clear line is a fault of the reader."""
    content = log_file(tmp_path / "log.hdf5").read_bytes()
    rng = np.random.default_rng(0)
    lines = []
    path = tmp_path / "damaged.hdf5"
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), size=8):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_dataset(path)
        except DataError as error:
            lines.append(str(error))
    assert len(lines) > 10
    assert not any("\n" in line for line in lines)


def test_a_file_that_is_open_for_writing_is_called_that(tmp_path):
    path = log_file(tmp_path / "log.hdf5")
    with h5py.File(path, "a", locking=True) as file:
        file.flush()
        script = f"from prudent.data import load_dataset; load_dataset({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "log.hdf5: is open for writing elsewhere" in done.stderr


def test_packed_chunks_of_any_size_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_hdf5, "_SMALL_CHUNK", 10)
    path = log_file(tmp_path / "log.hdf5", without=["observations"])
    sound = np.random.default_rng(0).random((8, 2)).astype("f4")
    with h5py.File(path, "a") as file:
        file.create_dataset("observations", data=sound, chunks=(4, 2), compression="gzip", shuffle=True)
    assert np.isin(load_dataset(path).observation, sound).all()

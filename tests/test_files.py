"""Files are complete or do not exist, and durable ones are on the disk."""

import os

import pytest

from prudent import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def synced(monkeypatch):
    """Names of the files and folders that were flushed to disk, in order."""
    flushed, real = [], os.fsync

    def fsync(descriptor):
        flushed.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    return flushed


def test_a_replaced_file_is_the_new_one_alone(tmp_path, synced):
    assert files.replace(tmp_path / "a", b"old") == tmp_path / "a"
    files.replace(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]
    assert synced == [f".a.{os.getpid()}.tmp", tmp_path.name] * 2


def test_files_that_are_not_durable_do_not_wait_for_the_disk(tmp_path, synced):
    files.replace(tmp_path / "a", b"new", durable=False)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert synced == []


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch, name, durable):
    files.replace(tmp_path / "a", b"old")

    def fail(*_words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, name, fail)
    if name == "fsync" and not durable:
        files.replace(tmp_path / "a", b"new", durable)
        return
    with pytest.raises(OSError, match="No space"):
        files.replace(tmp_path / "a", b"new", durable)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_every_new_folder_is_on_the_disk(tmp_path, synced):
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert sorted(synced) == sorted(["a", tmp_path.name])
    files.make_folder(tmp_path / "a" / "b")
    assert len(synced) == 2


def test_only_leftovers_of_a_killed_process_are_removed(tmp_path):
    for name in (".status.json.123.tmp", "status.json", ".hidden", "log.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".step_5.tmp").mkdir()
    files.clear_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", ".step_5.tmp", "log.tmp", "status.json"]

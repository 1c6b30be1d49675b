"""What is written reads back the same, and only whole files appear."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest

from prudent.data import Dataset, load_dataset, writers
from prudent.data.dataset import COLUMNS
from prudent.errors import DataError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, which is also Minari's."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def log(discrete=False, masks=False, rows=12, first=0):
    """Three episodes: one that terminates, one cut short, one still open at the end of the recording."""
    rng = np.random.default_rng(3)
    observation = rng.normal(size=(rows, 2)).astype(np.float32)
    following = np.concatenate([observation[1:], observation[-1:] + 1])
    terminated, truncated = np.zeros((2, rows), dtype=bool)
    terminated[3], truncated[8] = True, True
    following[[3, 8]] = rng.normal(size=(2, 2))
    action = np.arange(rows) % 3 if discrete else rng.uniform(-2, 1, size=(rows, 1))
    extra = {}
    if masks:
        extra["mask"] = np.eye(4, dtype=bool)[action] | np.array([True, False, False, True])
        extra["next_mask"] = np.concatenate([extra["mask"][1:], extra["mask"][:1]])
        extra["next_mask"][[3, 8]] = True
    return Dataset.from_columns(
        observation=observation,
        action=action + first,
        reward=rng.normal(size=rows),
        next_observation=following,
        terminated=terminated,
        truncated=truncated,
        action_low=None if discrete else [-2.0],
        action_high=None if discrete else [1.0],
        discrete=discrete,
        n_actions=4 if discrete else None,
        first_action=first,
        extra=extra,
    )


def assert_same(read, written):
    for key in COLUMNS:
        np.testing.assert_array_equal(getattr(read, key), getattr(written, key), err_msg=key)
    assert read.spec == written.spec
    assert read.extra.keys() == written.extra.keys()
    for key, column in written.extra.items():
        np.testing.assert_array_equal(read.extra[key], column, err_msg=key)
    assert read.fingerprint == written.fingerprint


KINDS = [
    {},
    {"discrete": True},
    {"discrete": True, "masks": True},
    {"discrete": True, "first": 1},
    {"discrete": True, "masks": True, "first": -3},
]


@pytest.mark.parametrize("kind", KINDS)
def test_hdf5_reads_back_the_same(place, kind):
    written, path = log(**kind), place / "new" / "log.hdf5"
    writers.write(written, str(path), {"policy": "random"})
    assert_same(load_dataset(path), written)


def test_a_cut_episode_whose_successor_starts_the_next_keeps_its_last_row(place):
    """One-hot states meet again, so a true successor equals the next episode's first observation."""
    states, path = np.eye(3, dtype=np.float32), place / "cells.hdf5"
    ends = np.array([False, True, False, True, False, True])
    written = Dataset.from_columns(
        observation=states[[0, 1, 2, 1, 0, 1]],
        action=np.array([0, 1, 0, 1, 0, 1]),
        reward=np.arange(6.0),
        next_observation=states[[1, 2, 1, 0, 1, 2]],
        terminated=ends & (np.arange(6) == 3),
        truncated=ends,
        discrete=True,
    )
    writers.write(written, str(path), {})
    found = load_dataset(path)
    assert len(found) == 6, f"rows were dropped: {found.notes}"
    assert_same(found, written)
    with h5py.File(path, "a") as file:
        del file["metadata/true_successors"]
    assert len(load_dataset(path)) == 5, "without the mark such a row may have been borrowed"


@pytest.mark.parametrize("kind", KINDS)
def test_minari_reads_back_the_same(place, kind):
    pytest.importorskip("minari")
    written = log(**kind)
    writers.write(written, "minari:mine/log/small-v3", {"policy": "random"})
    assert_same(load_dataset("minari:mine/log/small-v3"), written)
    assert not list(place.glob(".writing-*"))
    assert os.environ["MINARI_DATASETS_PATH"] == str(place)
    writers.write(written, "minari:mine/log/small-v4", {"policy": "random"})
    with pytest.raises(DataError, match="small-v3 exists"):
        writers.write(written, "minari:mine/log/small-v3", {})


@pytest.mark.usefixtures("place")
def test_minari_finds_what_was_written():
    """Minari's own listing and loading, with the environment it belongs to."""
    minari = pytest.importorskip("minari")
    written = log()
    writers.write(written, "minari:mine/log-v0", {"policy": "random", "seed": 3}, env_id="Pendulum-v1")
    assert list(minari.list_local_datasets()) == ["mine/log-v0"]
    found = minari.load_dataset("mine/log-v0")
    assert (found.total_episodes, found.total_steps) == (3, len(written))
    assert found.env_spec.id == "Pendulum-v1"
    assert '"seed": 3' in found.storage.metadata["description"]


@pytest.mark.usefixtures("place")
def test_minari_keeps_the_reference_scores():
    minari = pytest.importorskip("minari")
    written = log()
    writers.write(written, "minari:mine/log-v0", {"policy": "sac", "reference": [-20.0, 3000.0]}, "Pendulum-v1")
    found = minari.load_dataset("mine/log-v0")
    assert found.storage.metadata["algorithm_name"] == "sac"
    assert (found.storage.metadata["ref_min_score"], found.storage.metadata["ref_max_score"]) == (-20.0, 3000.0)
    assert minari.get_normalized_score(found, np.array([1490.0])) == pytest.approx(0.5)
    writers.write(written, "minari:mine/log-v1", {"policy": "sac", "reference": None}, "Pendulum-v1")
    assert "ref_min_score" not in minari.load_dataset("mine/log-v1").storage.metadata


def test_minari_refuses_rows_in_no_order(place):
    pytest.importorskip("minari")
    disordered = log()
    disordered.next_observation[0] += 1
    with pytest.raises(DataError, match="episode 0"):
        writers.write(disordered, "minari:mine/log-v0", {})
    assert list(place.iterdir()) == []


def test_minari_refuses_masks_in_no_order(place):
    pytest.importorskip("minari")
    disordered = log(discrete=True, masks=True)
    disordered.extra["mask"][1] = True
    with pytest.raises(DataError, match="episode 0 a next mask"):
        writers.write(disordered, "minari:mine/log-v0", {})
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("target", ["log.hdf5", "minari:mine/log-v0"])
def test_a_column_without_a_place_is_not_dropped_silently(place, monkeypatch, target):
    if target.startswith("minari:"):
        pytest.importorskip("minari")
    monkeypatch.chdir(place)
    timed = replace(log(), extra={"speed": np.ones(12, np.float32)})
    with pytest.raises(DataError, match="no place for speed"):
        writers.write(timed, target, {})
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appeared_meanwhile_stays(place, monkeypatch, links):
    path, link = place / "log.hdf5", os.link

    def late(source, target):
        path.write_text("theirs")
        if not links:
            raise OSError(95, "Operation not supported")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(DataError, match="exists"):
        writers.write(log(), str(path), {})
    assert path.read_text() == "theirs"
    assert list(place.iterdir()) == [path], "something was left beside it"


def test_a_file_system_without_links(place, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    writers.write(log(), str(place / "log.hdf5"), {})
    assert_same(load_dataset(place / "log.hdf5"), log())
    assert list(place.iterdir()) == [place / "log.hdf5"]


def test_two_writers_of_one_name_do_not_share_a_file(place, monkeypatch):
    """The second finishes while the first still writes: its file stays whole, the first is refused."""
    link, path = os.link, place / "log.hdf5"
    asides = []

    def record(source, target):
        asides.append(source)
        if len(asides) == 1:
            writers.write(log(rows=20), str(path), {})
        link(source, target)

    monkeypatch.setattr(os, "link", record)
    with pytest.raises(DataError, match="exists"):
        writers.write(log(), str(path), {})
    assert len(set(asides)) == 2
    assert_same(load_dataset(path), log(rows=20))


def test_hdf5_says_how_it_was_made(place):
    path = place / "log.h5"
    writers.write(log(), str(path), {"policy": "sac", "steps": 12, "versions": {"torch": "2"}})
    with h5py.File(path) as file:
        about = {key: value[()] for key, value in file["metadata"].items()}
    assert about["policy"] == b"sac"
    assert about["steps"] == 12
    assert about["versions"] == b'{"torch": "2"}'
    assert about["action_low"].tolist() == [-2.0]
    with pytest.raises(DataError, match="metadata/action_low"):
        writers.write(log(), str(place / "other.h5"), {"action_low": 1})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("log.csv", "is written to a .hdf5"),
        ("there.hdf5", "there.hdf5 exists"),
        ("there.hdf5/log.hdf5", "cannot be written"),
        ("minari:log", "not a Minari id"),
        ("minari:../../log-v0", "not a Minari id"),
    ],
)
def test_targets_that_are_refused(place, monkeypatch, target, said):
    monkeypatch.chdir(place)
    (place / "there.hdf5").write_text("mine")
    with pytest.raises(DataError, match=said):
        writers.check_target(target)
    with pytest.raises(DataError, match=said):
        writers.write(log(), target, {})
    assert [path.name for path in place.iterdir()] == ["there.hdf5"]
    assert (place / "there.hdf5").read_text() == "mine"


def test_half_a_file_never_appears(place, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    with pytest.raises(OSError, match="No space"):
        writers.write(log(), str(place / "log.hdf5"), {})
    assert list(place.iterdir()) == []

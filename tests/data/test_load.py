import subprocess
import sys

import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5, write_npz
from prudent.data import load_dataset, scores
from prudent.errors import DataError


def d4rl_file(path, episode=0, lengths=(4, 3)):
    log = walk(lengths)
    log["observations"][:, 2] = episode
    return write_hdf5(path, **flat(log, terminals=log["ends"], timeouts=np.zeros(sum(lengths), bool)))


def npz_file(path):
    log = walk([4, 3])
    return write_npz(path, **flat(log, next_observations=log["successor"], dones=log["ends"]))


def marks(dataset):
    return sorted(set(dataset.observation[:, 2].tolist()))


@pytest.mark.parametrize("name", ["log.hdf5", "log.h5", "LOG.HDF5"])
def test_files_by_extension(tmp_path, name):
    path = d4rl_file(tmp_path / name)
    assert len(load_dataset(path)) == len(load_dataset(str(path))) == 7
    assert load_dataset(path).name == name


def test_options_reach_the_reader(tmp_path):
    path = npz_file(tmp_path / "log.npz")
    assert load_dataset(path).terminated.sum() == 2
    dataset = load_dataset(path, dones="truncated", action_low=-2, action_high=2)
    assert dataset.truncated.sum() == 2
    assert dataset.spec.action_high == (2, 2)
    assert 'dones must be "terminated" or "truncated"' in complaint(load_dataset, path, dones="ended")
    assert "horizon must be 1 or more" in complaint(load_dataset, path, horizon=0)


def test_several_files_join_in_order(tmp_path):
    files = [
        d4rl_file(tmp_path / "b.hdf5", 1),
        d4rl_file(tmp_path / "a.hdf5", 2),
        npz_file(tmp_path / "c.npz"),
    ]
    dataset = load_dataset(files)
    assert len(dataset) == 21
    assert dataset.observation[[0, 7], 2].tolist() == [1, 2]
    assert dataset.n_episodes == 6
    assert dataset.name == "b.hdf5+a.hdf5+c.npz"
    assert "no dataset was named" in complaint(load_dataset, [])


def test_files_of_different_spaces_do_not_join(tmp_path):
    d4rl_file(tmp_path / "a.hdf5")
    log = walk([4, 3], size=5)
    write_hdf5(tmp_path / "b.hdf5", **flat(log, terminals=log["ends"]))
    assert "b.hdf5 does not fit a.hdf5" in complaint(load_dataset, [tmp_path / "a.hdf5", tmp_path / "b.hdf5"])


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("hopper-medium.hdf5", "hopper-medium-v2"),
        ("hopper_medium-v2.hdf5", "hopper-medium-v2"),
        ("hopper-medium-v2.hdf5", "hopper-medium"),
        ("hopper-medium.hdf5", "hopper_medium"),
        ("halfcheetah-bullet-medium-v0.h5", "halfcheetah-bullet-medium-v0"),
        ("my-log.npz", "my-log"),
    ],
)
@pytest.mark.parametrize("place", ["PRUDENT_DATA", "data", "datasets", ".d4rl/datasets"])
def test_names_with_and_without_version(tmp_path, monkeypatch, file, name, place):
    folder = tmp_path / "elsewhere" if place == "PRUDENT_DATA" else tmp_path / "home" / place
    folder.mkdir(parents=True)
    if place == "PRUDENT_DATA":
        monkeypatch.setenv("PRUDENT_DATA", str(folder))
    (npz_file if file.endswith("npz") else d4rl_file)(folder / file)
    dataset = load_dataset(name)
    assert dataset.name == name
    assert any(file in note for note in dataset.notes)


@pytest.mark.parametrize("robot", ["halfcheetah", "hopper", "walker2d", "ant"])
@pytest.mark.parametrize("quality", ["random", "medium", "mixed"])
def test_bullet_datasets_by_name(tmp_path, monkeypatch, robot, quality):
    """Their layout: no timeouts, no next_observations; episodes end at terminals."""
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path))
    log = walk([4, 3, 5])
    write_hdf5(tmp_path / f"{robot}-bullet-{quality}-v0.hdf5", **flat(log, terminals=log["ends"].astype(np.float32)))
    write_hdf5(tmp_path / f"{robot}-{quality}-v2.hdf5", **flat(log, terminals=np.zeros(12)))  # MuJoCo's, not it
    dataset = load_dataset(f"{robot}-bullet-{quality}-v0")
    assert dataset.episode_lengths.tolist() == [4, 3, 5]
    assert dataset.terminated.sum() == 3
    assert not dataset.truncated.any()
    env_id = {"halfcheetah": "HalfCheetah", "walker2d": "Walker2D"}.get(robot, robot.title()) + "BulletEnv-v0"
    assert scores.reference(dataset.name) == scores.reference(env_id) != scores.reference(f"{robot}-{quality}-v2")
    assert scores.reference(f"{robot}-bullet-{quality}-v0.hdf5") == scores.reference(env_id)


def test_another_version_is_another_dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path))
    d4rl_file(tmp_path / "hopper-medium-v0.hdf5", 0)
    assert "hopper-medium-v2" in complaint(load_dataset, "hopper-medium-v2")
    d4rl_file(tmp_path / "hopper-medium-v2.hdf5", 2)
    assert marks(load_dataset("hopper-medium-v0")) == [0]
    assert marks(load_dataset("hopper-medium")) == [2]


def test_medium_expert_is_composed_unless_there_is_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path))
    d4rl_file(tmp_path / "hopper-medium.hdf5", 1)
    complaint(load_dataset, "hopper-medium-expert-v2")
    d4rl_file(tmp_path / "hopper-expert.hdf5", 2)
    dataset = load_dataset("hopper-medium-expert-v2")
    assert dataset.observation[:, 2].tolist() == [1] * 7 + [2] * 7
    assert dataset.name == "hopper-medium-expert-v2"
    d4rl_file(tmp_path / "hopper_medium_expert-v2.hdf5", 3)
    assert marks(load_dataset("hopper-medium-expert-v2")) == [3]


def test_a_missing_name_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path / "mine"))
    line = complaint(load_dataset, "walker2d-medium-v2")
    for word in (
        "walker2d-medium-v2",
        str(tmp_path / "mine"),
        "datasets",
        ".d4rl",
        "download",
        "PRUDENT_DATA",
    ):
        assert word in line
    assert "d4rl-pybullet" in complaint(load_dataset, "hopper-bullet-medium-v0")


# --- files that are not what they seem ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "log.txt",
            b"a,b\n1,2\n",
            ".txt is not a dataset format; accepted: .hdf5, .h5, .npz, .parquet, .pq, .csv, .csv.gz",
        ),
        ("log", b"data", "no extension is not a dataset format"),
        ("log.npz", b"", "the file is empty"),
        ("log.hdf5", b"", "the file is empty"),
        ("log.hdf5", b"some text", "not a HDF5 file"),
        ("log.npz", b"\x93NUMPY\x01\x00", "not a npz file"),
        ("log.npz", b"\x89HDF\r\n\x1a\n", "named .npz but its content is HDF5"),
        ("log.h5", b"PK\x03\x04", "named .h5 but its content is npz"),
        ("log.hdf5", b"\x89HDF\r\n\x1a\n", "damaged"),
        ("log.npz", b"PK\x03\x04", "damaged"),
    ],
)
def test_wrong_files(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    line = complaint(load_dataset, path)
    assert line.startswith(f"{name}: ")
    assert words in line


@pytest.mark.parametrize("source", ["nothing.npz", "no/such/file.hdf5", "no/such", "minari:"])
def test_what_is_not_there(source):
    complaint(load_dataset, source)


def test_a_folder_is_not_a_dataset(tmp_path):
    assert "not of a Minari dataset" in complaint(load_dataset, tmp_path)


def test_importing_is_light():
    heavy = ("h5py", "minari", "pyarrow", "gymnasium", "matplotlib")
    code = f"import sys, prudent.data; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "options",
    [
        {"dones": "truncated"},
        {"horizon": 7},
        {"action_low": -9, "action_high": 9},
        {"discrete": True},
        {"n_actions": 2},
    ],
)
def test_options_that_would_change_nothing_are_refused(options):
    with pytest.raises(DataError, match=r"pendulum-mixed: .* does not apply") as caught:
        load_dataset("pendulum-mixed", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tune.json"])
def test_a_run_is_no_dataset(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match="a run, not data; prudent value"):
        load_dataset(tmp_path)


def test_a_near_miss_of_a_builtin_is_proposed():
    with pytest.raises(DataError, match=r"^pendulum-mixd: no such dataset; did you mean pendulum-mixed\?$"):
        load_dataset("pendulum-mixd")

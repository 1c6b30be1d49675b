"""Files that d3rlpy 1.x and 2.x wrote (tests/fixtures/write.py), and changes to them."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from fixtures.write import LENGTHS, TERMINATES, choices, walk
from helpers.data_logs import complaint, put
from prudent.data import convert, load_dataset
from prudent.data.describe import describe

FIXTURES = Path(__file__).parents[2] / "fixtures"
KEPT = [length if terminal else length - 1 for length, terminal in zip(LENGTHS, TERMINATES, strict=True)]
FILES = ["d3rlpy1_continuous.h5", "d3rlpy2_continuous.h5", "d3rlpy1_discrete.h5", "d3rlpy2_discrete.h5"]


def options(name):
    """The file of d3rlpy 2.x does not say whether actions are choices, that of 1.x does."""
    return {"discrete": True} if name == "d3rlpy2_discrete.h5" else {}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["read", "converted"])
def test_every_episode_has_its_steps_and_none_leads_into_the_next(name, way, tmp_path):
    source = FIXTURES / name
    dataset = (
        load_dataset(source, **options(name)) if way == "read" else convert(source, tmp_path / "out", **options(name))
    )
    log = walk()
    kept = np.concatenate([np.arange(n) < k for n, k in zip(LENGTHS, KEPT, strict=True)])
    np.testing.assert_array_equal(dataset.observation, log["observations"][kept])
    np.testing.assert_array_equal(dataset.reward, log["rewards"][kept])
    np.testing.assert_array_equal(dataset.action, (choices() if "discrete" in name else log["actions"])[kept])
    assert dataset.episode_lengths.tolist() == KEPT
    last = dataset.episode_bounds[1:] - 1
    assert dataset.terminated[last].tolist() == list(TERMINATES)
    assert dataset.terminated.sum() == 2
    following = dataset.next_observation[:, :2] - dataset.observation[:, :2]
    assert (following[~dataset.terminated] == [0, 1]).all()
    assert (following[dataset.terminated] == 0).all()
    assert dataset.spec.discrete == ("discrete" in name)
    assert dataset.spec.action_size == (3 if "discrete" in name else 2)
    assert sum("3 rows dropped" in note for note in dataset.notes) == 1


def test_the_kind_of_actions_is_declared_by_one_and_asked_for_the_other():
    assert "choices, or amounts?" in complaint(load_dataset, FIXTURES / "d3rlpy2_discrete.h5")
    assert load_dataset(FIXTURES / "d3rlpy2_discrete.h5", n_actions=5).spec.action_size == 5
    assert not load_dataset(FIXTURES / "d3rlpy2_discrete.h5", discrete=False).spec.discrete
    assert load_dataset(FIXTURES / "d3rlpy1_discrete.h5", n_actions=4).spec.action_size == 4


@pytest.mark.parametrize("name", FILES[:2])
@pytest.mark.parametrize(("declared", "word"), [({"dones": "truncated"}, "dones"), ({"horizon": 5}, "horizon")])
def test_what_the_file_says_itself_is_not_asked_for(name, declared, word):
    assert f"{word} does not apply to it" in complaint(load_dataset, FIXTURES / name, **declared)


def test_files_of_both_versions_join():
    joined = load_dataset([FIXTURES / name for name in FILES[:2]])
    assert joined.episode_lengths.tolist() == KEPT * 2
    assert joined.notes[1].startswith("d3rlpy1_continuous.h5: ")
    assert "10: 4 terminated, 6 truncated" in describe(joined)


def changed(tmp_path, change, name="d3rlpy2_continuous.h5"):
    path = tmp_path / "log.h5"
    shutil.copy(FIXTURES / name, path)
    with h5py.File(path, "a") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("num_episodes", 10**9), "num_episodes is 1000000000"),
        (put("num_episodes", 0), "num_episodes is 0"),
        (put("num_episodes", np.nan), "num_episodes is nan"),
        (put("num_episodes", "5"), "num_episodes must be one number"),
        (put("num_episodes", 6), "no array observations_5 in the file"),
        (put("terminated_1", 0.5), "terminated_1 must be true/false or 0/1, it is 0.5"),
        (put("terminated_1", [True, False]), "terminated_1 must be one number"),
        (lambda file: file.__delitem__("terminated_2"), "no terminated_2"),
        (lambda file: file.__delitem__("rewards_2"), "no array rewards_2"),
        (put("rewards_2", np.ones((4, 1))), "observations_2 has shape (5, 3), expected (4, features)"),
        (put("rewards_2", np.ones((5, 2))), "rewards_2 has shape (5, 2), expected (5, 1)"),
        (put("observations_0", np.zeros((4, 3, 8, 8), np.uint8)), "observations_0 has shape (4, 3, 8, 8)"),
        (put("observations_0", np.zeros((4, 2))), "observations of the episodes have 2 to 3 features"),
        (put("rewards_0", np.full((4, 1), np.nan)), "rewards has 4 rows with NaN"),
        (put("actions_0", ["a"] * 4), "actions_0 holds objects or text"),
        (put("rewards_0", h5py.SoftLink("/rewards_1")), "rewards_0 is a soft link"),
        (put("num_episodes", h5py.SoftLink("/terminated_0")), "num_episodes is a soft link"),
        (lambda file: file.__setitem__("truncated_0", True), "truncated_0 looks like the end of an episode"),
        (lambda file: file.move("observations_0", "observations_0_0"), "observations of several parts"),
    ],
)
def test_damaged_files_get_one_clear_line(tmp_path, change, words):
    assert words in complaint(load_dataset, changed(tmp_path, change))


def test_a_terminal_inside_an_episode_is_refused(tmp_path):
    path = changed(tmp_path, lambda file: file["terminals"].__setitem__(1, 1), "d3rlpy1_continuous.h5")
    assert "terminals is set in row 1, episode_terminals is not" in complaint(load_dataset, path)


def test_create_mask_of_older_files_is_known(tmp_path):
    def add(file):
        file["create_mask"], file["mask_size"] = False, 1

    path = changed(tmp_path, add, "d3rlpy1_continuous.h5")
    assert not any("not read" in note for note in load_dataset(path).notes)


def test_one_array_under_two_names_is_refused(tmp_path):
    def link(file):
        del file["rewards_1"]
        file["rewards_1"] = file["rewards_0"]

    line = complaint(load_dataset, changed(tmp_path, link))
    assert line.endswith("rewards_1 and rewards_0 are one object (a hard link), not two")


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminated"])
def test_arrays_of_episodes_that_are_not_counted_are_refused(tmp_path, key):
    count = len(LENGTHS)
    path = changed(tmp_path, lambda file: file.create_dataset(f"{key}_{count}", data=[0.0]))
    assert f"num_episodes is {count}, but there is {key}_{count} in the file" in complaint(load_dataset, path)


def test_a_kind_of_actions_that_is_neither_yes_nor_no_is_refused(tmp_path):
    def two(file):
        del file["discrete_action"]
        file["discrete_action"] = 2

    assert "must be true/false or 0/1, the file says 2" in complaint(
        load_dataset, changed(tmp_path, two, "d3rlpy1_discrete.h5")
    )

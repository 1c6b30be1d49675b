"""Files that robomimic's own script wrote (tests/fixtures/write.py), and changes to them."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from fixtures.write import DEMOS
from helpers.data_logs import complaint, put
from prudent.data import convert, load_dataset

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOTH, SUCCESS = FIXTURES / "robomimic_success_and_end.hdf5", FIXTURES / "robomimic_success.hdf5"


def in_order(dataset):
    """Every row leads to the next step of its demonstration; features are object, episode, step."""
    step = dataset.next_observation[:, 1:] - dataset.observation[:, 1:]
    inner = ~dataset.terminated
    return bool((step[inner] == [0, 1]).all() and (step[:, 0] == 0).all())


@pytest.mark.parametrize("way", ["read", "converted"])
def test_every_demonstration_is_an_episode_that_ends_at_success(way, tmp_path):
    dataset = load_dataset(BOTH) if way == "read" else convert(BOTH, tmp_path / "out")
    # Success shows one step before the last; the failed demonstration is cut.
    assert dataset.episode_lengths.tolist() == [DEMOS[0] - 1, DEMOS[1], DEMOS[2] - 1]
    last = dataset.episode_bounds[1:] - 1
    assert dataset.terminated[last].tolist() == [True, False, True]
    assert dataset.reward[last].tolist() == [1, 0, 1]
    assert dataset.reward.sum() == 2
    assert in_order(dataset)
    np.testing.assert_allclose(dataset.observation[:, 0], np.sin(dataset.observation[:, 2]), atol=1e-6)
    notes = "\n".join(dataset.notes)
    assert "an observation is object, robot0_eef_pos, in this order" in notes
    assert "left out, as they are images or no vectors: agentview_image" in notes
    assert "filter keys are not used, all demonstrations are read: train, valid" in notes
    assert "1 without a reward as truncations" in notes
    assert "2 rows after the first of a demonstration's dones left out" in notes


def test_without_next_obs_the_next_row_is_the_successor():
    dataset = load_dataset(SUCCESS)
    assert dataset.episode_lengths.tolist() == [DEMOS[0] - 1, DEMOS[1] - 1, DEMOS[2] - 1]
    assert dataset.terminated[dataset.episode_bounds[1:] - 1].tolist() == [True, False, True]
    assert in_order(dataset)


def test_the_user_may_say_what_dones_mean():
    cut = load_dataset(BOTH, dones="truncated")
    assert cut.episode_lengths.tolist() == list(DEMOS)
    assert not cut.terminated.any()
    assert in_order(cut)
    ended = load_dataset(BOTH, dones="terminated")
    assert ended.terminated[ended.episode_bounds[1:] - 1].tolist() == [True, True, True]
    assert "horizon does not apply" in complaint(load_dataset, BOTH, horizon=5)


def test_two_files_join():
    assert load_dataset([BOTH, SUCCESS]).n_episodes == 6


def changed(tmp_path, change, source=BOTH):
    path = tmp_path / "log.hdf5"
    shutil.copy(source, path)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def without(*keys):
    def change(file):
        for demo in file["data"].values():
            for key in keys:
                del demo[key]

    return change


def test_without_dones_every_demonstration_is_truncated(tmp_path):
    path = changed(tmp_path, without("dones"))
    dataset = load_dataset(path)
    assert dataset.episode_lengths.tolist() == list(DEMOS)
    assert not dataset.terminated.any()
    assert "no dones in the file: every demonstration ends in a truncation" in dataset.notes
    assert "dones does not apply" in complaint(load_dataset, path, dones="terminated")


def test_demonstrations_are_in_the_order_of_their_numbers(tmp_path):
    dataset = load_dataset(changed(tmp_path, lambda file: file.move("data/demo_0", "data/demo_10")))
    assert dataset.observation[dataset.episode_bounds[:-1], 1].tolist() == [1, 2, 0]


def rename(file):
    file["data"].attrs["env_args"] = "__import__('os').system('touch ran')"


def test_nothing_is_made_of_the_environment_in_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(load_dataset(changed(tmp_path, rename))) == 13
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("data/demo_1/dones", np.full(4, 0.5)), "data/demo_1/dones must be true/false or 0/1"),
        (put("data/demo_1/rewards", np.ones(3)), "data/demo_1/rewards has 3 rows, actions has 4"),
        (put("data/demo_1/rewards", np.ones((4, 2))), "data/demo_1 needs rewards (T,)"),
        (put("data/demo_1/rewards", ["a"] * 4), "data/demo_1/rewards holds objects or text"),
        (put("data/demo_1/obs/object", np.ones((4, 2))), "data/demo_1/next_obs has shape (4, 1), obs (4, 2)"),
        (put("data/demo_1/obs/object", h5py.SoftLink("/data/demo_0/obs/object")), "is a soft link"),
        (put("data/demo_1", np.ones(3)), "data/demo_1 is no group"),
        (lambda file: file["data/demo_1"].attrs.__setitem__("num_samples", 9), "its num_samples is 9"),
        (without("obs"), "data/demo_0 has no obs: extract observations first"),
        (without("rewards"), "no data/demo_0/rewards"),
        (lambda file: file.__delitem__("data/demo_1/dones"), "dones is in 2 of 3 demonstrations"),
        (lambda file: file.__delitem__("data/demo_1/next_obs"), "next_obs is in 2 of 3 demonstrations"),
        (lambda file: file.__delitem__("data/demo_1/obs/object"), "no data/demo_1/obs/object"),
        (lambda file: file.__setitem__("data/demo_1/truncated", np.ones(4)), "truncated looks like the end"),
        (without("obs/object", "obs/robot0_eef_pos"), "has no vectors, only agentview_image"),
    ],
)
def test_damaged_files_get_one_clear_line(tmp_path, change, words):
    assert words in complaint(load_dataset, changed(tmp_path, change))


@pytest.mark.parametrize("part", ["", "/rewards", "/obs/object"])
def test_one_array_under_two_names_is_refused(tmp_path, part):
    path = tmp_path / "linked.hdf5"
    shutil.copy(BOTH, path)
    with h5py.File(path, "a") as file:
        del file[f"data/demo_1{part}"]
        file[f"data/demo_1{part}"] = file[f"data/demo_0{part}"]
    assert "are one object (a hard link), not two" in complaint(load_dataset, path)


def test_observations_that_the_first_demonstration_lacks_are_said(tmp_path):
    path = tmp_path / "more.hdf5"
    shutil.copy(BOTH, path)
    with h5py.File(path, "a") as file:
        file["data/demo_1/obs/weight"] = np.ones((len(file["data/demo_1/actions"]), 1))
    assert "observations left out, as demo_0 has none of them: weight" in load_dataset(path).notes


def test_a_number_of_samples_that_is_none_is_refused(tmp_path):
    path = tmp_path / "samples.hdf5"
    shutil.copy(BOTH, path)
    with h5py.File(path, "a") as file:
        file["data/demo_1"].attrs["num_samples"] = np.nan
    assert "its num_samples is nan" in complaint(load_dataset, path)

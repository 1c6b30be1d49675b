"""Replay buffers that Stable-Baselines3 filled (tests/fixtures/write.py), and changes to them.

Features of an observation are the episode, the step and the environment; the reward is the action taken. Episodes have
3, 4, 5, 3 ... steps, and every third is cut by a time limit.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from fixtures import write
from helpers.data_logs import complaint, model_of
from prudent.data import convert, load_dataset

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures"


def stored(name="two_environments", **changes):
    columns = dict(np.load(FIXTURES / f"sb3_{name}.npz"))
    return {key: column for key, column in (columns | changes).items() if column is not None}


def read(tmp_path, columns, **options):
    np.savez(tmp_path / "buffer.npz", **columns)
    return load_dataset(tmp_path / "buffer.npz", **options)


def check(dataset, environments, steps, first):
    """Each environment's steps are together, in order from the oldest; no row leads out of its episode."""
    assert len(dataset) == environments * steps
    for number in range(environments):
        seen = dataset.observation[number * steps : (number + 1) * steps]
        assert (seen[:, 2] == number).all()
        assert seen[0].tolist() == [*first, number]
        assert (np.diff(seen[:, 0] * 100 + seen[:, 1]) > 0).all()
    moved = dataset.next_observation - dataset.observation
    assert (moved[:, 1] == 1).all()
    assert (moved[:, [0, 2]] == 0).all()
    over = dataset.next_observation[:, 1] == 3 + dataset.observation[:, 0] % 3
    cut = dataset.observation[:, 0] % 3 == 2
    np.testing.assert_array_equal(dataset.terminated, over & ~cut)
    last = np.arange(len(dataset)) % steps == steps - 1
    np.testing.assert_array_equal(dataset.truncated, (over & cut) | (last & ~dataset.terminated))


@pytest.mark.parametrize("way", ["read", "converted"])
@pytest.mark.parametrize(
    ("name", "steps", "first"),
    # 45 steps went into a ring of 30 rows: the first 15 are gone.
    [("two_environments", 20, 0), ("ring", 30, 15)],
)
def test_environments_are_apart_and_in_order(way, name, steps, first, tmp_path):
    source = FIXTURES / f"sb3_{name}.npz"
    dataset = load_dataset(source) if way == "read" else convert(source, tmp_path / "out")
    check(dataset, 2, steps, true_step(first))
    assert f"replay buffer of 2 environments, {steps} steps of each" in dataset.notes


def true_step(number):
    """Episode and step of the step with this number."""
    episode = 0
    while number >= 3 + episode % 3:
        number -= 3 + episode % 3
        episode += 1
    return episode, number


@pytest.mark.parametrize("name", ["two_environments", "ring", "ring_in_one_array"])
def test_actions_are_in_the_units_of_the_environment(name):
    dataset = load_dataset(FIXTURES / f"sb3_{name}.npz")
    np.testing.assert_allclose(dataset.action[:, 0], dataset.reward, atol=1e-5)
    assert np.abs(dataset.action).max() > 1
    assert (dataset.spec.action_low, dataset.spec.action_high) == ((-2,), (6,))


def test_a_ring_whose_one_array_holds_observations_and_successors():
    dataset = load_dataset(FIXTURES / "sb3_ring_in_one_array.npz")
    # The oldest of 30 rows holds the successor of the newest.
    assert len(dataset) == 29
    assert dataset.observation[0, :2].tolist() == list(true_step(16))
    moved = dataset.next_observation - dataset.observation
    assert (moved[~dataset.terminated] == [0, 1, 0]).all()
    assert (moved[dataset.terminated] == 0).all()
    ends = dataset.observation[:, 1] == 2 + dataset.observation[:, 0] % 3
    np.testing.assert_array_equal(dataset.terminated, ends)
    # Cut episodes have no successor at their end: their last rows are dropped.
    cut = load_dataset(FIXTURES / "sb3_ring_in_one_array.npz", dones="truncated")
    assert not cut.terminated.any()
    assert cut.n_episodes == dataset.n_episodes
    assert len(cut) == 29 - int(ends.sum())
    assert (cut.next_observation - cut.observation == [0, 1, 0]).all()


def test_choices():
    dataset = load_dataset(FIXTURES / "sb3_discrete.npz")
    assert (dataset.spec.discrete, dataset.spec.action_size) == (True, 3)
    np.testing.assert_array_equal(dataset.action, dataset.reward)
    check(dataset, 1, 20, (0, 0))


def test_without_bounds_actions_stay_scaled_and_the_notes_say_so(tmp_path):
    dataset = read(tmp_path, stored(space_low=None, space_high=None))
    assert (dataset.spec.action_low, dataset.spec.action_high) == ((-1,), (1,))
    assert np.abs(dataset.action).max() <= 1
    assert any("actions were left in [-1, 1]" in note for note in dataset.notes)
    wider = read(tmp_path, stored(space_low=None, space_high=None), action_low=-3, action_high=3)
    assert wider.spec.action_low == (-3,)


def test_timeouts_that_are_never_set_leave_the_dones_to_the_user(tmp_path):
    columns = stored(timeouts=np.zeros((30, 2), np.float32))
    ended = read(tmp_path, columns)
    assert ended.terminated.sum() == stored()["dones"].sum()
    assert any("no timeout is set in the buffer" in note for note in ended.notes)
    cut = read(tmp_path, columns, dones="truncated")
    assert not cut.terminated.any()
    assert cut.episode_lengths.tolist() == ended.episode_lengths.tolist()
    assert "dones does not apply" in complaint(read, tmp_path, stored(), dones="truncated")
    assert "horizon does not apply" in complaint(read, tmp_path, stored(), horizon=4)


def test_an_environment_that_was_reset_without_done_is_cut_there(tmp_path):
    columns = stored()
    columns["dones"][2], columns["timeouts"][2] = 0, 0
    dataset = read(tmp_path, columns)
    assert (
        dataset.episode_lengths.tolist() == load_dataset(FIXTURES / "sb3_two_environments.npz").episode_lengths.tolist()
    )
    assert dataset.truncated[2]


def test_buffers_join_with_each_other():
    joined = load_dataset([FIXTURES / "sb3_two_environments.npz", FIXTURES / "sb3_ring.npz"])
    assert len(joined) == 100


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"pos": None},
            "rewards has shape (30, 2), as in a replay buffer of Stable-Baselines3; store its pos and full",
        ),
        ({"pos": 31}, "pos is 31, but the buffer has 30 rows"),
        ({"pos": -1}, "pos is -1"),
        ({"pos": 0}, "the buffer is empty"),
        ({"pos": 1.5}, "pos must be one whole number"),
        ({"pos": [1, 2]}, "pos must be one whole number"),
        ({"full": 2}, "full one true/false"),
        ({"dones": None}, "no dones in the replay buffer"),
        ({"actions": np.zeros((30, 1, 1))}, "actions has shape (30, 1, 1), expected (30, 2, features)"),
        ({"observations": np.zeros((30, 2, 3, 8, 8))}, "observations has shape (30, 2, 3, 8, 8)"),
        ({"next_observations": np.zeros((30, 2, 2))}, "next_observations has shape"),
        ({"rewards": np.zeros((30, 0))}, "rewards has shape (30, 0)"),
        ({"rewards": np.full((30, 2), np.nan)}, "rewards has 40 rows with NaN"),
        ({"dones": np.full((30, 2), 0.5)}, "dones must be true/false or 0/1"),
        ({"space_low": None}, "space_high is in the file alone"),
        ({"space_low": [np.nan]}, "one finite number per action feature"),
        ({"space_low": [-2, -2]}, "one finite number per action feature"),
        ({"actions": np.full((30, 2, 1), 5.0)}, "actions lie outside [-1, 1], so they are not scaled"),
        ({"terminals": np.zeros((30, 2))}, "terminals is no part of a replay buffer"),
        ({"rewards": np.array([{}] * 60, dtype=object).reshape(30, 2)}, "rewards holds objects"),
    ],
)
def test_damaged_buffers_get_one_clear_line(tmp_path, changes, words):
    assert words in complaint(read, tmp_path, stored(**changes))


@pytest.mark.parametrize("name", ["buffer.pkl", "buffer.PICKLE"])
def test_a_pickle_is_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    line = complaint(load_dataset, tmp_path / name)
    assert "a pickle, which is never opened" in line
    assert "docs/data.md" in line


def test_the_lines_in_the_docs_write_what_is_read(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "data.md").read_text()
    found = re.search(r"```python\n(import numpy as np\n\nb, s = .*?)```", text, re.DOTALL)
    assert found is not None
    model = model_of(FIXTURES / "sb3_two_environments.npz")
    monkeypatch.chdir(tmp_path)
    exec(found[1], {"model": model})  # noqa: S102 - the documentation is ours
    assert load_dataset("buffer.npz").fingerprint == load_dataset(FIXTURES / "sb3_two_environments.npz").fingerprint
    write.save(model, tmp_path / "again.npz")
    assert load_dataset("again.npz").fingerprint == load_dataset("buffer.npz").fingerprint


def test_a_missing_action_changes_neither_bounds_nor_units_of_the_others(tmp_path):
    columns = stored(space_low=np.array([-3.0]), space_high=np.array([5.0]))
    columns["actions"] = columns["actions"].astype("f4").clip(-1, 1)
    sound = read(tmp_path, columns)
    columns["actions"][0, 0] = np.nan
    assert "skip_bad_episodes=True" in complaint(read, tmp_path, columns)
    rest = read(tmp_path, columns, skip_bad_episodes=True)
    assert rest.n_episodes < sound.n_episodes
    assert rest.spec == sound.spec
    assert set(rest.action.ravel()) <= set(sound.action.ravel())


@pytest.mark.parametrize("key", ["episode_starts", "terminals", "truncated"])
def test_other_flags_are_refused(tmp_path, key):
    columns = stored()
    line = complaint(read, tmp_path, columns | {key: np.zeros(columns["rewards"].shape)})
    assert f"{key} is no part of a replay buffer" in line

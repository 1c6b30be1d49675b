import json
import os

import gymnasium
import h5py
import numpy as np
import pytest

import prudent as package
from helpers.data_logs import complaint
from prudent.data import load_dataset

minari = pytest.importorskip("minari")
# Minari's collector (not its reader) needs JAX: pip install "minari[create]".
pytest.importorskip("jax")


pytestmark = pytest.mark.filterwarnings("ignore")  # Minari's own, about what the tests leave out


class Counter(gymnasium.Env):
    """Observation (episode, step): a row says where it belongs. Even episodes end at 4, odd ones go on."""

    observation_space = gymnasium.spaces.Box(-1e6, 1e6, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    episode = -1

    def reset(self, *, seed=None, options=None):  # noqa: ARG002 - Gymnasium's signature
        super().reset(seed=seed)
        self.episode += 1
        self.step_count = 0
        return self._look(), {}

    def step(self, action):
        self.step_count += 1
        done = self.episode % 2 == 0 and self.step_count == 4
        reward = 10 * self.episode + self.step_count + 0.1 * float(np.ravel(action)[0])
        return self._look(), reward, done, False, {}

    def _look(self):
        return np.array([self.episode, self.step_count], dtype=np.float32)


class Choices(Counter):
    action_space = gymnasium.spaces.Discrete(5, start=2)


class Nested(Counter):
    observation_space = gymnasium.spaces.Dict({"a": Counter.observation_space})

    def _look(self):
        return {"a": super()._look()}


def collect(env_class, episodes=4, identifier="test/counter-v0", **options):
    """A dataset of ``episodes`` episodes made with Minari's own collector; returns the actions taken."""
    collector = minari.DataCollector(gymnasium.wrappers.TimeLimit(env_class(), 6), record_infos=False, **options)
    taken = []
    for episode in range(episodes):
        collector.reset()
        ended = False
        while not ended:
            action = collector.action_space.start if env_class is Choices else np.zeros(1, np.float32)
            action = action + len(taken) % 3 if env_class is Choices else np.array([episode / 10], np.float32)
            taken.append(np.ravel(action)[0])
            _, _, terminated, truncated, _ = collector.step(action)
            ended = terminated or truncated
    collector.create_dataset(
        dataset_id=identifier,
        algorithm_name="test",
        author="the tests",
        author_email="tests@example.org",
        code_permalink="https://example.org",
        description="made by the tests",
    )
    collector.close()
    return np.array(taken)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari" / "test" / "counter-v0"


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_every_row_is_the_episodes_own(folder, data_format):
    taken = collect(Counter, data_format=data_format)
    dataset = load_dataset("minari:test/counter-v0")
    assert dataset.episode_lengths.tolist() == [4, 6, 4, 6]
    episode = np.repeat(np.arange(4), [4, 6, 4, 6])
    step = np.concatenate([np.arange(n) for n in (4, 6, 4, 6)])
    np.testing.assert_array_equal(dataset.observation, np.column_stack([episode, step]))
    np.testing.assert_array_equal(dataset.next_observation, np.column_stack([episode, step + 1]))
    np.testing.assert_allclose(dataset.action[:, 0], taken)
    np.testing.assert_allclose(dataset.reward, 10 * episode + step + 1 + 0.1 * taken, rtol=1e-6)
    assert np.flatnonzero(dataset.terminated).tolist() == [3, 13]
    assert np.flatnonzero(dataset.truncated).tolist() == [9, 19]
    assert dataset.spec.action_low == (-2,)
    assert dataset.spec.action_high == (2,)
    for source in ("test/counter-v0", folder, folder / "data", str(folder)):
        assert load_dataset(source).fingerprint == dataset.fingerprint


@pytest.mark.usefixtures("folder")
def test_discrete_actions_keep_the_numbers_of_the_declared_space():
    taken = collect(Choices)
    dataset = load_dataset("minari:test/counter-v0")
    assert dataset.spec.discrete
    assert dataset.spec.action_size == 5
    assert dataset.spec.first_action == 2
    np.testing.assert_array_equal(dataset.action, taken)
    assert "first_action does not apply" in complaint(load_dataset, "minari:test/counter-v0", first_action=2)


def test_recorded_masks_belong_to_the_observations(folder):
    """T + 1 masks per episode; behind a termination nothing is forbidden."""
    collect(Choices)
    main, masks = folder / "data" / "main_data.hdf5", []
    with h5py.File(main, "a") as file:
        for episode, steps in enumerate((4, 6, 4, 6)):
            mask = np.ones((steps + 1, 5), np.int8)
            mask[np.arange(steps + 1), 3 + np.arange(steps + 1) % 2] = 0
            masks.append(mask.astype(bool))
            file[f"episode_{episode}"].require_group("infos")["action_mask"] = mask
    dataset = load_dataset(folder)
    np.testing.assert_array_equal(dataset.extra["mask"], np.concatenate([mask[:-1] for mask in masks]))
    following = np.concatenate([mask[1:] for mask in masks])
    following[[3, 13]] = True
    np.testing.assert_array_equal(dataset.extra["next_mask"], following)
    with h5py.File(main, "a") as file:
        del file["episode_2/infos/action_mask"]
    assert "infos/action_mask is in 3 of 4 episodes" in complaint(load_dataset, folder)
    with h5py.File(main, "a") as file:
        file["episode_2/infos/action_mask"] = masks[2][:-1].astype(np.int8)
    assert "episode 2 has 4 masks for 4 rewards, expected 5" in complaint(load_dataset, folder)


@pytest.mark.usefixtures("folder")
def test_nested_observations_are_refused():
    collect(Nested)
    line = complaint(load_dataset, "minari:test/counter-v0")
    assert "test/counter-v0: observation_space is a Dict, only Box can be read" in line


def test_a_missing_dataset_says_where_and_how(folder):
    line = complaint(load_dataset, "minari:mujoco/hopper/medium-v0")
    assert "minari download mujoco/hopper/medium-v0" in line
    assert str(folder.parent.parent) in line
    assert "not a Minari id" in complaint(load_dataset, "minari:../../etc/passwd")


def edit_metadata(folder, **changes):
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in metadata.items() if value is not None}))


def test_no_environment_is_made_from_the_file(folder, monkeypatch):
    collect(Counter)

    def never(*_args, **_kwargs):
        raise AssertionError("an environment was made")

    monkeypatch.setattr(gymnasium, "make", never)
    evil = {
        "id": "Evil-v0",
        "entry_point": "os:system",
        "kwargs": {"command": "true"},
        "additional_wrappers": [],
    }
    edit_metadata(folder, env_spec=json.dumps(evil))
    assert len(load_dataset(folder)) == 20
    edit_metadata(folder, action_space=None)
    assert "metadata.json declares no action_space" in complaint(load_dataset, folder)


def test_a_space_that_would_fill_the_memory(folder):
    collect(Counter)
    box = {"type": "Box", "dtype": "float32", "shape": [10**12], "low": -1, "high": 1}
    edit_metadata(folder, observation_space=json.dumps(box))
    assert "observation_space has shape" in complaint(load_dataset, folder)


@pytest.mark.parametrize("key", ["rewards", "infos"])
def test_links_and_bombs_inside_episodes(folder, tmp_path, key):
    collect(Counter)
    main = folder / "data" / "main_data.hdf5"
    with h5py.File(main, "a") as file:
        if key in file["episode_1"]:
            del file["episode_1"][key]
        file["episode_1"][key] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
    line = complaint(load_dataset, folder)
    assert f"episode_1/{key} is an external link" in line
    with h5py.File(main, "a") as file:
        del file["episode_1"][key]
        file["episode_1"].create_dataset(key, (10**11,), "f4", chunks=(1000,))
    assert f"episode_1/{key} declares 372.5 GiB" in complaint(load_dataset, folder)


def test_lost_and_damaged_files(folder):
    collect(Counter)
    main = folder / "data" / "main_data.hdf5"
    content = main.read_bytes()
    main.write_bytes(content[: len(content) // 2])
    assert "damaged" in complaint(load_dataset, folder)
    main.unlink()
    assert "no main_data.hdf5" in complaint(load_dataset, folder)
    (folder / "data" / "metadata.json").write_text("{")
    assert "metadata.json cannot be read" in complaint(load_dataset, folder)
    (folder / "data" / "metadata.json").unlink()
    assert "not of a Minari dataset" in complaint(load_dataset, folder)


def test_wrong_lengths_name_the_episode(folder):
    collect(Counter)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        short = file["episode_2/observations"][:-1]
        del file["episode_2/observations"]
        file["episode_2/observations"] = short
    assert "episode 2 has 4 observations for 4 rewards, expected 5" in complaint(load_dataset, folder)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
@pytest.mark.usefixtures("folder")
def test_choices_of_either_format_keep_their_numbers_to_the_policys_answer(data_format):
    taken = collect(Choices, data_format=data_format)
    dataset = load_dataset("minari:test/counter-v0")
    np.testing.assert_array_equal(dataset.action, taken)
    agent = package.DiscreteBC(hidden=(8,), batch_size=16).fit(dataset, steps=5)
    assert {int(action) for action in agent.predict(dataset.observation)} <= {2, 3, 4, 5, 6}


def replace_part(folder, key, change):
    """Rewrite one array of the second episode, ``change`` applied to it."""
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        array = file[f"episode_1/{key}"][()]
        del file[f"episode_1/{key}"]
        file[f"episode_1/{key}"] = change(array)


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        (
            "terminations",
            lambda x: x + np.array([0, 0.5, 7, np.nan, 0, 0]),
            "terminations must be true/false or 0/1, row 1 is 0.5",
        ),
        ("truncations", lambda x: x * np.nan, "truncations must be true/false or 0/1, row 0 is nan"),
        ("truncations", lambda x: x.astype(int) - 1, "truncations must be true/false or 0/1, row 0 is -1"),
        ("observations", lambda x: x[:, :1], "observations of shape (7, 1), but observation_space declares 2 features"),
        ("observations", lambda x: x[..., None], "observations of shape (7, 2, 1)"),
        ("actions", lambda x: np.repeat(x, 3, 1), "actions of shape (6, 3), but action_space declares 1 feature"),
        ("actions", lambda x: x[:, 0], "actions of shape (6,), but action_space declares 1 feature"),
        ("rewards", lambda x: np.stack([x, x], 1), "rewards of shape (6, 2), expected one number per step"),
        ("observations", lambda x: x[:-1], "episode 1 has 6 observations for 6 rewards, expected 7: the last"),
    ],
)
def test_a_wrong_array_names_the_episode(folder, key, change, words):
    collect(Counter)
    replace_part(folder, key, change)
    line = complaint(load_dataset, folder)
    assert "episode 1" in line
    assert words in line


def test_flags_as_numbers_and_columns_of_one(folder):
    collect(Counter)
    expected = load_dataset(folder)
    replace_part(folder, "terminations", lambda x: x.astype("f4")[:, None])
    replace_part(folder, "truncations", lambda x: x.astype("i8"))
    replace_part(folder, "rewards", lambda x: x[:, None])
    assert load_dataset(folder).fingerprint == expected.fingerprint


def test_what_the_action_space_leaves_open_the_user_says(folder):
    collect(Counter)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        for episode in file.values():
            action = episode["actions"][()]
            del episode["actions"]
            episode["actions"] = np.repeat(action, 2, axis=1)
    half_open = {"type": "Box", "dtype": "float32", "shape": [2], "low": [0.0, -2.0], "high": [np.inf, 2.0]}
    edit_metadata(folder, action_space=json.dumps(half_open))
    line = complaint(load_dataset, folder)
    assert "the upper action bound is open in feature 0" in line
    assert "--action-low and --action-high" in line
    # One number is for the open feature alone; one per feature is for both.
    for high in (8, [8, 2]):
        spec = load_dataset(folder, action_high=high).spec
        assert (spec.action_low, spec.action_high) == ((0, -2), (8, 2))
    assert load_dataset(folder, action_low=-3, action_high=[8, 3]).spec.action_low == (-3, -3)
    assert "upper action bound is open" in complaint(load_dataset, folder, action_low=0)


@pytest.mark.parametrize("link", ["link", "symlink"])
def test_one_file_of_two_episodes_is_refused(folder, link):
    collect(Counter, data_format="arrow")
    one, other = (next(path for path in (folder / "data" / k).iterdir() if path.suffix == ".arrow") for k in "13")
    other.unlink()
    getattr(os, link)(one, other)
    assert f"3/{other.name} and 1/{one.name} are one file" in complaint(load_dataset, folder)


def test_one_object_under_two_names_is_refused_before_minari_reads_it(folder, monkeypatch):
    collect(Counter)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        del file["episode_3"]
        file["episode_3"] = file["episode_1"]

    def never(*_args, **_kwargs):
        raise AssertionError("the file was read")

    monkeypatch.setattr(minari, "MinariDataset", never)
    assert "episode_3 and episode_1 are one object (a hard link)" in complaint(load_dataset, folder)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        del file["episode_3"]
        file["episode_3/infos"] = file["episode_2/observations"]
    line = complaint(load_dataset, folder)
    assert "episode_3/infos and episode_2/observations are one object" in line


def test_a_flag_inside_an_episode_divides_it_and_is_said(folder):
    collect(Counter)
    replace_part(folder, "terminations", lambda x: np.arange(len(x)) == 2)
    dataset = load_dataset(folder)
    assert list(dataset.episode_lengths) == [4, 3, 3, 4, 6]
    assert dataset.terminated[6]
    (note,) = [note for note in dataset.notes if "flag after which" in note]
    assert note.startswith("1 row with a flag after which the recording goes on, the first is row 2 of episode 1:")


def test_episodes_that_the_metadata_do_not_count_are_said(folder):
    collect(Counter)
    edit_metadata(folder, total_episodes=3)
    dataset = load_dataset(folder)
    assert dataset.n_episodes == 3
    assert "metadata.json declares 3 episodes, the files hold 4: the others are not read" in dataset.notes


def test_a_choice_that_the_space_does_not_have_names_the_episode(folder):
    collect(Choices)
    replace_part(folder, "actions", lambda x: np.where(np.arange(len(x)) == 3, 7, x))
    assert "episode 1 has action 7 in step 3, but action_space declares 2 to 6" in complaint(load_dataset, folder)


def test_a_mask_that_is_missing_says_what_leaves_it_out(folder):
    collect(Choices)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        for key, episode in file.items():
            mask = np.ones((len(episode["rewards"]) + 1, 5), dtype="f4")
            mask[2] = np.nan if key == "episode_2" else 1
            episode.require_group("infos")["action_mask"] = mask
    line = complaint(load_dataset, folder)
    assert "action_masks must be true/false or 0/1, row 12 is not; skip_bad_episodes=True" in line
    assert load_dataset(folder, skip_bad_episodes=True).n_episodes == 3

"""What float32 would take away is kept or said. The right values are those of the source, digit by digit."""

import numpy as np
import pytest

from prudent.data import Dataset, convert, load_dataset
from prudent.data.precision import observation_type, rounding

ROWS = 2000


def features():
    """A Unix time with a reading every 10 s, an id of 8 digits, a level with noise of 1, and an ordinary feature."""
    draw = np.random.default_rng(0).normal(size=(ROWS, 2))
    time, number = 1.7e9 + np.arange(ROWS) * 10.0, 20_000_000.0 + np.arange(ROWS)
    return np.stack([time, number, 1e8 + draw[:, 0], draw[:, 1]], axis=1)


def dataset(observation, **changes):
    draw = np.random.default_rng(1)
    ends = np.zeros(len(observation), bool)
    ends[99::100] = True
    following = np.roll(observation, -1, axis=0)
    following[ends] = observation[ends]
    columns = {
        "observation": observation,
        "next_observation": following,
        "action": draw.uniform(-1, 1, (len(observation), 1)),
        "reward": draw.normal(size=len(observation)),
        "terminated": ends,
        "truncated": np.zeros(len(observation), bool),
    }
    return Dataset.from_columns(**(columns | changes))


def test_features_that_float32_blurs_are_kept_exact_and_named():
    data = dataset(features())
    assert data.observation.dtype == data.next_observation.dtype == np.float64
    np.testing.assert_array_equal(data.observation, features())
    (note,) = data.notes
    assert note.startswith("observation features 0, 1, 2 kept in float64")
    assert "round feature 0 (up to 1.70002e+09) by up to 64, and it usually changes by 10" in note


@pytest.mark.parametrize("kind", ["npz", "hdf5", "hdf5 without successors", "csv", "csv, shuffled", "parquet"])
def test_every_reader_keeps_them(tmp_path, kind):
    observation, ends = features(), np.zeros(ROWS, bool)
    ends[99::100] = True
    following = np.concatenate([observation[1:], observation[-1:]])
    action, reward = np.linspace(-1, 1, ROWS)[:, None], np.sin(np.arange(ROWS))
    columns = {"observations": observation, "actions": action, "rewards": reward, "terminals": ends}
    if kind == "npz":
        path = tmp_path / "log.npz"
        np.savez(path, next_observations=following, timeouts=np.zeros(ROWS, bool), **columns)
        data = load_dataset(path)
    elif kind.startswith("hdf5"):
        h5py = pytest.importorskip("h5py")
        path = tmp_path / "log.hdf5"
        with h5py.File(path, "w") as file:
            stated = {} if "without" in kind else {"next_observations": following}
            for key, column in {**columns, **stated, "timeouts": np.zeros(ROWS, bool)}.items():
                file[key] = column
        data = load_dataset(path)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        table = {f"s{k}": observation[:, k] for k in range(4)}
        table |= {"a": action[:, 0], "r": reward, "end": ends, "ep": np.arange(ROWS) // 100, "t": np.arange(ROWS)}
        order = np.random.default_rng(2).permutation(ROWS) if "shuffled" in kind else np.arange(ROWS)
        arrow = pyarrow.table({key: column[order] for key, column in table.items()})
        path = tmp_path / ("log.parquet" if kind == "parquet" else "log.csv")
        if kind == "parquet":
            pytest.importorskip("pyarrow.parquet").write_table(arrow, path)
        else:
            pytest.importorskip("pyarrow.csv").write_csv(arrow, path)
        names = {"observation": [f"s{k}" for k in range(4)], "action": "a", "reward": "r", "terminated": "end"}
        data = load_dataset(
            path, mapping=names | {"episode": "ep", "step": "t", "action_low": -1.0, "action_high": 1.0}
        )
    assert len(data) == ROWS
    # Episodes of a table come in the order in which they begin in the file.
    np.testing.assert_array_equal(data.observation[np.argsort(data.observation[:, 0])], observation)
    assert [len(np.unique(data.observation[:, k])) for k in range(3)] == [ROWS, ROWS, ROWS]


def test_ordinary_features_stay_float32():
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(ROWS, 3)).cumsum(0) * [1.0, 1e-3, 1e3] + [0.0, 300.0, 0.0]
    assert dataset(walk).observation.dtype == np.float32
    assert dataset(walk).notes == ()
    counts = np.tile(np.arange(ROWS)[:, None], (1, 2))
    assert dataset(counts).observation.dtype == np.float32, "whole numbers that float32 holds"
    jitter = 0.1 + 1e-17 * rng.normal(size=(ROWS, 1))
    assert dataset(jitter).observation.dtype == np.float32, "a constant with rounding errors is a constant"


def test_float64_is_not_kept_where_one_side_was_recorded_as_float32():
    wide, narrow = np.dtype(np.float64), np.dtype(np.float32)
    assert observation_type(features(), None, wide, narrow) == (np.float32, [])
    assert observation_type(features(), None, wide, wide)[0] is np.float64


def test_whole_numbers_of_8_bytes_are_kept():
    numbers = (features()[:, :1]).astype(np.int64)
    data = dataset(np.hstack([numbers, numbers % 7]))
    np.testing.assert_array_equal(data.observation[:, 0], numbers[:, 0])


def test_rounding_is_the_error_of_the_cast():
    column = features()
    figures = rounding(column)
    np.testing.assert_array_equal(figures.error, np.abs(column - column.astype(np.float32)).max(0))
    assert figures.coarse.tolist() == [True, True, True, False]


def test_rewards_and_actions_that_float32_blurs_are_named():
    rng = np.random.default_rng(0)
    notes = dataset(rng.normal(size=(ROWS, 1)), reward=1e9 + rng.normal(size=ROWS)).notes
    assert len(notes) == 1
    assert notes[0].startswith("rewards around 1e+09 rounded to float32 by up to 3.26")
    action = np.hstack([rng.uniform(-1, 1, (ROWS, 1)), 5e8 + rng.uniform(-1, 1, (ROWS, 1))])
    notes = dataset(rng.normal(size=(ROWS, 1)), action=action, action_low=[-1, 0], action_high=[1, 1e9]).notes
    assert len(notes) == 1
    assert notes[0].startswith("actions (feature 1) around 5e+08")


def test_differences_of_exact_features_are_not_taken_for_rounding():
    """With float32's tolerance a jump of 100 s in a Unix time would pass for rounding."""
    observation = features()
    following = np.roll(observation, -1, axis=0)
    following[500, 0] += 100.0
    data = dataset(observation, next_observation=following)
    assert np.flatnonzero(data.strays).tolist() == [500]


def test_whole_numbers_that_float64_just_holds_are_kept():
    numbers = 2**53 - 10**6 + np.stack([np.arange(ROWS), 2 * np.arange(ROWS)], axis=1)
    data = dataset(numbers)
    assert data.observation.dtype == np.float64
    np.testing.assert_array_equal(data.observation.astype(np.int64), numbers)
    assert not any("no float holds" in note for note in data.notes)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("reader", ["columns", "hdf5", "stream"])
def test_whole_numbers_that_no_float_holds_are_said(tmp_path, dtype, reader):
    numbers = np.stack([np.arange(ROWS), 2**62 + np.arange(ROWS)], axis=1).astype(dtype)
    ends = np.arange(ROWS) % 100 == 99
    if reader == "columns":
        data = dataset(numbers)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "log.hdf5", "w") as file:
            file["observations"], file["actions"] = numbers, np.linspace(-1, 1, ROWS)[:, None]
            file["rewards"], file["terminals"], file["timeouts"] = np.sin(np.arange(ROWS)), ends, np.zeros(ROWS)
        read = load_dataset if reader == "hdf5" else lambda path: convert(path, tmp_path / "folder")
        data = read(tmp_path / "log.hdf5")
    said = [note for note in data.notes if "whose last digits no float holds" in note]
    assert len(said) == 1
    assert said[0].startswith("observation feature 1 holds whole numbers of up to 4.61169e+18")
    constant = np.full((ROWS, 1), 2**62 + 1)
    assert not any("no float" in note for note in dataset(constant).notes), "nothing differs"

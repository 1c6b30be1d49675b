import h5py
import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5
from prudent.data import audit, convert, load_dataset
from prudent.data.readers import d4rl
from prudent.data.readers.declared import Declared


def read(tmp_path, columns, **options):
    return d4rl.read(write_hdf5(tmp_path / "log.hdf5", **columns), Declared(**options))


def no_row_crosses(dataset):
    """Every successor is of the row's own episode (feature 0), one step later unless value ended there."""
    assert (dataset.next_observation[:, 0] == dataset.observation[:, 0]).all()
    later = dataset.next_observation[:, 1] - dataset.observation[:, 1]
    assert (later[~dataset.terminated] == 1).all()


def test_the_following_row_is_the_successor_and_only_orphans_are_dropped(tmp_path):
    log = walk([4, 3, 5])
    timeouts = log["ends"] & (log["observations"][:, 0] == 100)
    dataset = read(tmp_path, flat(log, terminals=log["ends"] & ~timeouts, timeouts=timeouts))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [4, 2, 5]
    assert dataset.observation[:, 1].tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2, 3, 4]
    assert np.flatnonzero(dataset.terminated).tolist() == [3, 10]
    assert np.flatnonzero(dataset.truncated).tolist() == [5]
    assert any("1 row dropped" in note for note in dataset.notes)
    kept = np.array([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11])
    np.testing.assert_array_equal(dataset.action, log["actions"][kept])
    np.testing.assert_array_equal(dataset.reward, log["rewards"][kept])


def test_a_terminal_row_keeps_its_own_observation_as_successor(tmp_path):
    log = walk([3, 3])
    dataset = read(tmp_path, flat(log, terminals=log["ends"], timeouts=np.zeros(6, bool)))
    assert len(dataset) == 6
    np.testing.assert_array_equal(dataset.next_observation[[2, 5]], log["observations"][[2, 5]])


def test_a_row_that_is_terminal_and_timeout_is_terminal(tmp_path):
    log = walk([3, 3])
    dataset = read(tmp_path, flat(log, terminals=log["ends"], timeouts=log["ends"]))
    assert len(dataset) == 6
    assert not dataset.truncated.any()


def test_rows_after_the_last_flag_are_a_truncated_episode(tmp_path):
    log = walk([4, 6])
    terminals = log["ends"].copy()
    terminals[-1] = False
    dataset = read(tmp_path, flat(log, terminals=terminals, timeouts=np.zeros(10, bool)))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [4, 5]
    assert dataset.truncated[-1]
    assert any("after the last flag" in note for note in dataset.notes)


def test_an_episode_of_one_truncated_step_has_no_transition(tmp_path):
    log = walk([3, 1, 3])
    dataset = read(tmp_path, flat(log, terminals=np.zeros(7, bool), timeouts=log["ends"]))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [2, 2]


def test_halfcheetah_has_no_terminals(tmp_path):
    log = walk([5, 5])
    dataset = read(tmp_path, flat(log, terminals=np.zeros(10, bool), timeouts=log["ends"]))
    no_row_crosses(dataset)
    assert not dataset.terminated.any()
    assert dataset.n_episodes == 2
    without = read(tmp_path, flat(log, timeouts=log["ends"]))
    np.testing.assert_array_equal(without.observation, dataset.observation)
    assert any("no terminals" in note for note in without.notes)


# --- files with next_observations ---------------------------------------------------------------------------


def test_given_successors_are_used_and_no_row_is_dropped(tmp_path):
    log = walk([4, 3])
    columns = flat(log, next_observations=log["successor"], terminals=np.zeros(7, bool), timeouts=log["ends"])
    dataset = read(tmp_path, columns)
    np.testing.assert_array_equal(dataset.next_observation, log["successor"])
    assert np.flatnonzero(dataset.truncated).tolist() == [3, 6]
    assert dataset.notes == ()


def test_successors_taken_from_the_next_episode_are_not_believed(tmp_path):
    log = walk([4, 3, 3])
    shifted = np.concatenate([log["observations"][1:], log["observations"][-1:]])
    timeouts = log["ends"] & (log["observations"][:, 0] == 0)
    columns = flat(log, next_observations=shifted, terminals=log["ends"] & ~timeouts, timeouts=timeouts)
    dataset = read(tmp_path, columns)
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [3, 3, 3]
    assert any("next episode's first row" in note for note in dataset.notes)
    assert any("1 row dropped" in note for note in dataset.notes)


def test_differing_successors_prove_an_end_that_no_flag_marks(tmp_path):
    log = walk([4, 3, 5])
    dataset = read(tmp_path, flat(log, next_observations=log["successor"], terminals=np.zeros(12, bool)))
    assert dataset.episode_lengths.tolist() == [4, 3, 5]
    assert any("2 inferred where next_observations differs" in note for note in dataset.notes)
    flagged = np.zeros(12, bool)
    flagged[3] = True
    columns = flat(log, next_observations=log["successor"], terminals=np.zeros(12, bool), timeouts=flagged)
    dataset = read(tmp_path, columns)
    assert dataset.episode_lengths.tolist() == [4, 3, 5]
    assert any("row 6" in note for note in dataset.notes)


# --- missing and wrong timeouts -----------------------------------------------------------------------------


def drifting(lengths, size=6):
    """A walk whose features move little within an episode and all jump at a reset."""
    log = walk(lengths, size)
    rng = np.random.default_rng(1)
    starts = rng.normal(scale=20, size=(len(lengths), size - 2))
    log["observations"][:, 2:] += np.repeat(starts, lengths, axis=0).astype(np.float32)
    return log


def test_missing_timeouts_are_inferred_from_jumps(tmp_path):
    log = drifting([50, 70, 60])
    dataset = read(tmp_path, flat(log, terminals=np.zeros(180, bool)))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [49, 69, 59]
    assert any("2 inferred where the observation jumps" in note for note in dataset.notes)


def smooth(rows):
    """A log in which a reset cannot be seen."""
    rng = np.random.default_rng(2)
    observation = np.column_stack([np.zeros(rows), np.arange(rows), rng.normal(size=(rows, 2))])
    return flat({"observations": observation, "actions": rng.uniform(-1, 1, (rows, 1)), "rewards": np.ones(rows)})


def test_missing_timeouts_come_from_the_horizon(tmp_path):
    columns = smooth(2500) | {"terminals": np.zeros(2500, bool)}
    assumed = read(tmp_path, columns)
    assert assumed.episode_lengths.tolist() == [999, 999, 499]
    assert any("after 1000 steps, the usual time limit, assumed" in note for note in assumed.notes)
    told = read(tmp_path, columns, horizon=500)
    assert told.episode_lengths.tolist() == [499] * 5
    with h5py.File(tmp_path / "log.hdf5", "a") as file:
        file["metadata/max_episode_steps"] = 250
    assert d4rl.read(tmp_path / "log.hdf5").episode_lengths.tolist() == [249] * 10


def test_flags_that_are_never_set_count_as_missing(tmp_path):
    rows = np.zeros(2000, bool)
    dataset = read(tmp_path, smooth(2000) | {"terminals": rows, "timeouts": rows})
    assert dataset.n_episodes == 2
    assert any("neither terminals nor timeouts are ever set" in note for note in dataset.notes)


def test_the_horizon_counts_from_the_last_termination(tmp_path):
    terminals = np.zeros(100, bool)
    terminals[29] = True
    dataset = read(tmp_path, smooth(100) | {"terminals": terminals}, horizon=40)
    # Rows 30 to 69 reach the horizon, 70 to 99 do not; each loses the last row to the missing successor.
    assert dataset.episode_lengths.tolist() == [30, 39, 29]


def test_antmaze_v0_timeouts_drift_away_from_the_resets(tmp_path):
    log = drifting([101] * 20)
    timeouts = np.zeros(2020, bool)
    timeouts[99::100] = True
    dataset = read(tmp_path, flat(log, terminals=np.zeros(2020, bool), timeouts=timeouts))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [100] * 20
    assert any("moved to the 19 rows" in note and "row 100" in note for note in dataset.notes)


def test_right_timeouts_are_left_alone_when_something_else_jumps(tmp_path):
    log = drifting([100] * 10)
    log["observations"][450:, 2:] += 50  # a sensor was moved in the middle of an episode
    dataset = read(tmp_path, flat(log, terminals=np.zeros(1000, bool), timeouts=log["ends"]))
    assert dataset.episode_lengths.tolist() == [99] * 10


# --- d4rl-pybullet ------------------------------------------------------------------------------------------


def test_pybullet_episodes_end_at_terminals(tmp_path):
    log = walk([5, 7, 6])
    dataset = read(tmp_path, flat(log, terminals=log["ends"]))
    no_row_crosses(dataset)
    assert dataset.episode_lengths.tolist() == [5, 7, 6]
    assert dataset.terminated.sum() == 3
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("flags", "options", "word"),
    [
        (("terminals", "timeouts"), {"dones": "terminated"}, "dones"),
        (("terminals", "timeouts"), {"horizon": 6}, "horizon"),
        (("timeouts",), {"dones": "truncated"}, "dones"),
        ((), {"dones": "truncated"}, "dones"),
        (("terminals",), {"dones": "truncated", "horizon": 6}, "horizon"),
    ],
)
def test_what_the_flags_say_themselves_is_not_asked_for(tmp_path, flags, options, word):
    log = walk([6, 5])
    assert f"{word} does not apply to it" in complaint(
        read, tmp_path, flat(log, **dict.fromkeys(flags, log["ends"])), **options
    )


def test_equal_episode_lengths_look_like_a_time_limit(tmp_path):
    log = walk([6, 6, 6])
    columns = flat(log, terminals=log["ends"].astype(np.float32))
    assert any('dones="truncated"' in note for note in read(tmp_path, columns).notes)
    dataset = read(tmp_path, columns, dones="truncated")
    no_row_crosses(dataset)
    assert not dataset.terminated.any()
    assert dataset.episode_lengths.tolist() == [5, 5, 5]


# --- actions and refusals -----------------------------------------------------------------------------------


def test_bounds_are_declared_only_by_the_user(tmp_path):
    log = walk([4, 4])
    log["actions"][2, 1] = 1.7
    columns = flat(log, terminals=log["ends"])
    assert read(tmp_path, columns).spec.action_low is None
    assert read(tmp_path, columns, action_low=-2, action_high=[2, 2]).spec.action_high == (2, 2)
    line = complaint(read, tmp_path, columns, action_low=-1, action_high=1)
    assert "log.hdf5: 1 action lies outside" in line
    assert "row 2" in line


def bad(**changes):
    log = walk([4, 4])
    columns = flat(log, terminals=log["ends"], timeouts=np.zeros(8, bool))
    return {key: column for key, column in (columns | changes).items() if column is not None}


def with_value(row, value):
    observations = walk([4, 4])["observations"]
    observations[row, 1] = value
    return observations


def test_huge_numbers_are_numbers(tmp_path):
    columns = smooth(100) | {"terminals": np.zeros(100, bool)}
    columns["observations"] = np.where(np.arange(100) % 2, 3e38, -3e38).astype(np.float32)[:, None]
    assert len(audit(read(tmp_path, columns))) > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"observations": None}, "no observations"),
        ({"actions": None}, "no actions"),
        ({"rewards": None}, "no rewards"),
        ({"rewards": np.zeros(7)}, "rewards has 7 rows"),
        ({"rewards": np.zeros((8, 2))}, "rewards has shape (8, 2)"),
        ({"actions": np.zeros(8)}, "actions has shape (8,)"),
        ({"observations": np.zeros((8, 3, 3))}, "observations has shape (8, 3, 3)"),
        ({"next_observations": np.zeros((8, 4))}, "next_observations has shape (8, 4)"),
        (
            {"observations": with_value(5, np.nan)},
            "observations has 1 row with NaN or infinity, the first is row 5",
        ),
        ({"rewards": np.array([0, 0, np.inf, 0, 0, 0, 0, 0])}, "rewards has 1 row with NaN or infinity"),
        ({"rewards": np.full(8, 1e300)}, "rewards has 8 rows"),
        ({"terminals": np.full(8, 2)}, "terminals must be true/false or 0/1, row 0 is 2"),
        ({"terminals": np.full(8, np.nan)}, "terminals must be true/false or 0/1"),
        ({"rewards": np.array([b"x"] * 8)}, "rewards holds |S1, not numbers"),
        ({"rewards": np.zeros(8, complex)}, "rewards holds complex128, not numbers"),
        ({"rewards": 3.0}, "rewards has no rows"),
    ],
)
def test_bad_columns_get_one_clear_line(tmp_path, changes, words):
    line = complaint(read, tmp_path, bad(**changes))
    assert line.startswith("log.hdf5: ")
    assert words in line


def test_no_rows(tmp_path):
    columns = {key: column[:0] for key, column in bad().items()}
    assert "no rows" in complaint(read, tmp_path, columns)


def test_no_row_with_a_successor(tmp_path):
    log = walk([1, 1])
    assert "no row has a successor" in complaint(read, tmp_path, flat(log, timeouts=log["ends"]))


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("mask", "action_masks"),
        ("next_action_mask", "next_action_masks"),
    ],
)
def test_columns_under_a_wrong_name_are_refused(tmp_path, key, right):
    log = walk([4, 3, 5])
    line = complaint(read, tmp_path, flat(log, terminals=log["ends"], **{key: log["ends"]}))
    assert line == f"log.hdf5: {key} is not read: the column is called {right}, rename it in the file"


def test_keys_that_nobody_reads_are_said(tmp_path):
    log = walk([4, 3, 5])
    harmless = {"infos/goal": np.zeros(12), "metadata/algorithm": 1, "extra/dt": np.ones(12)}
    dataset = read(tmp_path, flat(log, terminals=log["ends"], **harmless))
    assert not any("not read" in note for note in dataset.notes)
    more = {"weights": np.zeros(12), "extra/grop": np.zeros(12)}
    path = write_hdf5(tmp_path / "more.hdf5", **flat(log, terminals=log["ends"], **harmless, **more))
    notes = load_dataset(path).notes
    assert notes[0] == "keys not read: extra/grop (did you mean extra/group?), weights"
    assert convert(path, tmp_path / "more").notes == notes
    del harmless["extra/dt"]
    line = complaint(read, tmp_path, {"reward" if k == "rewards" else k: c for k, c in flat(log, **harmless).items()})
    assert line.endswith("; keys not read: reward (did you mean rewards?)")

"""Masks are read, checked by row, and stay with their row."""

import h5py
import numpy as np
import pytest

from helpers.data_logs import complaint, walk, write_hdf5, write_npz
from prudent.data import Dataset, audit, load_dataset

LENGTHS = (4, 3, 5)
ROWS = sum(LENGTHS)


def masked(lengths=LENGTHS, n=5):
    """A flat log in which row i takes action i % 3 and forbids only 3 + i % 2: a mask shows which row it belongs to."""
    log = walk(lengths)
    rows = np.arange(len(log["ends"]))
    log["actions"] = rows % 3
    log["masks"] = np.ones((len(rows), n), dtype=bool)
    log["masks"][rows, 3 + rows % 2] = False
    last = np.flatnonzero(log["ends"])
    log["next_masks"] = np.concatenate([log["masks"][1:], log["masks"][:1]])
    log["next_masks"][last] = np.array([True, True, True, False, False])[:n]
    return log


def columns(log, *more, **changes):
    keys = ("observations", "actions", "rewards", *more)
    table = {key: log[key] for key in keys}
    return table | {"n_actions": 5, "action_masks": log["masks"]} | changes


def build(**changes):
    log = masked()
    table = {
        "observation": log["observations"],
        "action": log["actions"],
        "reward": log["rewards"],
        "next_observation": log["successor"],
        "terminated": np.zeros(ROWS, bool),
        "truncated": log["ends"],
        "discrete": True,
        "extra": {"mask": log["masks"], "next_mask": log["next_masks"]},
    }
    return Dataset.from_columns(**(table | changes))


def changed(key, row, value):
    log = masked()
    extra = {"mask": log["masks"], "next_mask": log["next_masks"]}
    extra[key][row] = value
    return extra


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_npz_with_both(tmp_path, kind):
    log = masked()
    table = columns(log, next_observations=log["successor"], timeouts=log["ends"], terminals=np.zeros(ROWS, bool))
    table |= {"action_masks": log["masks"].astype(kind), "next_action_masks": log["next_masks"].astype(kind)}
    dataset = load_dataset(write_npz(tmp_path / "log.npz", **table))
    np.testing.assert_array_equal(dataset.extra["mask"], log["masks"])
    np.testing.assert_array_equal(dataset.extra["next_mask"], log["next_masks"])
    assert dataset.extra["mask"].dtype == bool
    assert dataset.spec.action_size == 5


def test_hdf5_with_both(tmp_path):
    log = masked()
    table = columns(log, next_observations=log["successor"], terminals=np.zeros(ROWS, bool), timeouts=log["ends"])
    del table["n_actions"]
    path = write_hdf5(tmp_path / "log.hdf5", **table, next_action_masks=log["next_masks"])
    with h5py.File(path, "a") as file:
        file["metadata/n_actions"] = 5
    dataset = load_dataset(path)
    np.testing.assert_array_equal(dataset.extra["mask"], log["masks"])
    np.testing.assert_array_equal(dataset.extra["next_mask"], log["next_masks"])


@pytest.mark.parametrize("with_successors", [True, False])
@pytest.mark.parametrize("write", [write_npz, write_hdf5])
def test_next_masks_follow_from_the_rows(tmp_path, write, with_successors):
    """Episodes 0 and 2 end by a time limit: the masks after them are unknown. Episode 1 terminates."""
    log = masked()
    terminals = log["ends"] & (log["observations"][:, 0] == 100)
    table = columns(log, terminals=terminals, timeouts=log["ends"] & ~terminals)
    if with_successors:
        table["next_observations"] = log["successor"]
    elif write is write_npz:
        pytest.skip("npz files have next_observations")
    if write is write_hdf5:
        del table["n_actions"]
    path = write(tmp_path / ("log.npz" if write is write_npz else "log.hdf5"), **table)
    dataset = load_dataset(path, n_actions=5)
    assert dataset.episode_lengths.tolist() == [3, 3, 4]
    rows = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(dataset.action, rows % 3)
    np.testing.assert_array_equal(dataset.extra["mask"], log["masks"][rows])
    expected = log["masks"][rows + 1]
    expected[5] = True  # after the termination
    np.testing.assert_array_equal(dataset.extra["next_mask"], expected)
    assert np.flatnonzero(dataset.truncated).tolist() == [2, 9]
    lacking = "next_action_masks" if with_successors else "successor"
    assert any("2 rows dropped" in note and lacking in note for note in dataset.notes)


def test_rows_after_the_last_flag(tmp_path):
    log = masked((4, 3))
    dones = log["ends"].copy()
    dones[-1] = False
    table = columns(log, next_observations=log["successor"], dones=dones)
    dataset = load_dataset(write_npz(tmp_path / "log.npz", **table))
    assert dataset.episode_lengths.tolist() == [4, 2]
    np.testing.assert_array_equal(dataset.extra["next_mask"][4:], log["masks"][5:])


def test_shuffled_rows_have_no_next_masks(tmp_path):
    log = masked((40, 30))
    order = np.random.default_rng(0).permutation(70)
    table = columns(log, next_observations=log["successor"], dones=log["ends"], next_action_masks=log["next_masks"])
    shuffled = {key: column if key == "n_actions" else column[order] for key, column in table.items()}
    dataset = load_dataset(write_npz(tmp_path / "a.npz", **shuffled))
    np.testing.assert_array_equal(dataset.extra["mask"], log["masks"][order])
    del shuffled["next_action_masks"]
    line = complaint(load_dataset, write_npz(tmp_path / "b.npz", **shuffled))
    assert "b.npz: rows stand in no order of time, so action_masks needs next_action_masks" in line


def test_refusals_of_files(tmp_path):
    log = masked()
    table = columns(log, next_observations=log["successor"], dones=log["ends"])
    del table["action_masks"]
    line = complaint(load_dataset, write_npz(tmp_path / "a.npz", **table, next_action_masks=log["next_masks"]))
    assert line == "a.npz: next_action_masks without action_masks"
    table |= {"action_masks": log["masks"]}
    line = complaint(load_dataset, write_npz(tmp_path / "b.npz", **table), n_actions=4)
    assert "b.npz: action_masks has 5 columns, but 4 actions are declared" in line
    table |= {"n_actions": 5, "action_masks": log["masks"] * 0.5}
    line = complaint(load_dataset, write_npz(tmp_path / "c.npz", **table))
    assert line == "c.npz: action_masks must be true/false or 0/1, row 0 is not"


def test_a_declared_number_of_actions_in_hdf5(tmp_path):
    log = masked()
    table = {key: log[key] for key in ("observations", "actions", "rewards")} | {"terminals": log["ends"]}
    path = write_hdf5(tmp_path / "log.hdf5", **table)
    assert "actions are whole numbers from 0 to 2" in complaint(load_dataset, path)
    assert load_dataset(path, discrete=True).spec.action_size == 3
    with h5py.File(path, "a") as file:
        file.attrs["n_actions"] = 4
    assert load_dataset(path).spec.action_size == 4
    assert load_dataset(path, n_actions=6).spec.action_size == 6
    assert "only 2 are declared" in complaint(load_dataset, path, n_actions=2)
    with h5py.File(path, "a") as file:
        file["metadata/discrete"] = False
    assert "declared continuous" in complaint(load_dataset, path)
    with h5py.File(path, "a") as file:
        file.attrs["n_actions"] = 1.5
    assert "log.hdf5: n_actions must be one whole number from 1" in complaint(load_dataset, path)


# --- checks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"extra": changed("mask", 4, False)}, "action_masks forbids every action in 1 row, the first is row 4"),
        (
            {"extra": changed("next_mask", 2, False)},
            "next_action_masks forbids every action in 1 row, the first is row 2",
        ),
        (
            {"extra": changed("mask", (7, 1), False)},
            "forbids the action taken in 1 row, the first is row 7 with action 1",
        ),
        ({"extra": {"mask": masked()["masks"]}}, "action_masks without next_action_masks"),
        ({"extra": changed("mask", 0, True) | {"next_mask": np.ones((ROWS, 4))}}, "next_action_masks (12, 4)"),
        ({"extra": dict.fromkeys(("mask", "next_mask"), np.ones(ROWS))}, "action_masks has shape (12,)"),
        ({"extra": dict.fromkeys(("mask", "next_mask"), np.ones((3, 5)))}, "mask has 3 rows"),
        ({"extra": dict.fromkeys(("mask", "next_mask"), np.full((ROWS, 5), 2))}, "row 0 is not"),
        ({"extra": dict.fromkeys(("mask", "next_mask"), np.ones((ROWS, 2)))}, "actions go up to 2, but only 2"),
        ({"action": np.zeros((ROWS, 1)), "discrete": False}, "action_masks are for discrete actions"),
    ],
)
def test_wrong_masks(changes, words):
    assert words in complaint(build, **changes)


def test_after_a_termination_nothing_is_forbidden():
    extra = changed("next_mask", 3, False)
    terminated = np.zeros(ROWS, bool)
    terminated[3] = True
    assert build(extra=extra, terminated=terminated).extra["next_mask"][3].all()


def test_masks_stay_with_their_rows():
    data = build()
    assert data.spec.action_size == 5
    selection = data.episodes([2, 0])
    rows = np.r_[7:12, 0:4]
    np.testing.assert_array_equal(selection.extra["mask"], data.extra["mask"][rows])
    np.testing.assert_array_equal(selection.extra["next_mask"], data.extra["next_mask"][rows])
    first, second = data.split(0.5)
    assert len(first.extra["mask"]) + len(second.extra["next_mask"]) == ROWS
    assert data.fingerprint != build(extra={}, n_actions=5).fingerprint


def test_joining_keeps_masks_and_fills_missing_ones():
    data, without = build(), build(extra={})
    for parts in ([data, without], [without, data]):
        joined = Dataset.join(parts)
        assert joined.spec.action_size == 5
        assert joined.extra["mask"].shape == joined.extra["next_mask"].shape == (2 * ROWS, 5)
        masked_rows = slice(0, ROWS) if parts[0] is data else slice(ROWS, None)
        np.testing.assert_array_equal(joined.extra["mask"][masked_rows], data.extra["mask"])
        assert joined.extra["mask"].sum() == data.extra["mask"].sum() + 5 * ROWS
        assert any("every action counts as allowed" in note for note in joined.notes)
    more = build(extra={}, n_actions=6, name="more")
    assert "dataset has masks of 5 actions, but there are 6 actions in all" in complaint(Dataset.join, [data, more])


def test_a_next_mask_of_another_row_is_found():
    finding = next(f for f in audit(build(extra=changed("next_mask", 1, True))) if "mask" in f.kind)
    assert (finding.kind, finding.rows) == ("mask mismatch", (1,))
    assert not any("mask" in f.kind for f in audit(build()))

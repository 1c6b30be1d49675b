"""What follows a terminal row may be missing, in every format; what follows any other row may not."""

import csv

import h5py
import numpy as np
import pytest

from helpers.data_logs import complaint, walk, write_hdf5, write_npz
from prudent.data import Dataset, convert, load_dataset

LENGTHS = (4, 3, 5, 2)
LAST = np.cumsum(LENGTHS) - 1
ROLES = {
    "episode": "id",
    "observation": ["x", "y", "z"],
    "action": ["u", "w"],
    "reward": "r",
    "terminated": "end",
    "next_observation": ["nx", "ny", "nz"],
}
NOTE = "3 terminal rows without a next observation; replaced by the row's own, which no value depends on"


def log(missing=(0, 1, 2), terminated=(0, 1, 2), value=np.nan):
    """Four episodes of which some terminate, and some lack the observation after their end."""
    flat = walk(LENGTHS)
    terminals = np.zeros(len(flat["ends"]), dtype=bool)
    terminals[LAST[list(terminated)]] = True
    successor = flat["successor"].copy()
    # One feature is enough to make the row useless.
    successor[LAST[list(missing)], 1] = value
    return {
        "observations": flat["observations"],
        "next_observations": successor,
        "actions": flat["actions"],
        "rewards": flat["rewards"],
        "terminals": terminals,
        "timeouts": flat["ends"] & ~terminals,
    }


def write_csv(path, raw):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "x", "y", "z", "u", "w", "r", "end", "nx", "ny", "nz"])
        for row, episode in enumerate(np.repeat(range(len(LENGTHS)), LENGTHS)):
            numbers = [*raw["observations"][row], *raw["actions"][row], raw["rewards"][row], int(raw["terminals"][row])]
            after = ["" if np.isnan(value) else value for value in raw["next_observations"][row]]
            writer.writerow([episode, *numbers, *after])
    return path


def from_columns(raw):
    names = {"observations": "observation", "next_observations": "next_observation", "actions": "action"}
    names |= {"rewards": "reward", "terminals": "terminated", "timeouts": "truncated"}
    return Dataset.from_columns(**{names[key]: column for key, column in raw.items()})


READERS = {
    "npz": lambda folder, raw: load_dataset(write_npz(folder / "log.npz", **raw)),
    "hdf5": lambda folder, raw: load_dataset(write_hdf5(folder / "log.hdf5", **raw)),
    "blocks": lambda folder, raw: convert(write_hdf5(folder / "log.hdf5", **raw), folder / "log"),
    "converted npz": lambda folder, raw: convert(write_npz(folder / "log.npz", **raw), folder / "log"),
    "csv": lambda folder, raw: load_dataset(write_csv(folder / "log.csv", raw), mapping=ROLES),
    "columns": lambda _, raw: from_columns(raw),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("reader", READERS)
def test_a_terminal_row_needs_no_successor(tmp_path, reader, value):
    raw = log(value=value)
    dataset = READERS[reader](tmp_path, raw)
    assert NOTE in dataset.notes
    assert len(dataset) == sum(LENGTHS)
    np.testing.assert_array_equal(dataset.next_observation[LAST[:3]], raw["observations"][LAST[:3]])
    inside = np.delete(np.arange(sum(LENGTHS)), LAST[:3])
    np.testing.assert_array_equal(dataset.next_observation[inside], raw["next_observations"][inside])
    assert np.flatnonzero(dataset.terminated).tolist() == LAST[:3].tolist()


@pytest.mark.parametrize("reader", READERS)
def test_any_other_row_needs_one(tmp_path, reader):
    line = complaint(READERS[reader], tmp_path, log(missing=(0, 3)))
    assert "1 row" in line
    assert "the first is row 13; it did not terminate, so its value is reckoned from what comes next" in line
    assert ("(--skip-bad-episodes) leaves such episodes out" in line) == (reader != "columns")


def test_blocks_and_memory_agree(tmp_path):
    path = write_hdf5(tmp_path / "log.hdf5", **log())
    loaded, converted = load_dataset(path), convert(path, tmp_path / "log")
    assert loaded.fingerprint == converted.fingerprint
    assert loaded.notes == converted.notes


def test_flags_that_the_user_reads_as_time_limits_need_one(tmp_path):
    raw = log()
    dones = {key: column for key, column in raw.items() if key not in ("terminals", "timeouts")}
    path = write_npz(tmp_path / "log.npz", **dones, dones=raw["terminals"] | raw["timeouts"])
    assert len(load_dataset(path)) == sum(LENGTHS)
    assert "it did not terminate" in complaint(load_dataset, path, dones="truncated")


def masked(missing):
    raw = log(missing=())
    mask = np.ones((sum(LENGTHS), 3))
    following = mask.copy()
    following[missing] = np.nan
    choices = np.arange(sum(LENGTHS)) % 3
    return raw | {"actions": choices, "action_masks": mask, "next_action_masks": following}


@pytest.mark.parametrize("reader", ["npz", "hdf5", "blocks"])
def test_a_terminal_row_needs_no_next_mask(tmp_path, reader):
    raw = masked(LAST[:2])
    suffix = "npz" if reader == "npz" else "hdf5"
    path = (write_npz if reader == "npz" else write_hdf5)(tmp_path / f"log.{suffix}", **raw)
    dataset = (
        convert(path, tmp_path / "log", discrete=True) if reader == "blocks" else load_dataset(path, discrete=True)
    )
    assert "2 terminal rows without a next action mask: no action is chosen there" in dataset.notes
    assert dataset.extra["next_mask"].all()
    bad = masked(LAST[-1:])
    path = (write_npz if reader == "npz" else write_hdf5)(tmp_path / f"bad.{suffix}", **bad)
    assert "next_action_masks must be true/false or 0/1, row 13" in complaint(load_dataset, path, discrete=True)


def test_cells_of_a_next_mask_may_be_empty_after_a_termination(tmp_path):
    raw = masked(LAST[:2])
    names = ["id", "x", "u", "r", "end", "m0", "m1", "m2", "n0", "n1", "n2"]
    lines = [",".join(names)]
    for row, episode in enumerate(np.repeat(range(len(LENGTHS)), LENGTHS)):
        after = ["" if np.isnan(value) else int(value) for value in raw["next_action_masks"][row]]
        cells = [episode, row, raw["actions"][row], 1, int(raw["terminals"][row]), 1, 1, 1, *after]
        lines.append(",".join(map(str, cells)))
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    roles = {"episode": "id", "observation": "x", "action": "u", "reward": "r", "terminated": "end", "discrete": True}
    roles |= {"mask": names[5:8], "next_mask": names[8:]}
    dataset = load_dataset(path, mapping=roles)
    assert "2 terminal rows without a next action mask: no action is chosen there" in dataset.notes
    assert dataset.extra["next_mask"].all()
    path.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 1)[0] + ",", *lines[3:]]) + "\n")
    assert "column 'n2' for next_mask is empty in row 1" in complaint(load_dataset, path, mapping=roles)


def test_the_users_own_columns_are_not_changed():
    raw = log()
    before = raw["next_observations"].copy()
    from_columns(raw)
    np.testing.assert_array_equal(raw["next_observations"], before)


def test_a_file_with_true_successors_may_lack_them_too(tmp_path):
    path = write_hdf5(tmp_path / "log.hdf5", **log())
    with h5py.File(path, "r+") as file:
        file["metadata/true_successors"] = 1
    loaded, converted = load_dataset(path), convert(path, tmp_path / "log")
    assert NOTE in loaded.notes
    assert loaded.notes == converted.notes
    assert loaded.fingerprint == converted.fingerprint

"""Episodes with bad rows are left out if the user says so: what is left is the log without them."""

import csv
import json

import h5py
import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from helpers.data_logs import complaint, walk, write_hdf5, write_npz
from prudent import cli
from prudent.data import convert, load_dataset
from prudent.data.dataset import COLUMNS

LENGTHS = (4, 3, 5, 2, 6, 4)
EPISODE = np.repeat(range(len(LENGTHS)), LENGTHS)
START = np.cumsum([0, *LENGTHS])
BAD = (1, 2, 4)
ROLES = {
    "episode": "id",
    "step": "t",
    "observation": ["x", "y", "z"],
    "action": ["u", "w"],
    "reward": "r",
    "terminated": "end",
    "truncated": "cut",
    "next_observation": ["nx", "ny", "nz"],
}
HINT = "; skip_bad_episodes=True (--skip-bad-episodes) leaves such episodes out"
NOTE = "3 of 6 episodes left out because of bad rows; the first: episode {}, row 5: reward is "


def log(faults=True):
    """Six episodes that terminate and are truncated in turn; three of them have a bad row."""
    flat = walk(LENGTHS)
    terminals = flat["ends"] & (EPISODE % 2 == 0)
    raw = {
        "observations": flat["observations"].astype(float),
        "next_observations": flat["successor"].astype(float),
        "actions": flat["actions"].astype(float),
        "rewards": flat["rewards"].astype(float),
        "terminals": terminals,
        "timeouts": flat["ends"] & ~terminals,
    }
    if faults:
        raw["rewards"][START[1] + 1] = np.nan
        raw["observations"][START[2], 2] = np.inf
        raw["actions"][START[5] - 1, 0] = np.nan
    return raw


def without_bad(raw):
    keep = ~np.isin(EPISODE, BAD)
    return {key: column[keep] for key, column in raw.items()}


def write_csv(path, raw, episode=EPISODE):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "t", "x", "y", "z", "u", "w", "r", "end", "cut", "nx", "ny", "nz"])
        for row, number in enumerate(episode):
            step = row - np.flatnonzero(episode == number)[0]
            flags = int(raw["terminals"][row]), int(raw["timeouts"][row])
            numbers = [*raw["observations"][row], *raw["actions"][row], raw["rewards"][row]]
            writer.writerow([f"e{number}", step, *numbers, *flags, *raw["next_observations"][row]])
    return path


def write_parquet(path, raw, episode=EPISODE):
    table = write_csv(path.with_suffix(".csv"), raw, episode)
    pq.write_table(arrow_csv.read_csv(table), path)
    return path


def keys(raw, *names):
    return {key: column for key, column in raw.items() if key not in names}


READERS = {
    "npz": lambda path, raw, _, **options: load_dataset(write_npz(path / "log.npz", **raw), **options),
    "hdf5": lambda path, raw, _, **options: load_dataset(write_hdf5(path / "log.hdf5", **raw), **options),
    "hdf5 without successors": lambda path, raw, _, **options: load_dataset(
        write_hdf5(path / "log.hdf5", **keys(raw, "next_observations")), **options
    ),
    "blocks": lambda path, raw, _, **options: convert(
        write_hdf5(path / "log.hdf5", **raw), path / f"log{len(list(path.iterdir()))}", **options
    ),
    "csv": lambda path, raw, episode, **options: load_dataset(
        write_csv(path / "log.csv", raw, episode), mapping=ROLES, **options
    ),
    "parquet": lambda path, raw, episode, **options: load_dataset(
        write_parquet(path / "log.parquet", raw, episode), mapping=ROLES, **options
    ),
    "flags alone": lambda path, raw, episode, **options: load_dataset(
        write_csv(path / "log.csv", raw, episode),
        mapping={key: value for key, value in ROLES.items() if key not in ("episode", "step")},
        **options,
    ),
}


def assert_same(dataset, other):
    for key in COLUMNS:
        np.testing.assert_array_equal(getattr(dataset, key), getattr(other, key), err_msg=key)
    assert dataset.fingerprint == other.fingerprint


@pytest.mark.parametrize("reader", READERS)
def test_what_is_left_is_the_log_without_them(tmp_path, reader):
    read = READERS[reader]
    dataset = read(tmp_path, log(), EPISODE, skip_bad_episodes=True)
    label = {"csv": "'e1'", "parquet": "'e1'"}.get(reader, "1")
    assert [note for note in dataset.notes if note.startswith(NOTE.format(label))], dataset.notes
    assert dataset.n_episodes == 3
    assert_same(dataset, read(tmp_path, without_bad(log()), EPISODE[~np.isin(EPISODE, BAD)]))


@pytest.mark.parametrize("reader", READERS)
def test_without_the_option_the_line_says_how(tmp_path, reader):
    assert complaint(READERS[reader], tmp_path, log(), EPISODE).endswith(HINT)


@pytest.mark.parametrize("reader", READERS)
def test_a_sound_log_is_left_alone(tmp_path, reader):
    dataset = READERS[reader](tmp_path, log(faults=False), EPISODE, skip_bad_episodes=True)
    assert "no episode had to be left out" in dataset.notes
    assert_same(dataset, READERS[reader](tmp_path, log(faults=False), EPISODE))


@pytest.mark.parametrize("reader", READERS)
def test_something_has_to_be_left(tmp_path, reader):
    raw = log()
    raw["rewards"][START[:-1]] = np.nan
    line = complaint(READERS[reader], tmp_path, raw, EPISODE, skip_bad_episodes=True)
    assert "nothing is left, all 6 episodes have bad rows; the first: episode" in line
    assert HINT not in line


def test_successors_count_where_a_row_did_not_terminate(tmp_path):
    raw = log(faults=False)
    raw["next_observations"][START[1:5] - 1] = np.nan
    for reader in ("npz", "hdf5", "blocks", "csv"):
        dataset = READERS[reader](tmp_path, raw, EPISODE, skip_bad_episodes=True)
        assert dataset.n_episodes == 4, reader
        assert any("2 of 6 episodes left out" in note for note in dataset.notes)
        assert any("next observation is" in note for note in dataset.notes)
        assert any(note.startswith("2 terminal rows without a next observation") for note in dataset.notes)


@pytest.mark.parametrize("reader", ["npz", "hdf5", "blocks", "hdf5 without successors"])
def test_a_log_without_a_sound_row_is_refused(tmp_path, reader):
    raw = log()
    raw["rewards"][:] = np.nan
    line = complaint(READERS[reader], tmp_path, raw, EPISODE, skip_bad_episodes=True)
    assert "no row is sound; the first, row 0: reward is NaN" in line


@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("place", [0, -1])
def test_an_end_that_nothing_flags_and_a_bad_row_hides_costs_both_neighbours(tmp_path, stated, place):
    flat = walk((60,) * 6)
    raw = {key: flat[key] for key in ("observations", "actions", "rewards")}
    if stated:
        raw["next_observations"] = flat["successor"]
        raw["next_observations"][119] = np.nan
    raw["observations"][120 + place, 2] = np.nan
    path = write_hdf5(tmp_path / "log.hdf5", **raw)
    dataset = load_dataset(path, skip_bad_episodes=True)
    assert set(dataset.observation[:, 0] // 100) == {0, 3, 4, 5}
    assert convert(path, tmp_path / "log", skip_bad_episodes=True).fingerprint == dataset.fingerprint


def test_choices_and_masks(tmp_path):
    raw = log(faults=False)
    raw["actions"] = (np.arange(len(EPISODE)) % 3).astype(float)
    raw["action_masks"] = np.ones((len(EPISODE), 3))
    raw["actions"][START[1]] = np.nan
    raw["action_masks"][START[4], 0] = np.nan
    path = write_hdf5(tmp_path / "log.hdf5", **raw)
    dataset = load_dataset(path, discrete=True, skip_bad_episodes=True)
    assert dataset.n_episodes == 4
    assert dataset.extra["mask"].all()
    assert convert(path, tmp_path / "log", discrete=True, skip_bad_episodes=True).fingerprint == dataset.fingerprint
    assert "choices, or amounts?" in complaint(load_dataset, path, skip_bad_episodes=True)
    assert complaint(load_dataset, path, discrete=True).endswith(HINT)


# --- faults of tables ---------------------------------------------------------------------------------------


def cell(row, column, value):
    def edit(lines):
        names = lines[0].split(",")
        cells = lines[row + 1].split(",")
        cells[names.index(column)] = value
        lines[row + 1] = ",".join(cells)

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (cell(5, "r", "broken"), "row 5: reward is empty or no number"),
        (cell(5, "r", ""), "row 5: reward is empty or no number"),
        (cell(5, "x", "inf"), "row 5: observation is infinite"),
        (cell(5, "x", "1e300"), "row 5: observation is NaN or infinite"),
        (cell(5, "t", "0"), "row 5: step 0 occurs twice"),
        (cell(5, "t", "?"), "row 5: step is empty or no number"),
        (cell(5, "end", "1"), "row 5: terminated is set, and the episode goes on"),
        (cell(5, "cut", "perhaps"), "row 5: truncated is 'perhaps'"),
        (cell(6, "nx", ""), "row 6: its next observation is missing or infinite"),
    ],
)
def test_every_fault_of_a_table_costs_its_episode(tmp_path, edit, words):
    path = write_csv(tmp_path / "log.csv", log(faults=False))
    lines = path.read_text().splitlines()
    edit(lines)
    path.write_text("\n".join(lines) + "\n")
    assert complaint(load_dataset, path, mapping=ROLES).endswith(HINT)
    dataset = load_dataset(path, mapping=ROLES, skip_bad_episodes=True)
    assert f"1 of 6 episodes left out because of bad rows; the first: episode 'e1', {words}" in dataset.notes
    assert dataset.n_episodes == 5


@pytest.mark.parametrize(
    "stamp", ["2026-03-01T00:00:{:02d}", "2026-03-01T00:00:{:02d}Z", "{}", "17000000000000000{:02d}"]
)
def test_points_in_time_are_read_beside_cells_that_are_none(tmp_path, stamp):
    raw = log(faults=False)
    path = write_csv(tmp_path / "log.csv", raw)
    lines = path.read_text().splitlines()
    for row in range(len(EPISODE)):
        cell(row, "t", stamp.format(row))(lines)
    roles = {key: value for key, value in ROLES.items() if key != "step"} | {"time": "t"}
    path.write_text("\n".join(lines) + "\n")
    sound = load_dataset(path, mapping=roles)
    cell(5, "t", "unknown")(lines)
    path.write_text("\n".join(lines) + "\n")
    dataset = load_dataset(path, mapping=roles, skip_bad_episodes=True)
    assert dataset.n_episodes == 5
    np.testing.assert_array_equal(dataset.extra["dt"], sound.extra["dt"][EPISODE != 1])


def test_rows_of_an_unknown_episode_cannot_be_left_out(tmp_path):
    path = write_csv(tmp_path / "log.csv", log(faults=False))
    lines = path.read_text().splitlines()
    cell(5, "id", "")(lines)
    path.write_text("\n".join(lines) + "\n")
    for skip in (False, True):
        line = complaint(load_dataset, path, mapping=ROLES, skip_bad_episodes=skip)
        assert line.endswith("column 'id' for episode is empty in row 5; rows of unknown episode cannot be left out")


# --- Minari, other sources, the command line ------------------------------------------------------------------


def test_minari(tmp_path):
    pytest.importorskip("minari")
    gymnasium = pytest.importorskip("gymnasium")
    from minari.serialization import serialize_space

    folder = tmp_path / "own" / "data"
    folder.mkdir(parents=True)
    raw = log(faults=False)
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        for number in range(len(LENGTHS)):
            rows = slice(START[number], START[number + 1])
            part = file.create_group(f"episode_{number}")
            part.attrs["id"] = number
            part.attrs["total_steps"] = LENGTHS[number]
            observations = np.concatenate([raw["observations"][rows], raw["next_observations"][rows][-1:]])
            if number == 3:
                observations = observations[:-1]
            observations[-1] = np.nan if number in (0, 5) else observations[-1]
            part["observations"] = observations.astype(np.float32)
            part["actions"] = raw["actions"][rows].astype(np.float32)
            part["rewards"] = np.where(number == 4, np.nan, raw["rewards"][rows])
            part["terminations"] = raw["terminals"][rows]
            part["truncations"] = raw["timeouts"][rows]
    spaces = {
        "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
        "action_space": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
    }
    metadata = {key: serialize_space(space) for key, space in spaces.items()}
    metadata |= {"total_episodes": len(LENGTHS), "total_steps": len(EPISODE), "data_format": "hdf5"}
    metadata |= {"dataset_id": "own-v0", "minari_version": "0.5.0"}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    assert complaint(load_dataset, tmp_path / "own").endswith(HINT)
    dataset = load_dataset(tmp_path / "own", skip_bad_episodes=True)
    # Episode 0 terminates, so its last observation is not needed; episode 5 does not.
    assert set(dataset.observation[:, 0] // 100) == {0, 1, 2}
    assert dataset.notes == (
        "3 of 6 episodes left out because of bad rows; the first: episode 3, row 2: 2 observations for 2 rewards",
        "1 terminal row without a next observation; replaced by the row's own, which no value depends on",
    )


def test_sources_whose_rows_were_checked_refuse_the_option(tmp_path):
    convert(write_npz(tmp_path / "log.npz", **log(faults=False)), tmp_path / "log")
    for source in (tmp_path / "log", "pendulum-mixed"):
        line = complaint(load_dataset, source, skip_bad_episodes=True)
        assert line.startswith(f"{source}: skip_bad_episodes=True (--skip-bad-episodes) does not apply to it")


def test_a_run_remembers_it(tmp_path, capsys):
    path = write_npz(tmp_path / "log.npz", **log())
    run = tmp_path / "run"
    small = ["--algo", "bc", "--hidden", "8", "--batch-size", "4", "--threads", "1", "--device", "cpu"]
    with pytest.raises(SystemExit):
        cli.main(["train", str(path), *small, "--steps", "2", "--out", str(run)])
    assert HINT in capsys.readouterr().err
    assert not run.exists()
    cli.main(["train", str(path), "--skip-bad-episodes", *small, "--steps", "2", "--out", str(run)])
    stored = json.loads((run / "config.json").read_text())
    assert stored["train"]["sources"]["skip_bad_episodes"] is True
    assert any(note.startswith("3 of 6 episodes left out") for note in stored["dataset"]["notes"])
    cli.main(["train", "--resume", str(run), "--steps", "4"])
    cli.main(["data", "describe", str(path), "--skip-bad-episodes"])
    assert "3 of 6 episodes left out" in capsys.readouterr().out
    cli.main(["data", "import", str(path), "--skip-bad-episodes", "--out", str(tmp_path / "o.hdf5")])
    assert load_dataset(tmp_path / "o.hdf5").n_episodes == 3

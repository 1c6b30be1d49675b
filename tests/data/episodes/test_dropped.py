"""What is lost with dropped rows, and last rows that are kept as ends; the same for every reader."""

import numpy as np
import pytest

from helpers.data_logs import complaint, flat, walk, write_hdf5, write_npz
from prudent.data import Dataset, convert, describe_dict, load_dataset, writers
from prudent.data.episodes.dropped import Dropped, is_telling
from prudent.errors import ConfigError, DataError

LENGTHS = (6, 9, 5, 8)
DIED = (False, True, False, False)
"""The second stay ends with -15 and is flagged; the others end with +15 and are not."""
MAP = {"episode": "stay", "step": "hour", "observation": ["x0", "x1", "x2"], "action": ["a0", "a1"]}
MAP |= {"reward": "reward", "terminated": "died"}


def stays(**changes):
    log = walk(LENGTHS)
    last = np.flatnonzero(log["ends"])
    terminals, rewards = np.zeros(len(log["ends"]), bool), np.zeros(len(log["ends"]), np.float32)
    terminals[last] = DIED
    rewards[last] = np.where(DIED, -15, 15)
    return flat(log, terminals=terminals, timeouts=log["ends"] & ~terminals) | {"rewards": rewards} | changes


def hdf5(tmp_path, **options):
    return load_dataset(write_hdf5(tmp_path / "stays.hdf5", **stays()), **options)


def streamed(tmp_path, **options):
    write_hdf5(tmp_path / "stays.hdf5", **stays())
    return convert(tmp_path / "stays.hdf5", tmp_path / f"folder{len(list(tmp_path.iterdir()))}", **options)


def npz(tmp_path, **options):
    columns = stays()
    borrowed = np.concatenate([columns["observations"][1:], columns["observations"][-1:]])
    return load_dataset(write_npz(tmp_path / "stays.npz", **columns, next_observations=borrowed), **options)


def csv(tmp_path, mapping=None, **options):
    columns, step = stays(), np.concatenate([np.arange(n) for n in LENGTHS])
    stay = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    lines = ["stay,hour,x0,x1,x2,a0,a1,reward,died"]
    for row in range(len(step)):
        numbers = (*columns["observations"][row], *columns["actions"][row], columns["rewards"][row])
        lines.append(",".join(str(x) for x in (stay[row], step[row], *numbers, int(columns["terminals"][row]))))
    (tmp_path / "stays.csv").write_text("\n".join(lines) + "\n")
    return load_dataset(tmp_path / "stays.csv", mapping={**MAP, **(mapping or {})}, **options)


READERS = {"hdf5": hdf5, "streamed": streamed, "csv": csv}


@pytest.mark.parametrize("reader", [*READERS, "npz"])
def test_the_reward_of_dropped_rows_is_counted(tmp_path, reader):
    dataset = {**READERS, "npz": npz}[reader](tmp_path)
    rows = 3 if reader != "npz" else 2  # the very last row of an npz file states a successor that is nobody else's
    kept = 15 if reader != "npz" else 30
    assert dataset.dropped == Dropped(rows, 15.0 * rows, 15.0 * rows, 28 - rows, kept)
    assert len(dataset) == 28 - rows


@pytest.mark.parametrize("reader", READERS)
def test_last_rows_are_kept_as_terminations(tmp_path, reader):
    dataset = READERS[reader](tmp_path, last_rows="terminated")
    assert dataset.episode_lengths.tolist() == list(LENGTHS)
    assert dataset.episode_returns.tolist() == [15, -15, 15, 15]
    ends = np.cumsum(LENGTHS) - 1
    assert np.flatnonzero(dataset.terminated).tolist() == ends.tolist()
    assert not dataset.truncated.any()
    np.testing.assert_array_equal(dataset.next_observation[ends], dataset.observation[ends])
    assert dataset.dropped is None
    assert any("3 last rows without a successor kept as terminated" in note for note in dataset.notes)


@pytest.mark.parametrize("reader", READERS)
def test_last_rows_are_kept_as_truncations(tmp_path, reader):
    dataset = READERS[reader](tmp_path, last_rows="truncated")
    ends = np.cumsum(LENGTHS) - 1
    assert np.flatnonzero(dataset.terminated).tolist() == [ends[1]]
    assert np.flatnonzero(dataset.truncated).tolist() == ends[[0, 2, 3]].tolist()
    np.testing.assert_array_equal(dataset.next_observation[ends], dataset.observation[ends])
    assert dataset.episode_returns.tolist() == [15, -15, 15, 15]


@pytest.mark.parametrize("reader", READERS)
def test_dropping_may_be_said(tmp_path, reader):
    assert READERS[reader](tmp_path, last_rows="drop").fingerprint == READERS[reader](tmp_path).fingerprint


def test_borrowed_successors_of_npz_are_replaced(tmp_path):
    dataset = npz(tmp_path, last_rows="terminated")
    assert dataset.episode_returns.tolist() == [15, -15, 15, 15]
    assert np.flatnonzero(dataset.terminated).tolist() == [5, 14, 19]
    np.testing.assert_array_equal(dataset.next_observation[[5, 19]], dataset.observation[[5, 19]])


def test_a_mapping_may_say_it(tmp_path):
    said = csv(tmp_path, mapping={"last_rows": "terminated"})
    assert said.fingerprint == csv(tmp_path, last_rows="terminated").fingerprint
    assert len(csv(tmp_path, mapping={"last_rows": "terminated"}, last_rows="drop")) == 25, "the user goes first"
    with pytest.raises(ConfigError, match="last_rows must be one of drop, terminated, truncated"):
        csv(tmp_path, mapping={"last_rows": "end"})
    with pytest.raises(ConfigError, match="last_rows is for rows without a successor"):
        csv(tmp_path, mapping={"last_rows": "drop", "next_observation": ["x0", "x1", "x2"]})


def test_a_gap_is_no_end(tmp_path):
    csv(tmp_path)
    path = tmp_path / "stays.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[4:]) + "\n")
    dataset = load_dataset(path, mapping=MAP, last_rows="terminated")
    assert dataset.episode_returns.tolist() == [0, 15, -15, 15, 15]
    assert np.flatnonzero(dataset.terminated).tolist() == [3, 12, 17, 25]
    assert dataset.dropped is not None
    assert dataset.dropped.rows == 1


def test_where_the_recording_stops_is_no_end(tmp_path):
    columns = stays()
    columns["timeouts"][-1] = False
    path = write_hdf5(tmp_path / "log.hdf5", **columns)
    dataset = load_dataset(path, last_rows="terminated")
    assert np.flatnonzero(dataset.terminated).tolist() == [5, 14, 19]
    assert dataset.truncated[-1]
    assert dataset.episode_returns.tolist() == [15, -15, 15, 0]
    assert len(load_dataset(path, last_rows="truncated")) == 28


@pytest.mark.parametrize("stated", [False, True])
def test_masks_of_last_rows_that_are_kept(tmp_path, stated):
    columns = stays()
    rng = np.random.default_rng(0)
    columns["actions"] = rng.integers(0, 3, len(columns["rewards"]))
    mask = rng.random((len(columns["rewards"]), 3)) < 0.5
    mask[np.arange(len(mask)), columns["actions"]] = True
    columns["action_masks"] = mask
    if stated:
        columns["next_observations"] = walk(LENGTHS)["successor"]
    path = write_hdf5(tmp_path / "log.hdf5", **columns)
    assert len(load_dataset(path, discrete=True)) == 25
    ends, last = load_dataset(path, last_rows="terminated", discrete=True), np.cumsum(LENGTHS) - 1
    assert ends.terminated[last].all()
    assert ends.extra["next_mask"][last].all(), "nothing is chosen after an end"
    cut = load_dataset(path, last_rows="truncated", discrete=True)
    np.testing.assert_array_equal(cut.extra["next_mask"][last[[0, 2, 3]]], mask[last[[0, 2, 3]]])
    np.testing.assert_array_equal(cut.next_observation[last[[0, 2, 3]]], cut.observation[last[[0, 2, 3]]])
    mapped = convert(path, tmp_path / "folder", last_rows="truncated", discrete=True)
    assert mapped.fingerprint == cut.fingerprint


def test_it_is_refused_where_nothing_is_decided(tmp_path):
    log = walk(LENGTHS)
    flags = {"terminals": log["ends"], "timeouts": np.zeros(28, bool)}
    all_end = write_hdf5(tmp_path / "ends.hdf5", **flat(log, **flags))
    stated = flat(log, terminals=flags["timeouts"], timeouts=log["ends"], next_observations=log["successor"])
    both = write_hdf5(tmp_path / "stated.hdf5", **stated)
    for path in (all_end, both, write_npz(tmp_path / "stated.npz", **stated)):
        for choice in ("drop", "terminated", "truncated"):
            assert "last_rows does not apply" in complaint(load_dataset, path, last_rows=choice)
        if path.suffix == ".hdf5":
            assert "last_rows does not apply" in complaint(convert, path, tmp_path / "no", last_rows="drop")
    convert(all_end, tmp_path / "folder")
    for source in ("pendulum-mixed", tmp_path / "folder"):
        assert "last_rows does not apply" in complaint(load_dataset, source, last_rows="terminated")
    assert "last_rows must be" in complaint(load_dataset, all_end, last_rows="end")


@pytest.mark.parametrize("first", [True, False])
def test_of_several_sources_one_has_to_have_such_rows(tmp_path, first):
    log = walk(LENGTHS)
    ended = flat(log, terminals=log["ends"], timeouts=np.zeros(28, bool))
    sources = [write_hdf5(tmp_path / "open.hdf5", **stays()), write_hdf5(tmp_path / "ended.hdf5", **ended)]
    sources = sources if first else sources[::-1]
    joined = load_dataset(sources, last_rows="terminated")
    assert (len(joined), joined.n_episodes, int(joined.terminated.sum()), joined.dropped) == (56, 8, 8, None)
    folder = convert(sources, tmp_path / "folder", last_rows="terminated")
    assert folder.fingerprint == joined.fingerprint
    if first:
        mixed = load_dataset(
            [sources[0], write_npz(tmp_path / "x.npz", **ended, next_observations=log["successor"])],
            last_rows="truncated",
        )
        assert (int(mixed.truncated.sum()), int(mixed.terminated.sum())) == (3, 5)
    with pytest.raises(DataError, match=r"ended\.hdf5: last_rows does not apply"):
        load_dataset([sources[first]] * 2, last_rows="terminated")
    with pytest.raises(DataError, match=r"ended\.hdf5: last_rows does not apply"):
        convert([sources[first]] * 2, tmp_path / "no", last_rows="terminated")


def test_a_file_of_single_steps_says_how_to_keep_them(tmp_path):
    log = walk([1] * 6)
    path = write_hdf5(tmp_path / "log.hdf5", **flat(log, terminals=np.zeros(6, bool), timeouts=log["ends"]))
    assert "--last-rows terminated" in complaint(load_dataset, path)
    assert load_dataset(path, last_rows="terminated").terminated.all()


# --- the record survives --------------------------------------------------------------------------------------


def test_the_record_survives_what_is_made_of_a_dataset(tmp_path):
    dataset = hdf5(tmp_path)
    first, second = dataset.split(0.5)
    for piece in (first, second, dataset.episodes([0]), dataset.relabelled(name="other"), dataset.knowing()):
        assert piece.dropped == dataset.dropped
    sound = hdf5(tmp_path, last_rows="terminated")
    for joined in (Dataset.join([dataset, sound]), Dataset.join([sound, dataset])):
        assert joined.dropped == Dropped(3, 45.0, 45.0, 25 + 28, 15.0 + 60.0)
    assert Dataset.join([sound, sound]).dropped is None


def test_the_record_survives_files(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    dataset = hdf5(tmp_path)
    assert load_dataset(tmp_path / "stays.hdf5").dropped is not None
    for target in (str(tmp_path / "copy.hdf5"), "minari:mine/stays-v0"):
        writers.write(dataset, target, {"notes": []})
        assert load_dataset(target).dropped == dataset.dropped
    from_copy = convert(tmp_path / "copy.hdf5", tmp_path / "columns")
    assert from_copy.dropped == load_dataset(tmp_path / "columns").dropped == dataset.dropped
    both = convert([tmp_path / "stays.hdf5", tmp_path / "copy.hdf5"], tmp_path / "both")
    assert both.dropped == Dropped(6, 90.0, 90.0, 50, 30.0)
    assert load_dataset([tmp_path / "stays.hdf5", tmp_path / "copy.hdf5"]).dropped == both.dropped
    kinds = [finding["kind"] for finding in describe_dict(both)["findings"]]
    assert "reward on dropped rows" in kinds


def test_a_forged_record_is_refused(tmp_path):
    writers.write(hdf5(tmp_path), str(tmp_path / "copy.hdf5"), {})
    import h5py

    for numbers in ([1.0, 2.0], [0.0, 1, 1, 1, 1], [1.5, 1, 1, 1, 1], [1.0, 9, 1, 1, 1], [1.0, np.nan, 1, 1, 1]):
        with h5py.File(tmp_path / "copy.hdf5", "a") as file:
            del file["metadata/dropped"]
            file["metadata/dropped"] = np.array(numbers)
        assert "metadata/dropped is damaged" in complaint(load_dataset, tmp_path / "copy.hdf5")


# --- what is more than a trifle -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "magnitude", "other_rows", "other_magnitude", "telling"),
    [
        (245, 3675.0, 2615, 825.0, True),  # nearly all reward
        (40, 40.0, 558, 0.0, True),  # all of it
        (5, 75.0, 1000, 1500.0, True),  # 5 % of the reward on 0.5 % of the rows
        (1, 15.0, 999, 1500.0, False),  # less than 1 % of the reward
        (10, 10.0, 1000, 1000.0, False),  # its share
        (100, 1000.0, 900, 4500.0, False),  # rewards that grow with the step, 1 to 10
        (500, 1000.0, 500, 500.0, True),  # half of the rows, two thirds of the reward
        (10, 0.0, 100, 0.0, False),
        (0, 0.0, 100, 5.0, False),
        (10, 5.0, 0, 0.0, False),
    ],
)
def test_more_than_a_trifle(rows, magnitude, other_rows, other_magnitude, telling):
    assert is_telling(rows, magnitude, other_rows, other_magnitude) == telling
    if rows:
        dropped = Dropped(rows, magnitude, magnitude, other_rows, other_magnitude)
        assert dropped.telling == telling
        assert Dropped.from_numbers(dropped.numbers()) == dropped


def test_losing_half_of_the_rows_is_telling_whatever_their_reward():
    assert Dropped(599, 300.0, 300.0, 1, 1.0).telling
    assert Dropped(20, 10.0, 10.0, 20, 10.0).telling
    assert not Dropped(19, 9.5, 9.5, 20, 10.0).telling
    assert not Dropped(20, 0.0, 0.0, 20, 10.0).telling

"""The parts of a log on disk: nothing lost, nothing shared, and the same meaning as before."""

import json

import h5py
import numpy as np
import pytest

from helpers.runs import prudent, tree
from prudent.data import Dataset, convert, load_dataset, split
from prudent.data.columns import COLUMNS
from prudent.data.readers import stream
from prudent.errors import DataError

LENGTHS = (4, 3, 5, 2, 6, 3, 3, 4, 5, 5)
GROUPS = np.array([7, 1, 7, 3, 1, 9, 9, 12, 13, 14])


def log(lengths=LENGTHS, groups=GROUPS, **extra):
    """A masked log that counts its actions from 1; a row's state is its number."""
    rows = sum(lengths)
    ends = np.zeros(rows, bool)
    ends[np.cumsum(lengths) - 1] = True
    rng = np.random.default_rng(0)
    mask = np.ones((rows, 3), bool)
    mask[::2, 2] = False
    following = np.where(ends[:, None], True, np.roll(mask, -1, 0))
    state = np.arange(rows, dtype=np.float32)[:, None]
    return Dataset.from_columns(
        observation=state,
        next_observation=state + 1,
        action=rng.integers(1, 3, rows),
        reward=rng.normal(size=rows).astype(np.float32),
        terminated=ends & (np.arange(rows) % 2 == 0),
        truncated=ends & (np.arange(rows) % 2 == 1),
        discrete=True,
        n_actions=3,
        first_action=1,
        name="clinic",
        notes=["written by hand"],
        extra={
            "mask": mask,
            "next_mask": following,
            "dt": rng.uniform(0.5, 2, rows).astype(np.float32),
            "behavior_log_prob": np.full(rows, -0.7, np.float32),
            **({} if groups is None else {"group": np.repeat(groups, lengths)}),
            **extra,
        },
    )


def write(path, dataset):
    """The log as a flat HDF5 file."""
    from prudent.data import writers

    writers.write(dataset, str(path), {"clinic": "north"})
    return path


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "clinic.hdf5", log())


def numbers(part):
    """The rows of the log that are in a part."""
    return part.observation[:, 0].astype(int).tolist()


def test_the_parts_hold_everything_once_and_mean_the_same(source, tmp_path):
    whole = load_dataset(source)
    parts = split(source, tmp_path / "parts", fractions=(0.5, 0.25, 0.25), names=("a", "b", "c"), seed=3)
    assert list(parts) == ["a", "b", "c"]
    assert sorted(row for part in parts.values() for row in numbers(part)) == list(range(len(whole)))
    groups = [set(part.extra["group"].tolist()) for part in parts.values()]
    assert sum(map(len, groups)) == len(set(GROUPS.tolist())), "a group is in two parts"
    for name, part in parts.items():
        chosen = np.load(tmp_path / "parts" / f"{name}.npy")
        expected = whole.episodes(chosen)
        again = load_dataset(tmp_path / "parts" / name)
        assert part.fingerprint == again.fingerprint == expected.fingerprint
        assert again.spec == whole.spec
        assert (again.spec.first_action, again.spec.action_size) == (1, 3)
        assert again.extra.keys() == whole.extra.keys() == {"mask", "next_mask", "dt", "behavior_log_prob", "group"}
        for key in COLUMNS:
            np.testing.assert_array_equal(getattr(again, key), getattr(expected, key))
        assert again.name == f"clinic.hdf5 ({name} part)"
        assert again.notes[: len(whole.notes)] == whole.notes
        assert "clinic.hdf5: clinic: north" in again.notes, "how the file was made is lost"
        assert again.notes[-1] == "a part of clinic.hdf5, divided by group with seed 3 (0.5 0.25 0.25)"
    about = json.loads((tmp_path / "parts" / "parts.json").read_text())
    assert (about["by"], about["seed"], about["source"]) == ("group", 3, [str(source)])
    assert about["parts"]["a"] == {
        "episodes": parts["a"].n_episodes,
        "transitions": len(parts["a"]),
        "fingerprint": parts["a"].fingerprint,
    }


def test_equal_seeds_give_the_parts_that_the_dataset_gives(source, tmp_path):
    fractions = (0.6, 0.2, 0.2)
    first, same, other = (
        split(source, tmp_path / str(place), fractions=fractions, seed=seed) for place, seed in enumerate((1, 1, 2))
    )
    fingerprints = [[part.fingerprint for part in parts.values()] for parts in (first, same, other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    assert list(first) == ["train", "evaluation", "final"]
    assert fingerprints[0] == [part.fingerprint for part in load_dataset(source).split(fractions, seed=1)]


def test_a_folder_and_a_file_are_divided_block_by_block(source, tmp_path, monkeypatch):
    """Blocks of four rows: episodes begin and end inside them, and one block may lack a part."""
    expected = split(source, tmp_path / "whole", fractions=(0.6, 0.4), seed=5)
    convert(source, tmp_path / "converted")
    counts, blocks = [], stream.blocks
    monkeypatch.setattr(stream, "blocks", lambda rows: counts.append(rows) or blocks(rows, 4))
    said = []
    for place in (source, tmp_path / "converted"):
        parts = split(place, tmp_path / f"of-{place.name}", fractions=(0.6, 0.4), seed=5, say=said.append)
        assert [p.fingerprint for p in parts.values()] == [p.fingerprint for p in expected.values()], place
    assert said == [], "it was read as a whole"
    assert counts == [sum(LENGTHS)] * len(counts), "no blocks were read"


def test_names_of_groups_stay(tmp_path):
    table = tmp_path / "stays.csv"
    rows = [f"{e},{t},{e + t},{t},{t == 2},{'north' if e % 2 else 'south'}" for e in range(8) for t in range(3)]
    table.write_text("\n".join(["stay,t,x,a,end,ward", *rows]))
    mapping = {
        "episode": "stay",
        "step": "t",
        "observation": ["x"],
        "action": "a",
        "reward": "x",
        "terminated": "end",
        "group": "ward",
        "discrete": True,
    }
    parts = split(table, tmp_path / "parts", fractions=(0.5, 0.5), mapping=mapping)
    assert list(parts) == ["train", "final"]
    assert sorted(part.n_episodes for part in parts.values()) == [4, 4]
    joined = convert([tmp_path / "parts" / name for name in parts], tmp_path / "joined")
    assert joined.meanings.groups == ("north", "south")
    wards = joined.extra["group"][joined.episode_bounds[:-1]]
    assert sorted(wards.tolist()) == [0] * 4 + [1] * 4


def test_float64_and_columns_of_one_s_own_stay(tmp_path):
    """A clock that float32 would blur."""
    dataset = log(groups=None, dose=np.arange(sum(LENGTHS), dtype=np.float64) / 3)
    clock = 1.7e9 + 10 * np.arange(len(dataset), dtype=np.float64)[:, None]
    columns = {key: getattr(dataset, key) for key in COLUMNS} | {"observation": clock, "next_observation": clock + 10}
    timed = Dataset.from_columns(
        **columns, discrete=True, n_actions=3, first_action=1, extra=dict(dataset.extra), name="timed"
    )
    from prudent.data.mapped.folder import Writer
    from prudent.data.readers.stream import rows_of

    with Writer(tmp_path / "timed", len(timed)) as writer:
        writer.append(rows_of(timed, slice(None)))
        writer.finish(timed.spec, "timed")
    parts = split(tmp_path / "timed", tmp_path / "parts", fractions=(0.5, 0.5))
    assert {part.observation.dtype for part in parts.values()} == {np.dtype(np.float64)}
    assert sorted(np.concatenate([part.extra["dose"] for part in parts.values()])) == sorted(timed.extra["dose"])


def test_fractions_are_met_as_nearly_as_units_allow():
    dataset = log(lengths=(1,) * 40, groups=None)
    for seed in range(5):
        assert [part.n_episodes for part in dataset.split((0.6, 0.1, 0.3), seed)] == [24, 4, 12]
    few = log(lengths=(1,) * 12, groups=np.repeat([0, 1, 2], [10, 1, 1]))
    for seed in range(5):
        parts = few.split((0.5, 0.25, 0.25), seed)
        assert sorted(part.n_episodes for part in parts) == [1, 1, 10]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--fractions", 0.5, 0.4), "the fractions sum to 0.9, not to 1"),
        (("--fractions", 1.5, -0.5), "every fraction has to lie between 0 and 1"),
        (("--fractions", 1, 0), "every fraction has to lie between 0 and 1"),
        (("--fractions", 1), "two or more parts"),
        (("--fractions", *[0.1] * 10), "10 parts need 10 names"),
        (("--fractions", *[0.1] * 10, "--names", *"abcdefghij"), "splitting needs 10 or more groups, it has 7"),
        (("--fractions", 0.99, 0.01), "a share of 0.01 of 7 groups is none"),
        (("--names", "a", "b"), "2 names for 3 fractions"),
        (("--names", "a", "b", "a"), "a name of its own"),
        (("--names", "a", "b", "A"), "a name of its own"),
        (("--names", "a", "b", "a.npy"), "a name of its own"),
        (("--names", "a", "b", "parts.json"), "a name of its own"),
        (("--names", "a", "b", "../c"), "no plain file name"),
        (("--names", "a", "b", ".."), "no plain file name"),
        (("--names", "a", "b", ""), "no plain file name"),
        (("--names", "a", "b", "c\nd"), "no plain file name"),
        (("--seed", -1), "seed must be a whole number, 0 or more"),
        (("--dones", "truncated"), "dones"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(source, tmp_path, words, complaint, capsys):
    before = tree(tmp_path)
    assert prudent("data", "split", source, "--out", tmp_path / "parts", *words) == 2
    shown = capsys.readouterr()
    assert complaint in shown.err
    assert shown.err.strip().count("\n") == 0
    assert tree(tmp_path) == before
    assert not (tmp_path / "parts").exists()


def test_a_folder_in_use_is_left_alone(source, tmp_path, capsys):
    taken, empty = tmp_path / "taken", tmp_path / "empty"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    empty.mkdir()
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    for place, complaint in (
        (taken, "not empty"),
        (tmp_path / "file", "exists"),
        (tmp_path / "file" / "a", "no folder"),
    ):
        assert prudent("data", "split", source, "--out", place) == 2
        assert complaint in capsys.readouterr().err
    assert tree(tmp_path) == before
    assert prudent("data", "split", source, "--out", empty) == 0
    shown = capsys.readouterr().out
    assert f"{empty / 'train'}: " in shown
    assert " in 3 groups, " in shown
    assert "mean return " in shown
    assert prudent("data", "describe", empty) == 2
    assert f"the parts of a log, name one of them: {empty / 'evaluation'}, " in capsys.readouterr().err


def test_a_bad_row_far_inside_leaves_nothing(tmp_path):
    path = write(tmp_path / "bad.hdf5", log())
    with h5py.File(path, "r+") as file:
        file["rewards"][-1] = np.nan
    with pytest.raises(DataError, match=r"bad\.hdf5"):
        split(path, tmp_path / "parts")
    assert list(tree(tmp_path)) == ["bad.hdf5"]


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match=r"parts cannot be written: No space left on device"):
        split(source, tmp_path / "parts")
    assert list(tree(tmp_path)) == ["clinic.hdf5"]

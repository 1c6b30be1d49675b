"""A converted folder holds what loading its source gives; an incomplete or damaged folder is refused."""

import errno
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from prudent.data import Dataset, columns, convert, describe, figures, load_dataset, precision
from prudent.data.dataset import COLUMNS
from prudent.data.episodes import jumps
from prudent.data.mapped import folder as mapped_folder
from prudent.data.readers import _hdf5, stream
from prudent.data.readers.declared import Declared
from prudent.errors import DataError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of seven rows, so that a few dozen rows make several blocks."""
    blocks = columns.blocks
    for module in (columns, figures, jumps, precision, stream):
        monkeypatch.setattr(module, "blocks", lambda rows, size=7: blocks(rows, min(size, 7)))
    monkeypatch.setattr(stream, "BLOCK", 7)
    monkeypatch.setattr(columns, "BLOCK", 7)


def table(rows=40, seed=0, stated=True, discrete=False, masks=0):
    """Raw columns of a D4RL file: episodes that terminate, that are truncated, and one still open at the end."""
    rng = np.random.default_rng(seed)
    states = np.cumsum(rng.normal(size=(rows, 3)), axis=0)
    terminals, timeouts = np.zeros((2, rows), dtype=bool)
    terminals[[5, 13, 20]], timeouts[[6, 27]] = True, True
    raw = {
        "observations": states,
        "actions": np.arange(rows) % 3 if discrete else rng.uniform(-1, 1, (rows, 2)),
        "rewards": rng.normal(size=rows),
        "terminals": terminals,
        "timeouts": timeouts,
    }
    if stated:
        raw["next_observations"] = np.concatenate([states[1:], states[-1:] + 1])
        # Rows 13 and 27 keep the next episode's first observation; the other ends get one of their own.
        raw["next_observations"][[5, 6, 20]] += 50
    if masks:
        raw["action_masks"] = np.eye(3, dtype=bool)[raw["actions"]] | np.array([True, False, False])
    if masks > 1:
        raw["next_action_masks"] = np.concatenate([raw["action_masks"][1:], np.ones((1, 3), dtype=bool)])
    return raw


def write(path, raw, **metadata):
    with h5py.File(path, "w") as file:
        for key, column in raw.items():
            file[key] = column
        for key, value in metadata.items():
            file[f"metadata/{key}"] = value
    return path


def assert_same(dataset, loaded):
    for key in COLUMNS:
        np.testing.assert_array_equal(getattr(dataset, key), getattr(loaded, key), err_msg=key)
    assert dataset.extra.keys() == loaded.extra.keys()
    for key, column in loaded.extra.items():
        np.testing.assert_array_equal(dataset.extra[key], column, err_msg=key)
    for key in ("episode_bounds", "episode_returns", "followed"):
        np.testing.assert_array_equal(getattr(dataset, key), getattr(loaded, key), err_msg=key)
    for key, figure in vars(dataset.observation_figures).items():
        np.testing.assert_array_equal(figure, getattr(loaded.observation_figures, key), err_msg=key)
    assert (dataset.spec, dataset.name, dataset.notes) == (loaded.spec, loaded.name, loaded.notes)
    assert dataset.fingerprint == loaded.fingerprint == dataset.knowing().fingerprint, (
        "the stored fingerprint is not that of the rows"
    )


FILES = {
    "stated": table(),
    "following": table(stated=False),
    "no timeouts": {key: column for key, column in table(stated=False).items() if key != "timeouts"},
    "no flags": {key: column for key, column in table().items() if key not in ("timeouts", "terminals")},
    "discrete": table(discrete=True),
    "masks": table(discrete=True, masks=2),
    "masks that follow": table(discrete=True, masks=1),
    "masks and states that follow": table(discrete=True, masks=1, stated=False),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_hdf5_file_converts_to_what_it_loads_as(tmp_path, kind):
    path = write(tmp_path / "log.hdf5", FILES[kind])
    options = {"discrete": True} if FILES[kind]["actions"].ndim == 1 else {}
    options |= {} if "timeouts" in FILES[kind] else {"horizon": 9}
    loaded = load_dataset(path, **options)
    assert_same(convert(path, tmp_path / "log", **options), loaded)
    dataset = load_dataset(tmp_path / "log")
    assert_same(dataset, loaded)
    assert isinstance(dataset.observation, np.memmap), "the rows are in memory"


def test_a_file_with_true_successors_keeps_every_row(tmp_path):
    path = write(tmp_path / "log.hdf5", table(), true_successors=1)
    dataset = convert(path, tmp_path / "log")
    assert len(dataset) == 40
    assert_same(dataset, load_dataset(path))


def test_several_sources_join(tmp_path):
    parts = [write(tmp_path / f"{seed}.hdf5", table(seed=seed)) for seed in (0, 1)]
    assert_same(convert(parts, tmp_path / "both"), load_dataset(parts))


def test_a_dataset_found_by_name_joins_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path))
    for level in ("medium", "expert"):
        write(tmp_path / f"walker-{level}.hdf5", table())
    assert_same(convert("walker-medium-expert", tmp_path / "found"), load_dataset("walker-medium-expert"))


def test_other_formats_are_read_whole_with_a_message(tmp_path):
    np.savez(tmp_path / "log.npz", **{**table(), "dones": table()["terminals"]})
    lines = []
    assert_same(convert(tmp_path / "log.npz", tmp_path / "log", say=lines.append), load_dataset(tmp_path / "log.npz"))
    assert len(lines) == 1
    assert lines[0].startswith("log.npz was read into memory as a whole")


def test_a_folder_converts_again_without_being_read_whole(tmp_path):
    first = convert(write(tmp_path / "log.hdf5", table()), tmp_path / "a")
    lines = []
    assert_same(convert(tmp_path / "a", tmp_path / "b", say=lines.append), first)
    assert not lines


def test_hdf5_is_never_read_as_a_whole(tmp_path, monkeypatch):
    path, read = write(tmp_path / "log.hdf5", table()), []
    original = h5py.Dataset.__getitem__

    def watched(self, key):
        values = original(self, key)
        if self.ndim == 2:
            read.append(len(values))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watched)
    convert(path, tmp_path / "log")
    assert read
    assert max(read) <= 8, "more than one block and the row after it was read at once"


def test_bounds_may_be_given_when_converting_and_when_reading(tmp_path):
    path = write(tmp_path / "log.hdf5", table())
    assert convert(path, tmp_path / "a", action_low=-2.0, action_high=2.0).spec.action_high == (2.0, 2.0)
    convert(path, tmp_path / "b")
    assert load_dataset(tmp_path / "b", action_low=-3.0, action_high=3.0).spec.action_low == (-3.0, -3.0)
    with pytest.raises(DataError, match="outside the declared bounds"):
        load_dataset(tmp_path / "b", action_low=-0.1, action_high=0.1)


def test_a_file_that_needs_float64_converts_to_what_it_loads_as(tmp_path):
    """The decision is for the whole file: a block alone may have no need of float64."""
    log = table(stated=False)
    log["observations"][21:, 0] = 1.7e9 + np.arange(19)
    path = write(tmp_path / "log.hdf5", log)
    dataset = load_dataset(path)
    assert dataset.observation.dtype == np.float64
    assert_same(dataset, convert(path, tmp_path / "converted"))
    assert_same(dataset, load_dataset(tmp_path / "converted"))


# --- refusals -------------------------------------------------------------------------------------------------


def changed(key, value):
    def edit(raw):
        raw[key] = value(raw[key].astype(np.float64))

    return edit


def with_nan(column):
    column[17, 1] = np.nan
    return column


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (changed("observations", with_nan), "counted from row 14: observations has 1 row with NaN"),
        (changed("actions", with_nan), "actions has 1 row with NaN"),
        (changed("next_observations", lambda c: c[:, :2]), "next_observations has shape (40, 2), observations (40, 3)"),
        (changed("observations", lambda c: c[:, 0]), "observations has shape (40,), expected (rows, features)"),
        (changed("actions", lambda c: np.arange(len(c)) % 3), "choices, or amounts?"),
        (changed("terminals", lambda c: c + 2), "terminals must be true/false or 0/1"),
        (changed("rewards", lambda c: c[:-1]), "rewards has 39 rows"),
        (lambda raw: raw.pop("rewards"), "no rewards in the file"),
    ],
)
def test_bad_files_leave_nothing(tmp_path, edit, words):
    raw = table()
    edit(raw)
    path = write(tmp_path / "log.hdf5", raw)
    with pytest.raises(DataError) as caught:
        convert(path, tmp_path / "place" / "log")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "place").exists() or not list((tmp_path / "place").iterdir()), "something is left"


def test_targets_that_exist_are_refused(tmp_path):
    path = write(tmp_path / "log.hdf5", table())
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists"):
        convert(path, tmp_path / "taken")
    assert not list((tmp_path / "taken").iterdir())


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    path = write(tmp_path / "log.hdf5", table())
    monkeypatch.setattr(mapped_folder.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DataError, match="the disk has 100 B free"):
        convert(path, tmp_path / "log")
    assert not [p.name for p in tmp_path.iterdir() if "log" in p.name and p != path], "something is left"


def test_a_disk_that_fills_up_is_not_reported_as_damage(tmp_path, monkeypatch):
    path = write(tmp_path / "log.hdf5", table())

    class Full(io.FileIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open

    def full(self, mode="r", *more, **options):
        return io.BufferedWriter(Full(self, "w")) if mode == "wb" else opened(self, mode, *more, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(DataError) as caught:
        convert(path, tmp_path / "log")
    assert str(caught.value) == f"{tmp_path / 'log'} cannot be written: No space left on device"
    assert [p.name for p in tmp_path.iterdir() if "log" in p.name] == ["log.hdf5"], "something is left"


def test_other_errors_with_an_open_file_are_not_reported_as_damage(tmp_path):
    path = write(tmp_path / "log.hdf5", table())
    with pytest.raises(OSError, match="elsewhere"), _hdf5.opened(path):
        raise OSError("elsewhere")
    with pytest.raises(TypeError), stream.of_hdf5(path, Declared(n_actions="3")):
        pass


@pytest.mark.parametrize("options", [{"seed": 0}, {"mapping": None}, {"action_low": np.array([-9.0, -9.0])}])
def test_converting_takes_the_options_of_loading(tmp_path, options):
    path = write(tmp_path / "log.hdf5", table())
    high = {"action_high": np.array([9.0, 9.0])} if "action_low" in options else {}
    assert_same(convert(path, tmp_path / "log", **options, **high), load_dataset(path, **options, **high))
    with pytest.raises(TypeError, match="unexpected keyword argument 'sed'"):
        convert(path, tmp_path / "other", sed=1)
    with pytest.raises(DataError, match="pendulum-mixed: action_low does not apply"):
        load_dataset("pendulum-mixed", action_low=np.zeros(1), action_high=np.ones(1))


def test_sources_that_do_not_fit_are_refused(tmp_path):
    one = write(tmp_path / "one.hdf5", table())
    other = write(tmp_path / "other.hdf5", {**table(), "actions": np.random.default_rng(0).uniform(-1, 1, (40, 5))})
    masked = write(tmp_path / "masked.hdf5", table(discrete=True, masks=2))
    plain = write(tmp_path / "plain.hdf5", table(discrete=True))
    with pytest.raises(DataError, match=r"other\.hdf5 does not fit what comes before it"):
        convert([one, other], tmp_path / "log")
    with pytest.raises(DataError, match="mask, next_mask: not the same in all of the sources"):
        convert([masked, plain], tmp_path / "log", discrete=True)
    assert not (tmp_path / "log").exists()


def test_folders_are_not_joined_in_memory(tmp_path):
    path = write(tmp_path / "log.hdf5", table())
    convert(path, tmp_path / "log")
    with pytest.raises(DataError, match="convert all the sources into one folder"):
        load_dataset([tmp_path / "log", path])


def test_options_that_change_nothing_are_refused(tmp_path):
    convert(write(tmp_path / "log.hdf5", table()), tmp_path / "log")
    with pytest.raises(DataError, match="horizon does not apply"):
        load_dataset(tmp_path / "log", horizon=5)
    with pytest.raises(DataError, match=r"a mapping .--map. is for CSV and Parquet"):
        convert(tmp_path / "log.hdf5", tmp_path / "b", mapping={})


def index_with(**changes):
    def damage(folder):
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**index, **changes}))

    return damage


def spec_with(**changes):
    return lambda folder: index_with(spec=json.loads((folder / "index.json").read_text())["spec"] | changes)(folder)


def column_with(**changes):
    def damage(folder):
        columns = json.loads((folder / "index.json").read_text())["columns"]
        index_with(columns=columns | {"reward": columns["reward"] | changes})(folder)

    return damage


def without(key):
    def damage(folder):
        index = json.loads((folder / "index.json").read_text())
        del index[key]
        (folder / "index.json").write_text(json.dumps(index))

    return damage


def cut(folder):
    content = (folder / "reward.npy").read_bytes()
    (folder / "reward.npy").write_bytes(content[:-4])


def link(folder):
    (folder / "reward.npy").rename(folder.parent / "elsewhere.npy")
    (folder / "reward.npy").symlink_to(folder.parent / "elsewhere.npy")


def pickled(folder):
    np.save(folder / "reward.npy", np.array([None] * 39, dtype=object), allow_pickle=True)


def escaping(folder):
    index = json.loads((folder / "index.json").read_text())
    index["columns"]["../../secret"] = index["columns"]["reward"]
    (folder / "index.json").write_text(json.dumps(index))


def hidden_ends(folder):
    columns = json.loads((folder / "index.json").read_text())["columns"]
    index_with(columns=columns | {"dones": columns["terminated"]})(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "cut short or has grown"),
        (link, "is a link, which is never followed"),
        (pickled, "holds object"),
        (escaping, "no column can be '../../secret'"),
        (lambda folder: (folder / "reward.npy").unlink(), "reward.npy cannot be read"),
        (lambda folder: (folder / "reward.npy").write_bytes(b"nothing"), "is not an .npy file"),
        (lambda folder: (folder / "index.json").write_text("{"), "cannot be read"),
        (index_with(version=99), "written in format 99"),
        (index_with(format="other"), "is not the index of a converted dataset"),
        (index_with(rows=10**12), "is damaged"),
        (index_with(rows="many"), "is damaged"),
        (hidden_ends, "dones marks ends of episodes, which are in terminated and truncated"),
        (index_with(columns={}), "is damaged (no 'observation')"),
        (index_with(episodes=2), "episode_bounds.npy holds"),
        (index_with(episodes=True), "episodes is 'True', not a whole number from 1"),
        (index_with(rows=0), "rows is '0'"),
        (without("notes"), "is damaged (no 'notes')"),
        (without("name"), "is damaged (no 'name')"),
        (without("fingerprint"), "is damaged (no 'fingerprint')"),
        (index_with(notes="one"), "notes is not a list"),
        (index_with(notes=[1]), "name, fingerprint and notes must be text"),
        (index_with(name=None), "name, fingerprint and notes must be text"),
        (index_with(observation_mean=[0.0]), "observation_mean holds 1 number instead of 3"),
        (index_with(observation_mean=["a", "b", "c"]), "observation_mean holds something other than finite numbers"),
        (index_with(observation_mean="abc"), "observation_mean is not a list"),
        (index_with(observation_std=[1.0, 1.0, float("nan")]), "observation_std holds something other"),
        (index_with(observation_std=[1.0, 1.0, 10**400]), "is damaged"),
        (index_with(observation_std=[1.0, 1.0, -1.0]), "a standard deviation below 0"),
        (spec_with(action_low=[-9.0]), "action_low holds 1 number instead of 2"),
        (spec_with(action_low=[-9.0, "a"]), "action_low holds something other"),
        (spec_with(action_high=[9.0, float("inf")]), "action_high holds something other"),
        (spec_with(action_low=None), "one bound without the other"),
        (spec_with(action_low=[9.0, 9.0]), "action_low is not below action_high"),
        (spec_with(discrete=0), "discrete is 0"),
        (spec_with(action_size=2.0), "action_size is '2.0'"),
        (spec_with(first_action=1), "first_action is '1'"),
        (spec_with(first_action=10**30, discrete=True, action_low=None, action_high=None), "first_action is '1000"),
        (spec_with(first_action=None), "first_action is 'None'"),
        (spec_with(other=1), "unexpected keyword argument 'other'"),
        (column_with(dtype="O"), "'O' is not a type of numbers"),
        (column_with(dtype="(1, 2"), "'(1, 2' is not a type of numbers"),
        (column_with(dtype=["f4"]), "is not a type of numbers"),
        (column_with(shape=["39"]), "is not a shape"),
        (column_with(shape=[-1]), "is not a shape"),
        (lambda folder: (folder / "index.json").write_text("[" * 100_000), "cannot be read"),
        (index_with(spec={"observation_size": 3}), "is damaged"),
        (index_with(meanings={}), "is damaged (no 'groups')"),
        (index_with(meanings={"groups": [3], "column": "who", "dt_unit": None}), "names of groups must be text"),
        (index_with(meanings={"groups": None, "column": 3, "dt_unit": None}), "column must be text"),
        (index_with(meanings={"groups": None, "column": "who", "dt_unit": "s"}), "dt_unit a number"),
        (index_with(meanings=[1]), "is damaged"),
    ],
)
def test_damaged_folders_are_refused_in_one_line(tmp_path, damage, words):
    folder = tmp_path / "log"
    convert(write(tmp_path / "log.hdf5", table()), folder, action_low=-9.0, action_high=9.0)
    damage(folder)
    with pytest.raises(DataError) as caught:
        load_dataset(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_describing_refuses_rows_that_do_not_fit(tmp_path, monkeypatch):
    dataset = convert(write(tmp_path / "log.hdf5", table()), tmp_path / "log")
    assert dataset.fingerprint in describe(dataset)
    monkeypatch.setenv("PRUDENT_MAX_BYTES", "100")
    with pytest.raises(DataError, match="set PRUDENT_MAX_BYTES"):
        describe(load_dataset(tmp_path / "log"))


def test_figures_survive_a_new_name_but_not_other_rows(tmp_path):
    dataset = convert(write(tmp_path / "log.hdf5", table()), tmp_path / "log")
    assert dataset.relabelled(name="other").fingerprint is dataset.fingerprint
    part: Dataset = dataset.episodes([0])
    assert part.fingerprint != dataset.fingerprint
    assert len(part) == part.episode_bounds[-1]

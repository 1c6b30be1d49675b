"""Several tables as one: groups keep apart what has different names, and dt counts in one unit."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.data_logs import complaint
from prudent.data import Dataset, convert, load_dataset, meanings
from prudent.data.meanings import Meanings
from prudent.data.writers import write

ROLES = {"episode": "id", "observation": "x", "action": "a", "reward": "r", "terminated": "end"}


def table(path, groups, step=1.0):
    """Two rows of an episode for each group, ``step`` seconds apart."""
    rows = 2 * len(groups)
    columns = {
        "id": np.repeat(np.arange(len(groups)), 2),
        "x": np.arange(rows) + 0.5,
        "a": np.linspace(-1, 1, rows),
        "r": np.ones(rows),
        "end": np.arange(rows) % 2 == 1,
        "who": [name for name in groups for _ in range(2)],
        "at": np.arange(rows) * step,
    }
    pq.write_table(pa.table(columns), path)
    return path


def load(sources, tmp_path, on_disk):
    mapping = ROLES | {"group": "who"}
    if not on_disk:
        return load_dataset(sources, mapping=mapping)
    return convert(sources, tmp_path / "folder", mapping=mapping)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_group_of_one_name_is_one_group_and_of_another_name_another(tmp_path, on_disk):
    files = [table(tmp_path / "one.parquet", ["bob", "ann"]), table(tmp_path / "two.parquet", ["cy", "bob"])]
    dataset = load(files, tmp_path, on_disk)
    np.testing.assert_array_equal(dataset.extra["group"], np.repeat([1, 0, 2, 1], 2))
    assert list(dataset.units()[0]) == [1, 0, 2, 1]
    assert [note for note in dataset.notes if "group" in note] == [
        "group 'who': 0 = 'ann', 1 = 'bob', 2 = 'cy'; 3 groups in all files"
    ]


@pytest.mark.parametrize(
    ("seconds", "clock", "duration"),
    [
        (1.0, "second", "1.5 seconds"),
        (3600.0, "hour", "1.5 hours"),
        (86400.0, "day", "1.5 days"),
        (604800.0, "week", "1.5 weeks"),
        (900.0, "15 minutes", "1.5 times 15 minutes"),
        (2.5, "2.5 seconds", "1.5 times 2.5 seconds"),
    ],
)
def test_what_a_unit_of_time_is_called(seconds, clock, duration):
    known = Meanings(dt_unit=seconds, in_seconds=True)
    assert (known.clock, known.duration(1.5)) == (clock, duration)
    unknown = Meanings(dt_unit=seconds)
    assert (unknown.clock, unknown.duration(1.5)) == ("unit of time", "1.5 units of time")


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_unit_of_timestamps_is_known_and_that_of_numbers_is_not(tmp_path, on_disk):
    def read(name, at, unit):
        path = tmp_path / f"{name}.parquet"
        columns = {"id": [0] * 4, "x": np.arange(4.0), "a": np.linspace(-1, 1, 4), "r": np.ones(4), "at": at}
        pq.write_table(pa.table(columns | {"end": [False] * 3 + [True]}), path)
        mapping = ROLES | {"time": "at", "time_unit": unit}
        if on_disk:
            return convert(path, tmp_path / f"{name}.folder", mapping=mapping)
        return load_dataset(path, mapping=mapping)

    stamps = np.datetime64("2026-03-01", "s") + np.arange(4) * np.timedelta64(7200, "s")
    stamped, numbered = read("stamped", stamps, 3600), read("numbered", np.arange(4) * 7200, 3600)
    assert stamped.extra["dt"].tolist() == numbered.extra["dt"].tolist()
    assert (stamped.meanings.clock, numbered.meanings.clock) == ("hour", "unit of time")
    if on_disk:
        assert load_dataset(tmp_path / "stamped.folder").meanings.clock == "hour"
    joined = meanings.join([(name, d.meanings, False) for name, d in (("a", stamped), ("b", stamped))])
    assert joined.meanings.clock == "hour"
    mixed = meanings.join([(name, d.meanings, False) for name, d in (("a", stamped), ("b", numbered))])
    assert mixed.meanings.clock == "unit of time"


def test_numbered_groups_keep_the_order_of_numbers(tmp_path):
    files = [table(tmp_path / "one.parquet", [10, 9]), table(tmp_path / "two.parquet", [100, 10])]
    dataset = load(files, tmp_path, False)
    np.testing.assert_array_equal(dataset.extra["group"], np.repeat([1, 0, 2, 1], 2))
    assert load([*files[:1]], tmp_path, False).notes[0] == "group 'who': 0 = '9', 1 = '10'"


@pytest.mark.parametrize("on_disk", [False, True])
def test_groups_without_names_are_said_to_be_equal_by_number(tmp_path, on_disk):
    named = load([table(tmp_path / "one.parquet", ["bob", "ann"])], tmp_path, False)
    path = tmp_path / "plain.hdf5"
    write(named, str(path), {})
    dataset = convert([path, path], tmp_path / "folder") if on_disk else load_dataset([path, path])
    np.testing.assert_array_equal(dataset.extra["group"], np.repeat([1, 0, 1, 0], 2))
    assert (
        "group: plain.hdf5 has numbers without names, so equal numbers count as one group in all files" in dataset.notes
    )


def test_units_of_dt_that_differ_are_refused(tmp_path):
    files = [table(tmp_path / "one.parquet", ["a"], 60.0), table(tmp_path / "two.parquet", ["a"], 3600.0)]
    line = complaint(load_dataset, files, mapping=ROLES | {"time": "at"})
    assert line == (
        "two.parquet has dt in units of 3600, one.parquet in units of 60: "
        "set time_unit in the mapping, so that they are the same"
    )
    dataset = load_dataset(files, mapping=ROLES | {"time": "at", "time_unit": 60})
    assert dataset.extra["dt"][[0, 2]].tolist() == [1, 60]
    assert isinstance(dataset, Dataset)


def test_a_folder_keeps_the_names_of_its_groups(tmp_path):
    one = load([table(tmp_path / "one.parquet", ["bob", "ann"])], tmp_path, on_disk=True)
    assert load_dataset(tmp_path / "folder").meanings == one.meanings
    assert one.meanings.groups == ("ann", "bob")
    two = convert(table(tmp_path / "two.parquet", ["cy", "bob"]), tmp_path / "other", mapping=ROLES | {"group": "who"})
    both = convert([tmp_path / "folder", tmp_path / "other"], tmp_path / "both")
    assert both.meanings.groups == ("ann", "bob", "cy")
    assert both.extra["group"].tolist() == [1, 1, 0, 0, 2, 2, 1, 1]
    assert two.meanings.groups == ("bob", "cy")


def test_a_group_without_a_name_is_refused():
    """As in a folder that somebody made by hand."""
    joined = meanings.join([("a", Meanings(("x", "y")), True), ("b", Meanings(("x",)), True)])
    for number in (-1, 1):
        assert "a number without a name" in complaint(joined.renumbered, 1, np.array([0, number]))
    assert joined.renumbered(1, np.array([0, 0])).tolist() == [0, 0]

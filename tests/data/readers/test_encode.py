"""Tables with categories, labels of actions and missing cells."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from helpers.data_logs import complaint
from prudent import cli
from prudent.data import Dataset, convert, load_dataset
from prudent.data.readers.mapping import read_map
from prudent.data.writers import write
from prudent.errors import ConfigError, DataError

ROLES = {
    "episode": "id",
    "step": "t",
    "observation": ["stock", "day", "promo"],
    "action": "order",
    "reward": "r",
    "terminated": "end",
    "action_labels": [0, 20, 40],
    "categories": {"day": ["Mon", "Tue", "Wed"], "promo": "one-hot"},
    "fill": {"stock": 5},
}
FORMATS = ("log.csv", "log.parquet")
FEATURES = ("stock", "day=Mon", "day=Tue", "day=Wed", "promo=flyer", "promo=none")


def log(**changes):
    return {
        "id": ["a", "a", "a", "b", "b", "b"],
        "t": [0, 1, 2, 0, 1, 2],
        "stock": [9.0, None, 7.0, 8.0, 6.0, None],
        "day": ["Mon", "Tue", "Wed", "Tue", "Wed", "Mon"],
        "promo": ["none", "flyer", "none", "none", "none", "flyer"],
        "order": [0, 20, 40, 40, 0, 0],
        "r": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "end": [False, False, True, False, False, True],
    } | changes


def save(path, columns):
    table = pa.table(columns)
    pq.write_table(table, path) if path.suffix == ".parquet" else arrow_csv.write_csv(table, path)
    return path


def read(tmp_path, columns=None, name="log.csv", options=None, **roles) -> Dataset:
    mapping = {key: value for key, value in (ROLES | roles).items() if value is not None}
    return load_dataset(save(tmp_path / name, columns or log()), mapping=mapping, **(options or {}))


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_of_words_becomes_numbers_that_keep_their_names(tmp_path, name):
    data = read(tmp_path, name=name)
    hot = np.eye(3)
    flyer, none = [1, 0], [0, 1]
    expected = [
        [9, *hot[0], *none],
        [5, *hot[1], *flyer],
        [7, *hot[2], *none],
        [8, *hot[1], *none],
        [6, *hot[2], *none],
        [5, *hot[0], *flyer],
    ]
    np.testing.assert_array_equal(data.observation, expected)
    np.testing.assert_array_equal(data.next_observation[[0, 1, 3, 4]], np.array(expected)[[1, 2, 4, 5]])
    assert data.action.tolist() == [0, 1, 2, 2, 0, 0]
    assert (data.spec.discrete, data.spec.action_size) == (True, 3)
    assert data.meanings.encoding.features == FEATURES
    assert data.meanings.encoding.labels == ("0", "20", "40")
    assert data.meanings.encoding.actions == ("order",)
    notes = " | ".join(data.notes)
    assert "observation 'stock': 2 missing cells filled with 5" in notes
    assert "observation 'day': one feature for each of 'Mon', 'Tue', 'Wed'" in notes
    assert "action: 0 = '0', 1 = '20', 2 = '40'" in notes


def test_formats_types_and_spellings_agree(tmp_path):
    prints = {read(tmp_path, name=name).fingerprint for name in FORMATS}
    for kind in (str, float):
        orders = [kind(order) for order in log()["order"]]
        prints.add(read(tmp_path, log(order=orders), name="log.parquet").fingerprint)
    prints.add(read(tmp_path, categories={"day": ["Mon", "Tue", "Wed"], "promo": ["flyer", "none"]}).fingerprint)
    nan = log(stock=[np.nan if value is None else value for value in log()["stock"]])
    prints.add(read(tmp_path, nan, name="log.parquet").fingerprint)
    dictionary = log(day=pa.array(log()["day"]).dictionary_encode())
    prints.add(read(tmp_path, dictionary, name="log.parquet").fingerprint)
    (tmp_path / "map.toml").write_text(
        'episode = "id"\nstep = "t"\nobservation = ["stock", "day", "promo"]\naction = "order"\nreward = "r"\n'
        'terminated = "end"\naction_labels = [0, 20, 40]\n\n'
        '[categories]\nday = ["Mon", "Tue", "Wed"]\npromo = "one-hot"\n\n[fill]\nstock = 5.0\n'
    )
    prints.add(load_dataset(tmp_path / "log.csv", mapping=tmp_path / "map.toml").fingerprint)
    assert len(prints) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_an_index_and_a_flag_of_missing_cells(tmp_path, name):
    day = [2, 1, 2, None, 2, 1]
    data = read(
        tmp_path,
        log(day=day),
        name=name,
        categories={"day": {"index": [2, 1]}, "promo": "index"},
        fill={"stock": 0, "day": 1},
        missing_flag=["stock"],
    )
    assert data.meanings.encoding.features == ("stock", "stock missing", "day", "promo")
    np.testing.assert_array_equal(data.observation[:, 0], [9, 0, 7, 8, 6, 0])
    np.testing.assert_array_equal(data.observation[:, 1], [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(data.observation[:, 2], [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(data.observation[:, 3], [1, 0, 1, 1, 1, 0])


def test_categories_of_the_log_are_in_order_and_also_from_next_observations(tmp_path):
    ids = [10, 9, 10, 9, 10, 9]
    mapping = {"observation": "shop", "next_observation": "then", "categories": {"shop": "one-hot"}, "fill": None}
    columns = log(shop=ids, then=[9, 10, None, 100, 10, None])
    for name in FORMATS:
        data = read(tmp_path, columns, name=name, step=None, **mapping)
        assert data.meanings.encoding.features == ("shop=9", "shop=10", "shop=100")
        np.testing.assert_array_equal(data.next_observation[3], [0, 0, 1])
        np.testing.assert_array_equal(data.next_observation[2], data.observation[2], "nothing comes after the end")
    gap = columns | {"then": [None, *columns["then"][1:]]}
    told = complaint(lambda: read(tmp_path, gap, step=None, **mapping))
    assert "column 'then' for next_observation is empty in 1 row, the first is row 0" in told


def test_true_and_false_are_categories_too(tmp_path):
    for name in FORMATS:
        data = read(tmp_path, log(promo=[True, False, True, True, True, False]), name=name)
        np.testing.assert_array_equal(data.observation[:, 5], [1, 0, 1, 1, 1, 0])
        assert data.meanings.encoding.features[4:] == ("promo=false", "promo=true")


@pytest.mark.parametrize(
    ("columns", "roles", "line"),
    [
        ({"day": ["Mo", *log()["day"][1:]]}, {}, "'day' for observation holds in row 0 'Mo', which is none of its"),
        ({"day": ["Mo", *log()["day"][1:]]}, {}, "did you mean 'Mon'?"),
        ({"order": [0, 20, 40, 40, 0, 30]}, {}, "for action holds in row 5 '30', which is none of action_labels"),
        ({"day": [None, *log()["day"][1:]]}, {}, "column 'day' for observation is empty in 1 row, the first is row 0"),
        ({}, {"fill": None}, "column 'stock' for observation is empty in 2 rows, the first is row 1"),
        ({"stock": ["many", "1", "2", "3", "4", "5"]}, {}, "holds 'many' in row 0, expected numbers"),
        ({"order": [0, 20, 40, 40, 0, None]}, {}, "column 'order' for action is empty in 1 row"),
    ],
)  # fmt: skip
def test_cells_that_mean_nothing_are_refused(tmp_path, columns, roles, line):
    assert line in complaint(lambda: read(tmp_path, log(**columns), **roles))


@pytest.mark.parametrize(
    ("columns", "roles", "remedy"),
    [
        ({"day": ["Sun", *log()["day"][1:]]}, {}, "mend the cell, or add it to the categories of 'day' in the mapping"),
        ({"order": [0, 20, 40, 40, 0, 30]}, {}, "mend the cell, or add it to action_labels in the mapping"),
        ({"day": [None, *log()["day"][1:]]}, {}, "([fill], 'day' = one of its categories; list a further one, such as"),
        ({"promo": [None, *log()["promo"][1:]]}, {}, "([fill], 'promo' = one of its categories)"),
        ({}, {"fill": None}, "([fill], 'stock' = a number)"),
        ({}, {"fill": None, "observation": "stock", "categories": None}, "([fill], 'stock' = a number)"),
    ],
)
def test_what_keeps_an_episode_is_advised_before_what_leaves_it_out(tmp_path, columns, roles, remedy):
    line = complaint(lambda: read(tmp_path, log(**columns), **roles))
    assert remedy in line
    assert line.index(remedy) < line.index(
        ", or else skip_bad_episodes=True (--skip-bad-episodes) leaves such episodes"
    )


def test_a_missing_reward_cannot_be_filled(tmp_path):
    line = complaint(lambda: read(tmp_path, log(r=[None, 2.0, 3.0, 4.0, 5.0, 6.0])))
    assert line.endswith("; skip_bad_episodes=True (--skip-bad-episodes) leaves such episodes out")
    assert "fill" not in line


def test_a_fill_value_that_the_log_does_not_have_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="fill value of 'promo' is 'y', which is none of its values in the log"):
        read(tmp_path, fill={"stock": 1, "promo": "y"})
    assert read(tmp_path, fill={"stock": 1, "promo": "none"}).meanings.encoding.columns[2].fill == "none"


def test_an_id_is_no_category(tmp_path):
    rows = 1_100
    columns = {
        "id": np.repeat(np.arange(rows // 2), 2),
        "x": [f"x{k}" for k in range(rows)],
        "a": np.linspace(-1, 1, rows),
        "r": np.ones(rows),
    }
    roles = {"episode": "id", "observation": "x", "action": "a", "reward": "r", "categories": {"x": "one-hot"}}
    with pytest.raises(DataError, match="'x' has 1,100 different values, and categories may be 1 to 1,024"):
        load_dataset(save(tmp_path / "log.parquet", columns), mapping=roles)


def test_categories_do_not_make_a_small_file_large(tmp_path, monkeypatch):
    rows = 5_000
    lines = "".join(f"{row // 10},{row % 1000},0.5,1\n" for row in range(rows))
    (tmp_path / "log.csv").write_text(f"id,x,a,r\n{lines}")
    roles = {"episode": "id", "observation": "x", "action": "a", "reward": "r", "categories": {"x": "one-hot"}}

    def load():
        return load_dataset(tmp_path / "log.csv", mapping=roles, action_low=0, action_high=1)

    assert "out of all proportion" in complaint(load)
    monkeypatch.setenv("PRUDENT_MAX_BYTES", str(1 << 30))
    assert load().spec.observation_size == 1000


def test_an_episode_with_an_unknown_category_is_left_out_if_that_is_asked_for(tmp_path):
    data = read(tmp_path, log(day=["Mo", *log()["day"][1:]]), options={"skip_bad_episodes": True})
    assert data.n_episodes == 1
    assert any("1 of 2 episodes left out" in note for note in data.notes)
    np.testing.assert_array_equal(data.observation[:, 0], [8, 6, 5])


@pytest.mark.parametrize(
    ("roles", "line"),
    [
        (
            {"categories": {"dya": ["Mon"]}},
            "categories is for observation columns, and 'dya' is none; did you mean",
        ),
        ({"fill": {"order": 1}}, "fill is for observation columns, and 'order' is none"),
        ({"missing_flag": "r"}, "missing_flag is for observation columns, and 'r' is none"),
        ({"missing_flag": "day"}, "missing_flag is for columns with a fill value, and 'day' has none"),
        ({"categories": {"day": []}}, "categories of 'day' must be 1 to 1,024, got 0"),
        ({"categories": {"day": ["Mon", "Mon"]}}, "categories of 'day' name 'Mon' twice"),
        ({"categories": {"day": [1, 1.0]}}, "categories of 'day' name '1' twice"),
        ({"categories": {"day": ["Mon", ["Tue"]]}}, "categories of 'day' must be texts or numbers, got ['Tue']"),
        ({"categories": {"day": "two-hot"}}, "categories of 'day' must be a list"),
        ({"categories": {"day": {"index": "Mon"}}}, "categories of 'day' must be a list"),
        ({"categories": {"day": {"place": ["Mon"]}}}, "categories of 'day' must be a list"),
        ({"categories": ["day"]}, "categories must be a table of observation columns"),
        ({"fill": {"day": "Sun"}}, "the fill value of 'day' is none of its categories: 'Sun'"),
        ({"fill": {"stock": "no"}}, "the fill value of 'stock' must be a finite number, got 'no'"),
        ({"fill": {"stock": float("nan")}}, "the fill value of 'stock' must be a finite number, got nan"),
        ({"fill": {"stock": 10**400}}, "the fill value of 'stock' must be a finite number, got 1000"),
        ({"fill": {"stock": [1]}}, "the fill value of 'stock' must be a finite number, got [1]"),
        ({"fill": {"stock": True}}, "the fill value of 'stock' must be a finite number, got True"),
        ({"action_labels": [0, 20, 20.0]}, "action_labels name '20' twice"),
        ({"action_labels": []}, "action_labels must be 1 to 1,024, got 0"),
        ({"action_labels": "0"}, "action_labels must be a list, got '0'"),
        ({"action_labels": [0, 20], "n_actions": 3}, "2 action_labels for n_actions = 3"),
        ({"action_labels": [0, 20], "mask": ["end"]}, "2 action_labels, but mask names 1 columns"),
        ({"action_labels": [0, 20], "first_action": 1}, "labelled actions are numbered from 0"),
        ({"action_labels": [0, 20], "discrete": False}, "action_labels are for one column of choices"),
        ({"action_labels": [0, 20], "action": ["order", "r"], "reward": "t"}, "action_labels are for one column"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(roles, line):
    mapping = {"episode": "id", "observation": ["stock", "day"], "action": "order", "reward": "r"}
    mapping["categories"] = {"day": ["Mon", "Tue"]}
    with pytest.raises(ConfigError) as refused:
        read_map(mapping | roles)
    assert str(refused.value).startswith(f"mapping: {line}")


def test_flags_that_contradict_the_labels_are_refused(tmp_path):
    for options in ({"n_actions": 5}, {"first_action": 1}, {"discrete": False}, {"action_low": 0, "action_high": 40}):
        with pytest.raises(ConfigError, match=r"log.csv: .*action_labels"):
            read(tmp_path, options=options)
    assert read(tmp_path, options={"n_actions": 3, "discrete": True}).spec.action_size == 3


def test_one_line_and_nothing_written(tmp_path, capsys):
    save(tmp_path / "log.csv", log())
    (tmp_path / "map.toml").write_text(
        'episode = "id"\nobservation = "day"\naction = "order"\nreward = "r"\n[fill]\nstock = 1\n'
    )
    words = ["data", "import", str(tmp_path / "log.csv"), "--map", str(tmp_path / "map.toml")]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--out", str(tmp_path / "o.hdf5")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "o.hdf5").exists()


# --- on their way -------------------------------------------------------------------------------------------


def test_names_survive_pieces_joins_folders_and_files(tmp_path):
    data = read(tmp_path)
    names = data.meanings.encoding
    roles = {"mapping": ROLES}
    write(data, str(tmp_path / "o.hdf5"), {"source": "log.csv"})
    folder = convert(tmp_path / "log.csv", tmp_path / "folder", **roles)
    assert load_dataset(tmp_path / "folder").meanings.encoding == names
    again = [
        *data.split(0.5),
        data.episodes([1]),
        data.relabelled(name="x"),
        Dataset.join([data, data]),
        folder,
        load_dataset([tmp_path / "log.csv"] * 2, **roles),
        convert([tmp_path / "log.csv"] * 2, tmp_path / "twice", **roles),
        load_dataset(tmp_path / "o.hdf5"),
        convert(tmp_path / "o.hdf5", tmp_path / "streamed"),
        convert([tmp_path / "o.hdf5"] * 2, tmp_path / "streamed-twice"),
    ]
    assert [part.meanings.encoding for part in again] == [names] * len(again)
    assert load_dataset(tmp_path / "o.hdf5").fingerprint == folder.fingerprint == data.fingerprint


def test_names_survive_minari(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    data = read(tmp_path, step=None)
    write(data, "minari:shop/orders-v0", {})
    assert load_dataset("minari:shop/orders-v0").meanings.encoding == data.meanings.encoding


@pytest.mark.parametrize("on_disk", [False, True])
def test_tables_whose_categories_differ_are_not_joined(tmp_path, on_disk):
    save(tmp_path / "one.csv", log())
    save(tmp_path / "two.csv", log(promo=["none", "mail", "none", "none", "none", "mail"]))
    sources = [tmp_path / "one.csv", tmp_path / "two.csv"]

    def load(**options):
        return convert(sources, tmp_path / "folder", **options) if on_disk else load_dataset(sources, **options)

    line = "two.csv does not fit one.csv: other categories of 'promo'"
    assert line in complaint(lambda: load(mapping=ROLES))
    assert not (tmp_path / "folder").exists()
    listed = ROLES | {"categories": {"day": ["Mon", "Tue", "Wed"], "promo": ["none", "flyer", "mail"]}}
    assert load(mapping=listed).spec.observation_size == 7


def test_data_without_names_take_the_names_from_the_joined(tmp_path):
    data = read(tmp_path)
    nameless = Dataset.from_columns(
        **{key: getattr(data, key) for key in ("observation", "action", "reward", "next_observation", "terminated")},
        truncated=data.truncated,
        discrete=True,
        n_actions=3,
        extra={"step": data.extra["step"]},
        name="arrays",
    )
    joined = Dataset.join([data, nameless])
    assert joined.meanings.encoding is None
    assert "arrays does not name its columns, so those of the joined data have no names" in joined.notes


def test_a_damaged_encoding_is_refused_in_one_line(tmp_path):
    h5py = pytest.importorskip("h5py")
    write(read(tmp_path), str(tmp_path / "o.hdf5"), {})
    for text in ("{", '{"columns": []}', '{"columns": [], "actions": [], "labels": null}', "[" * 100_000, "3"):
        with h5py.File(tmp_path / "o.hdf5", "r+") as file:
            del file["metadata/encoding"]
            file["metadata/encoding"] = text
        assert "o.hdf5: encoding in its metadata" in complaint(lambda: load_dataset(tmp_path / "o.hdf5"))
        assert "o.hdf5: encoding in its metadata" in complaint(lambda: convert(tmp_path / "o.hdf5", tmp_path / "f"))
    assert not (tmp_path / "f").exists()

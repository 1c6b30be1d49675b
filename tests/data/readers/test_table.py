"""CSV and Parquet tables, through a mapping of columns to roles."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from helpers.data_logs import complaint, walk
from prudent import cli
from prudent.data import Dataset, load_dataset
from prudent.data.readers.mapping import TableMap, read_map
from prudent.errors import ConfigError, DataError

ROLES = {
    "episode": "id",
    "step": "t",
    "observation": ["x", "y", "z"],
    "action": ["u", "w"],
    "reward": "r",
    "terminated": "end",
}
FORMATS = ("log.parquet", "log.csv", "log.csv.gz")
LENGTHS = (4, 3, 5)


def log(**changes):
    """Three episodes, the second of which does not terminate; feature 0 tells the episode, feature 1 the step."""
    flat = walk(LENGTHS)
    observation, action = flat["observations"].astype(float), flat["actions"].astype(float)
    end = flat["ends"].copy()
    end[6] = False
    table = {
        "id": np.repeat(["ann", "bob", "cy"], LENGTHS).tolist(),
        "t": observation[:, 1].astype(int),
        **dict(zip("xyz", observation.T, strict=True)),
        **dict(zip("uw", action.T, strict=True)),
        "r": flat["rewards"].astype(float),
        "end": end,
    }
    return {key: column for key, column in (table | changes).items() if column is not None}


def write(path: Path, columns, rows=None) -> Path:
    table = pa.table(columns)
    table = table if rows is None else table.take(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        arrow_csv.write_csv(table, path)
    else:
        arrow_csv.write_csv(table, path.with_suffix(""))
        path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return path


def read(tmp_path, columns=None, name="log.parquet", rows=None, options=None, **roles) -> Dataset:
    mapping = {key: value for key, value in (ROLES | roles).items() if value is not None}
    return load_dataset(write(tmp_path / name, columns or log(), rows), mapping=mapping, **(options or {}))


# --- content ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_become_the_transitions_of_their_episodes(tmp_path, name, shuffled):
    flat = walk(LENGTHS)
    rows = np.random.default_rng(3).permutation(12) if shuffled else np.arange(12)
    dataset = read(tmp_path, name=name, rows=rows)
    # Episodes come by first appearance; bob's last row has no successor.
    first = list(dict.fromkeys(np.repeat([0, 1, 2], LENGTHS)[rows].tolist()))
    starts = np.cumsum([0, *LENGTHS])
    kept = np.concatenate([np.arange(starts[k], starts[k + 1] - (k == 1)) for k in first])
    np.testing.assert_array_equal(dataset.observation, flat["observations"][kept])
    np.testing.assert_array_equal(dataset.action, flat["actions"][kept])
    np.testing.assert_array_equal(dataset.reward, flat["rewards"][kept])
    inside = ~dataset.terminated
    np.testing.assert_array_equal(dataset.next_observation[inside], flat["successor"][kept][inside])
    assert dataset.observation[dataset.terminated, 1].tolist() == [LENGTHS[k] - 1 for k in first if k != 1]
    assert dataset.observation[dataset.truncated, 1].tolist() == [1]
    assert dataset.extra["step"].tolist() == flat["observations"][kept, 1].astype(int).tolist()
    notes = " | ".join(dataset.notes)
    assert "1 row dropped" in notes
    assert ("out of order of step" in notes) == shuffled


def test_the_formats_agree_and_a_file_is_the_same_as_a_dictionary(tmp_path, capsys):
    map_file = tmp_path / "map.toml"
    map_file.write_text(
        "\n".join(f"{key} = {str(value).replace(chr(39), chr(34))}" if isinstance(value, list) else f'{key} = "{value}"'
                  for key, value in ROLES.items())
    )  # fmt: skip
    prints = {read(tmp_path, name=name).fingerprint for name in FORMATS}
    prints |= {load_dataset(tmp_path / name, mapping=map_file).fingerprint for name in FORMATS}
    cli.main(["data", "import", str(tmp_path / "log.csv"), "--map", str(map_file), "--out", str(tmp_path / "o.hdf5")])
    assert "wrote" in capsys.readouterr().out
    prints.add(load_dataset(tmp_path / "o.hdf5").fingerprint)
    assert len(prints) == 1


def test_time_orders_rows_and_gives_dt(tmp_path):
    seconds = np.array([0, 1, 2, 6, 0, 2, 4, 0, 2, 4, 6, 8])
    columns = log(t=seconds)
    dataset = read(tmp_path, columns, step=None, time="t")
    # The median of all steps inside episodes is 2; bob's last row is dropped.
    assert dataset.extra["dt"].tolist() == [0.5, 0.5, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert any("units of the median" in note for note in dataset.notes)
    assert read(tmp_path, columns, step=None, time="t", time_unit=1).extra["dt"][:3].tolist() == [1, 1, 4]
    moments = np.datetime64("2026-03-01T00:00:00", "ms") + seconds * np.timedelta64(1000, "ms")
    for name in FORMATS:
        stamped = read(tmp_path, log(t=moments), name=name, step=None, time="t", time_unit=1)
        assert stamped.extra["dt"][:3].tolist() == [1, 1, 4]
        assert stamped.fingerprint == read(tmp_path, columns, step=None, time="t", time_unit=1).fingerprint


def test_groups_and_behaviour_probabilities(tmp_path):
    columns = log(who=["b"] * 4 + ["a"] * 8, p=np.linspace(0.1, 2, 12))
    dataset = read(tmp_path, columns, group="who", behavior_prob="p")
    assert dataset.extra["group"].tolist() == [1] * 4 + [0] * 7
    assert any("0 = 'a', 1 = 'b'" in note for note in dataset.notes)
    kept = np.delete(np.arange(12), 6)
    np.testing.assert_allclose(dataset.extra["behavior_log_prob"], np.log(columns["p"])[kept], rtol=1e-6)
    same = read(tmp_path, log(p=np.log(columns["p"])), behavior_log_prob="p")
    np.testing.assert_allclose(same.extra["behavior_log_prob"], dataset.extra["behavior_log_prob"], rtol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_choices_and_masks(tmp_path, name):
    choice = np.arange(12) % 3
    mask = np.eye(4, dtype=bool)[choice] | np.array([True, False, False, False])
    columns = log(u=choice, **{f"m{k}": mask[:, k] for k in range(4)})
    masks = [f"m{k}" for k in range(4)]
    dataset = read(tmp_path, columns, name, action="u", discrete=True, mask=masks)
    kept = np.delete(np.arange(12), 6)
    assert dataset.spec.action_size == 4
    assert dataset.action.tolist() == choice[kept].tolist()
    np.testing.assert_array_equal(dataset.extra["mask"], mask[kept])
    following = np.concatenate([mask[1:], mask[-1:]])[kept]
    np.testing.assert_array_equal(dataset.extra["next_mask"], following | dataset.terminated[:, None])


def test_stated_successors_keep_every_row(tmp_path):
    flat = walk(LENGTHS)
    names = ["nx", "ny", "nz"]
    columns = log(**dict(zip(names, flat["successor"].T.astype(float), strict=True)))
    dataset = read(tmp_path, columns, next_observation=names)
    np.testing.assert_array_equal(dataset.next_observation, flat["successor"])
    assert np.flatnonzero(dataset.truncated).tolist() == [6]


def test_flags_alone_divide_the_rows_as_they_stand(tmp_path):
    dataset = read(tmp_path, log(stop=np.arange(12) == 6), episode=None, step=None, truncated="stop")
    assert dataset.episode_lengths.tolist() == [4, 2, 5]
    assert dataset.n_episodes == 3


def test_columns_that_look_like_ends_and_are_not_mapped_are_said(tmp_path):
    ends = log()["end"]
    more = {"done": ends, "Is_Last": ends, "episode_starts": ends, "info.truncated": ends, "weekend": ends}
    dataset = read(tmp_path, log(**more), "log.csv")
    (note,) = [note for note in dataset.notes if "not mapped" in note]
    assert note.startswith(
        "not mapped, though by its name it may mark ends of episodes: done, Is_Last, episode_starts, "
    )
    assert "info.truncated; map it to terminated or truncated if it does" in note
    mapped = read(tmp_path, log(truncated=log()["end"] & False), "log.csv", truncated="truncated")
    assert not any("not mapped" in note for note in mapped.notes)


def test_a_gap_in_the_steps_ends_an_episode(tmp_path):
    step = walk(LENGTHS)["observations"][:, 1].astype(int)
    step[9:] += 7
    dataset = read(tmp_path, log(t=step))
    assert any("1 gap in the steps, the first after row 8 (step 1, then 9)" in note for note in dataset.notes)
    assert dataset.observation[:, 1].tolist() == [0, 1, 2, 3, 0, 1, 0, 2, 3, 4]
    assert dataset.episode_lengths.tolist() == [4, 2, 1, 3]


def test_whole_numbered_actions_are_asked_about(tmp_path):
    columns = log(u=np.arange(12) % 3)
    for name in FORMATS:
        line = complaint(read, tmp_path, columns, name, action="u")
        assert "whole numbers from 0 to 2: choices, or amounts?" in line
    assert read(tmp_path, columns, action="u", discrete=True).spec.discrete
    assert not read(tmp_path, columns, action="u", discrete=False).spec.discrete
    assert read(tmp_path, columns, action="u", options={"n_actions": 5}).spec.action_size == 5


@pytest.mark.parametrize(
    ("roles", "options"),
    [
        ({"discrete": True}, {}),
        ({}, {"discrete": True}),
        ({"n_actions": 5}, {}),
        ({}, {"n_actions": 5}),
        ({"discrete": False}, {"discrete": True}),
    ],
)
def test_probabilities_of_choices_are_checked_whoever_says_that_they_are(tmp_path, roles, options):
    columns = log(c=np.arange(12) % 3, p=[0.5] * 11 + [1.5], w=None)
    with pytest.raises(DataError, match="behavior_prob of a choice is a probability of 1 at most, row 11 has more"):
        read(tmp_path, columns, action="c", behavior_prob="p", options=options, **roles)
    with pytest.raises(DataError, match="behavior_log_prob of a choice is a probability of 1 at most, row 0 has more"):
        read(tmp_path, columns, action="c", behavior_log_prob="p", options=options, **roles)


@pytest.mark.parametrize(("roles", "options"), [({"discrete": False}, {}), ({"discrete": True}, {"discrete": False})])
def test_densities_of_amounts_may_be_large(tmp_path, roles, options):
    columns = log(c=np.arange(12) % 3, p=[1.5] * 12, w=None)
    found = read(tmp_path, columns, action="c", behavior_prob="p", options=options, **roles)
    np.testing.assert_allclose(found.extra["behavior_log_prob"], np.log(1.5), rtol=1e-6)


# --- refusals -----------------------------------------------------------------------------------------------


def put(key, row, value):
    column = np.asarray(log()[key]).astype(object)
    column[row] = value
    return {key: column.tolist()}


@pytest.mark.parametrize(
    ("changes", "roles", "words"),
    [
        (put("r", 4, None), {}, "column 'r' for reward is empty in 1 row, the first is row 4"),
        (put("x", 2, float("inf")), {}, "column 'x' for observation is NaN or infinite in 1 row, the first is row 2"),
        (put("id", 5, None), {}, "column 'id' for episode is empty in row 5"),
        (put("id", 5, ""), {}, "column 'id' for episode is empty in row 5"),
        (put("t", 1, 2), {}, "1 row with a step that their episode has already, the first is row 2 (step 2, as row 1)"),
        ({"t": np.arange(12) / 2}, {}, "step must be whole numbers up to 2^53, row 1 is 0.5"),
        (put("end", 1, True), {}, "terminated is set in 1 row after which the episode goes on, the first is row 1"),
        ({"end": ["maybe"] * 12}, {}, "column 'end' for terminated must be true/false or 0/1, row 0 is 'maybe'"),
        ({"end": [2] * 12}, {}, "column 'end' for terminated must be true/false or 0/1, row 0 is 2"),
        ({"x": ["a"] * 12}, {}, "column 'x' for observation holds string, expected numbers"),
        ({"u": ["left"] * 12}, {}, "column 'u' for action holds string, expected numbers: give each choice a number"),
        ({"x": [[1, 2]] * 12}, {}, "column 'x' holds list"),
        ({"p": [0.0] * 12}, {"behavior_prob": "p"}, "behavior_prob must be above 0, as the action was taken; row 0"),
        (
            {"u": np.arange(12) % 2, "p": [1.5] * 12},
            {"behavior_prob": "p", "discrete": True, "action": "u"},
            "behavior_prob of a choice is a probability of 1 at most, row 0",
        ),
        ({}, {"discrete": True}, "discrete actions stand in one column, action names 2"),
        ({"t": [0, 1, 2, 1e300, *range(8)]}, {"step": None, "time": "t"}, "too far apart"),
        ({}, {"action_low": 0.0, "action_high": 0.1}, "lie outside the declared bounds"),
    ],
)
def test_bad_tables_get_one_clear_line(tmp_path, changes, roles, words):
    line = complaint(read, tmp_path, log(**changes), **roles)
    assert line.startswith("log.parquet: ")
    assert words in line


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"epsode": "id"}, "no setting is called 'epsode'; did you mean episode?"),
        ({"reward": None}, "reward names no column"),
        ({"reward": 3}, "reward cannot be 3: expected text"),
        ({"time": "t", "time_unit": "h"}, "time_unit cannot be 'h': expected a number above 0, of seconds if the time"),
        (
            {"time": "t", "time_unit": "h"},
            "(60 counts minutes, 3600 hours, 86400 days), else in the units of that column",
        ),
        ({"time": "t", "time_unit": 0}, "time_unit cannot be 0.0: expected a number above 0"),
        ({"time": "t", "time_unit": True}, "time_unit cannot be True: expected a number above 0"),
        ({"n_actions": "two"}, "n_actions cannot be 'two': expected a whole number"),
        ({"episode": None, "step": None, "terminated": None}, "nothing says where episodes end"),
        ({"episode": None}, "step orders the rows of an episode: name episode too"),
        ({"observation": ["x", "x"]}, "observation names column 'x' twice"),
        ({"truncated": "end"}, "column 'end' is named as terminated and as truncated"),
        ({"time_unit": 2.0}, "time_unit is for a time column"),
        ({"next_observation": ["x"]}, "next_observation names 1 columns, observation 3"),
        ({"behavior_prob": "x", "behavior_log_prob": "y"}, "not both"),
    ],
)
def test_bad_mappings_get_one_clear_line(roles, words):
    with pytest.raises(ConfigError) as caught:
        read_map({key: value for key, value in (ROLES | roles).items() if value is not None})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mapping_that_does_not_fit_names_the_nearest_column(tmp_path):
    with pytest.raises(ConfigError, match=r"log\.parquet: no column 'reword' for reward; there are 'id', 't'"):
        read(tmp_path, reward="reword")
    with pytest.raises(ConfigError, match="no column 'ends' for terminated; did you mean 'end'"):
        read(tmp_path, terminated="ends")


def test_a_table_needs_a_mapping_and_others_refuse_one(tmp_path):
    path = write(tmp_path / "log.csv", log())
    assert "its columns are 'id', 't', 'x'" in complaint(load_dataset, path)
    assert "a mapping (--map) is for CSV and Parquet tables" in complaint(load_dataset, "pendulum-mixed", mapping=ROLES)
    assert "horizon does not apply" in complaint(load_dataset, path, mapping=ROLES, horizon=5)


def test_csv_errors_name_column_and_row(tmp_path):
    path = write(tmp_path / "log.csv", log(r=["1.5"] * 11 + ["much"]))
    line = complaint(load_dataset, path, mapping=ROLES)
    assert line.startswith("log.csv: column 'r' holds 'much' in row 11, expected numbers; skip_bad_episodes=True")
    path = write(tmp_path / "log.csv", log(x=["red"] * 12))
    assert "holds 'red' in row 0, expected numbers; if it holds words throughout, give each word a number" in complaint(
        load_dataset, path, mapping=ROLES
    )
    path.write_text("id,t,x\nann,1\n")
    assert "damaged table" in complaint(
        load_dataset, path, mapping={"episode": "id", "observation": "x", "action": "t", "reward": "x"}
    )
    path.write_text("id,id\n1,2\n")
    assert "column 'id' is there twice" in complaint(load_dataset, path, mapping=ROLES)


def test_every_role_is_a_plain_field():
    assert read_map(ROLES) == TableMap(("x", "y", "z"), ("u", "w"), "r", "id", "t", terminated="end")


def test_counters_and_outcomes_that_are_not_mapped_are_said(tmp_path):
    columns = {"x": np.arange(12.0), "u": np.sin(np.arange(12)), "r": np.ones(12), "step": np.arange(12) % 4}
    columns |= {"died": np.arange(12) % 4 == 3, "end": np.arange(12) % 4 == 3, "stay": np.arange(12) // 4}
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "log.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    roles = {"observation": "x", "action": "u", "reward": "r"}
    counter = "begin anew with each episode: step; only flags end an episode here: map episode if so"
    outcome = "value may end there: died; map it to terminated if it does"

    def said(**more):
        notes = load_dataset(path, mapping=roles | more).notes
        return [any(words in note for note in notes) for words in (counter, outcome)]

    assert said(terminated="end") == [True, False]
    assert said(episode="stay") == [False, True]
    assert said(episode="stay", terminated="died", step="step") == [False, False]

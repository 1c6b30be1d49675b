"""Names from the table to the policy: words, labels and missing cells in a log, and a dictionary for ``predict``."""

import copy
import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import prudent
from helpers.runs import TINY
from prudent import cli
from prudent.data import Dataset, convert, load_dataset
from prudent.errors import ConfigError, DataError, PrudentError
from prudent.runs import checkpoint
from prudent.training.resume import resume

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MAP = """
episode = "shop"
step = "day_number"
observation = ["on_hand", "weekday", "promo", "demand"]
action = "order"
reward = "profit"
terminated = "closed"
action_labels = [0, 20, 40]

[categories]
weekday = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
promo = "one-hot"

[fill]
demand = 12.5
"""
FEATURES = ("on_hand", *(f"weekday={day}" for day in DAYS), "promo=flyer", "promo=none", "demand")
ROW = {"on_hand": 40, "weekday": "Tue", "promo": "none", "demand": None}
SAME = np.array([40, 0, 1, 0, 0, 0, 0, 0, 0, 1, 12.5])
SETTINGS = {**TINY["cql"], "seeds": [0]}
SETTINGS.pop("n_actions", None)


def write_log(folder, promos=("none", "flyer")):
    rng = np.random.default_rng(0)
    with (folder / "log.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["shop", "day_number", "on_hand", "weekday", "promo", "demand", "order", "profit", "closed"])
        for shop in range(24):
            for day in range(14):
                demand = "" if day % 5 == 1 else round(rng.uniform(5, 20), 2)
                order = rng.choice([0, 20, 40])
                row = [f"s{shop}", day, rng.uniform(0, 100), DAYS[day % 7], promos[day % 3 == 0], demand, order]
                out.writerow([*row, rng.normal(), int(day == 13)])
    (folder / "map.toml").write_text(MAP)
    return folder


def learner():
    return prudent.DiscreteCQL(hidden=(8, 8), batch_size=16, seeds=[0, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log, and a policy that learned from it."""
    folder = write_log(tmp_path_factory.mktemp("names"))
    data = load_dataset(folder / "log.csv", mapping=folder / "map.toml")
    learner().fit(data, steps=3, progress=False).save(folder / "agent")
    return folder


@pytest.fixture
def agent(folder):
    return prudent.load(folder / "agent")


@pytest.fixture
def data(folder):
    return load_dataset(folder / "log.csv", mapping=folder / "map.toml")


def test_from_a_table_of_words_to_a_dictionary_for_predict(agent, data):
    assert agent.encoding == data.meanings.encoding
    assert agent.encoding.features == FEATURES
    for member in (0, 1):
        assert agent.predict(ROW, member) == agent.predict(SAME, member)
        assert agent.q_value(ROW, "20", member) == agent.q_value(SAME, 1, member)
        action, log_prob = agent.act(ROW, deterministic=True, member=member)
        assert (action, log_prob) == agent.act(SAME, deterministic=True, member=member)
    assert agent.encoding.label(agent.predict(ROW)) in ("0", "20", "40")
    mask = np.array([False, True, False])
    assert agent.encoding.label(agent.predict(ROW, mask=mask)) == "20"


def test_every_logged_row_by_its_names_is_what_it_was_trained_as(folder, agent, data):
    with (folder / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    rows = [
        {
            "on_hand": float(row["on_hand"]),
            "weekday": row["weekday"],
            "promo": row["promo"],
            "demand": float(row["demand"]) if row["demand"] else None,
        }
        for row in table
    ]
    expected = agent.q_value(data.observation, data.action)
    np.testing.assert_array_equal(agent.q_value(rows, [row["order"] for row in table]), expected)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    np.testing.assert_array_equal(agent.predict(columns), agent.predict(data.observation))


def test_names_survive_copies_and_run_folders(folder, agent, tmp_path):
    assert copy.deepcopy(agent).predict(ROW) == agent.predict(ROW)
    words = [str(folder / "log.csv"), "--map", str(folder / "map.toml"), "--algo", "discrete_bc", "--hidden", "8"]
    cli.main(["train", *words, "--steps", "4", "--batch-size", "8", "--out", str(tmp_path / "run"), "--device", "cpu"])
    trained = prudent.load(tmp_path / "run")
    assert trained.encoding == agent.encoding
    assert trained.predict(ROW) == trained.predict(SAME)
    # The mapping is stored with the run: its data are read again in the same way.
    cli.main(["train", "--resume", str(tmp_path / "run"), "--steps", "6"])
    assert prudent.load(tmp_path / "run").encoding == agent.encoding
    stored = json.loads((tmp_path / "run/config.json").read_text())["train"]["sources"]["mapping"]
    assert stored["categories"]["promo"] == "one-hot"
    assert stored["fill"] == {"demand": 12.5}


def test_a_converted_log_trains_a_policy_with_the_same_names(folder, tmp_path, agent):
    mapped = convert(folder / "log.csv", tmp_path / "folder", mapping=folder / "map.toml")
    other = learner().fit(mapped, steps=3, progress=False)
    assert other.encoding == agent.encoding
    assert other.q_value(ROW, "0") == agent.q_value(ROW, "0")


def test_other_names_or_categories_are_refused_wherever_data_meet_a_policy(agent, data, tmp_path):
    # The promotion "mail" takes the place of "flyer": same sizes, another meaning.
    other = load_dataset(write_log(tmp_path, ("none", "mail")) / "log.csv", mapping=tmp_path / "map.toml")
    assert other.spec == data.spec
    line = "log.csv does not fit .*: other categories of 'promo': one-hot of 'mail', 'none' against one-hot of 'flyer'"
    with pytest.raises(DataError, match=line):
        agent.fit(other, steps=1, warm_start=True)
    with pytest.raises(DataError, match=line):
        prudent.value(agent, other)
    with pytest.raises(DataError, match=line):
        Dataset.join([data, other])
    with pytest.raises(DataError, match=line):
        prudent.support(agent, other)
    agent.fit(data, steps=1, warm_start=True, progress=False)


def test_resuming_with_renamed_labels_is_refused(folder, tmp_path):
    data = load_dataset(folder / "log.csv", mapping=folder / "map.toml")
    prudent.DiscreteBC(hidden=(8,), batch_size=8).fit(data, steps=2, out=tmp_path / "run", progress=False)
    encoding = replace(data.meanings.encoding, labels=("0", "20", "60"))
    renamed = data.relabelled(meanings=replace(data.meanings, encoding=encoding))
    assert renamed.fingerprint == data.fingerprint
    with pytest.raises(DataError, match="does not fit what was trained: action labels '0', '20', '60' against"):
        resume(tmp_path / "run", steps=4, dataset=renamed)


def test_policies_without_names_load_and_act_as_before(tmp_path, data):
    nameless = data.relabelled(meanings=type(data.meanings)())
    agent = prudent.DiscreteCQL(hidden=(8, 8), batch_size=16).fit(nameless, steps=2, progress=False)
    agent.save(tmp_path / "old")
    content = next((tmp_path / "old").glob("checkpoints/*/checkpoint.json")).read_text()
    assert "encoding" not in json.loads(content)
    old = prudent.load(tmp_path / "old")
    assert old.encoding is None
    assert old.predict(SAME) == agent.predict(SAME)
    with pytest.raises(PrudentError, match="trained on data without names of columns: hand over its 11 features"):
        old.predict(ROW)
    old.fit(data, steps=1, warm_start=True, progress=False)


@pytest.mark.parametrize("damage", [[], {"columns": []}, {"columns": [], "actions": [], "labels": None}, "x", 3])
def test_a_checkpoint_with_damaged_names_is_refused(agent, damage):
    contents = checkpoint.contents(agent.population, {})
    tensors = checkpoint.load_tensors(contents[checkpoint.STATE])
    description = json.loads(contents[checkpoint.DESCRIPTION])
    assert checkpoint.described(tensors, description, "cpu").scaling.encoding == agent.encoding
    with pytest.raises(PrudentError, match="the description does not fit this version"):
        checkpoint.described(tensors, {**description, "encoding": damage}, "cpu")


def test_continuous_actions_keep_their_names_too(tmp_path):
    with (tmp_path / "log.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "pulse", "ward", "dose", "score"])
        rng = np.random.default_rng(1)
        for row in range(200):
            out.writerow([row // 10, rng.normal(), "AB"[row % 2], rng.uniform(-1, 1), rng.normal()])
    mapping = {"episode": "id", "observation": ["pulse", "ward"], "action": "dose", "reward": "score"}
    data = load_dataset(tmp_path / "log.csv", mapping={**mapping, "categories": {"ward": ["A", "B"]}})
    agent = prudent.CQL(**SETTINGS).fit(data, steps=2, progress=False)
    row, same = {"pulse": 0.5, "ward": "B"}, [0.5, 0, 1]
    np.testing.assert_array_equal(agent.predict(row), agent.predict(same))
    assert agent.q_value(row, [0.25]) == agent.q_value(same, [0.25])
    assert (agent.encoding.actions, agent.encoding.labels) == (("dose",), None)
    with pytest.raises(DataError, match="have no labels"):
        agent.encoding.label(agent.predict(row))


def test_describe_names_the_features(folder, capsys):
    words = ["data", "describe", str(folder / "log.csv"), "--map", str(folder / "map.toml")]
    cli.main(words)
    assert "Observation features\n        0 'on_hand'\n        1 'weekday=Mon'\n" in capsys.readouterr().out
    cli.main([*words, "--json"])
    assert json.loads(capsys.readouterr().out)["features"] == list(FEATURES)


def test_the_command_line_refuses_in_one_line(folder, tmp_path, capsys):
    (tmp_path / "map.toml").write_text(MAP.replace("[0, 20, 40]", "[0, 20]"))
    words = ["train", str(folder / "log.csv"), "--map", str(tmp_path / "map.toml"), "--algo", "discrete_bc"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "'order' for action holds in row" in lines[0]
    assert "'40', which is none of action_labels ('0', '20')" in lines[0]
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="outside_range"):
        prudent.load(folder / "agent", outside_range="no")

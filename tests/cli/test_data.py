"""The flags that tell about data, on the command line."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from helpers.runs import prudent
from prudent import cli
from prudent.data import load_dataset, writers
from prudent.data.readers import provenance

pytest_plugins = ["helpers.run_fixtures"]


@pytest.fixture
def choices(tmp_path):
    """A log of whole-numbered actions that nobody declared."""
    rows = np.arange(40)
    path = tmp_path / "log.npz"
    observation = np.stack([rows, rows**2], axis=1).astype(np.float32)
    np.savez(
        path,
        observations=observation,
        next_observations=np.concatenate([observation[1:], observation[-1:] + 1]),
        actions=rows % 3,
        rewards=rows.astype(np.float32),
        dones=rows == 39,
    )
    return path


def test_choices_are_declared_by_flags(choices, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "describe", str(choices)])
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert "actions are whole numbers from 0 to 2" in line
    assert "--discrete yes or no" in line
    for words, count in ((["--discrete", "yes"], 3), (["--action-count", "5"], 5)):
        cli.main(["data", "describe", str(choices), "--json", *words])
        figures = json.loads(capsys.readouterr().out)
        assert figures["discrete"]
        assert figures["action_size"] == count
    with pytest.raises(SystemExit):
        cli.main(["data", "describe", str(choices), "--discrete", "no", "--action-count", "5"])
    assert "declared continuous" in capsys.readouterr().err


def test_convert_writes_a_folder_to_train_on_and_nothing_where_one_is(choices, tmp_path, capsys):
    folder = tmp_path / "columns"
    words = ["data", "convert", str(choices), "--out", str(folder), "--discrete", "yes"]
    cli.main(words)
    said = capsys.readouterr().out
    assert "was read into memory as a whole" in said
    assert f"wrote {folder}: " in said
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


def test_describe_tells_optional_columns_and_how_a_file_was_made(tmp_path, capsys):
    log = load_dataset("pendulum-mixed").episodes(range(6))
    groups = np.repeat([3, 3, 3, 5, 5, 9], log.episode_lengths)
    extra = {"group": groups, "behavior_log_prob": np.zeros(len(log), dtype=np.float32)}
    path = tmp_path / "log.hdf5"
    about = {"source": "table\x1b[31m.csv", "seed": 3, "notes": ["2 rows left out"]}
    writers.write(replace(log, extra=extra), str(path), about)
    cli.main(["data", "describe", str(path)])
    told = capsys.readouterr().out
    assert "columns       groups 3; dt none, every step takes 1; logged probabilities yes\n" in told
    assert (
        "How log.hdf5 was made, as the file says\n  seed: 3\n  source: table [31m.csv\n  note: 2 rows left out\n"
        in told
    )
    cli.main(["data", "describe", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["groups"], found["dt"], found["logged_probabilities"]) == (3, None, True)
    assert found["made"] == {"log.hdf5": {"seed": "3", "source": "table [31m.csv", "notes": ["2 rows left out"]}}
    cli.main(["data", "describe", "pendulum-mixed"])
    told = capsys.readouterr().out
    assert "groups none; dt none, every step takes 1; logged probabilities none" in told
    assert "was made, as the file says" not in told


@pytest.mark.parametrize("metadata", ["absent", "array", "number"])
def test_metadata_of_other_kinds_are_passed_over(tmp_path, metadata):
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        if metadata == "array":
            file["metadata/policy"] = np.zeros(5)
        if metadata == "number":
            file["metadata"] = 1
    assert provenance.read(tmp_path / "log.hdf5") == {}


def test_describe(log, capsys):
    assert prudent("data", "describe", log) == 0
    assert "240" in capsys.readouterr().out
    assert prudent("data", "describe", log, "--json") == 0
    json.loads(capsys.readouterr().out)


# --- how episodes end -----------------------------------------------------------------------------------------

STAYS = "dropped rows hold 80 % of all reward"


@pytest.fixture
def stays(tmp_path):
    """Stays that end with -15 (flagged as terminated) or with +15 (flagged as timeout), without next observations."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(6, 12, 60)
    ends = np.cumsum(lengths) - 1
    died = np.arange(60) % 11 < 2
    rewards, terminals = np.zeros(lengths.sum(), np.float32), np.zeros(lengths.sum(), bool)
    rewards[ends], terminals[ends] = np.where(died, -15, 15), died
    timeouts = np.zeros_like(terminals)
    timeouts[ends] = ~died
    path = tmp_path / "stays.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(lengths.sum(), 3)).astype(np.float32)
        file["actions"] = rng.uniform(-2, 2, size=(lengths.sum(), 1)).astype(np.float32)
        file["rewards"], file["terminals"], file["timeouts"] = rewards, terminals, timeouts
        file["metadata/action_low"], file["metadata/action_high"] = [-2.0], [2.0]
    return path


def test_every_verb_says_that_the_outcomes_were_dropped(stays, tmp_path, quick_report, capsys):  # noqa: ARG001
    run, folder = tmp_path / "run", tmp_path / "folder"
    quick = ("--steps", 4, "--eval-episodes", 1)
    env = ("--env", "Pendulum-v1")
    train = ("--algo", "cql", "--hidden", 8, 8, "--batch-size", 16, "--n-actions", 2, "--seeds", 0, *env)
    value = ("--steps", 4, "--n-bootstrap", 0, "--behaviour-steps", 4, "--members", 2, "--folds", 2)
    verbs = [
        ("data", "describe", stays),
        ("data", "import", stays, "--out", tmp_path / "copy.hdf5"),
        ("data", "describe", tmp_path / "copy.hdf5"),
        ("data", "convert", stays, "--out", folder),
        ("data", "describe", folder),
        ("train", stays, *train, *quick, "--out", run),
        ("train", folder, *train, *quick, "--out", tmp_path / "mapped"),
        ("value", run, *value, "--max-outside", 1),
        ("support", run),
        ("support", run, "--data", tmp_path / "copy.hdf5"),
        ("finetune", run, "--steps", 8, "--start-after", 4, "--eval-episodes", 1, "--out", tmp_path / "online"),
    ]
    for words in verbs:
        assert prudent(*words) == 0, words
        shown = capsys.readouterr()
        assert STAYS in shown.out + shown.err, words
        assert "--last-rows terminated" in shown.out + shown.err, words
    value_json = json.loads((run / "value.json").read_text())
    assert not value_json["firm"]
    assert any(STAYS in caution for caution in value_json["cautions"])
    for target in ("run", "online"):
        problems = json.loads((tmp_path / target / "config.json").read_text())["dataset"]["problems"]
        assert any(STAYS in problem for problem in problems)


def test_last_rows_are_kept_by_every_verb(stays, tmp_path, quick_report, capsys):  # noqa: ARG001
    keep = ("--last-rows", "terminated")
    copy, folder, run = tmp_path / "copy.hdf5", tmp_path / "folder", tmp_path / "run"
    assert prudent("data", "import", stays, *keep, "--out", copy) == 0
    assert prudent("data", "convert", stays, *keep, "--out", folder) == 0
    train = ("--algo", "cql", "--hidden", 8, 8, "--batch-size", 16, "--n-actions", 2, "--seeds", 0, "--steps", 4)
    assert prudent("train", stays, *keep, *train, "--out", run) == 0
    assert prudent("train", "--resume", run, "--steps", 6) == 0
    assert prudent("support", run) == 0
    assert prudent("data", "describe", stays, *keep) == 0
    shown = capsys.readouterr()
    assert STAYS not in shown.out + shown.err
    datasets = [load_dataset(copy), load_dataset(folder), load_dataset(stays, last_rows="terminated")]
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    assert datasets[0].terminated.sum() == 60
    assert prudent("data", "describe", copy, *keep) == 2
    assert "last_rows does not apply" in capsys.readouterr().err


def test_recorders_are_declared_by_a_flag(tmp_path, capsys):
    rng = np.random.default_rng(0)
    walks = np.stack([np.cumsum(rng.normal(size=(300, 3)), axis=0) for _ in range(4)], axis=1).reshape(-1, 3)
    path = tmp_path / "log.hdf5"
    with h5py.File(path, "w") as file:
        file["observations"], file["rewards"] = walks, rng.normal(size=1200)
        file["actions"] = rng.uniform(-1, 1, size=(1200, 2))
        file["terminals"], file["timeouts"] = np.zeros(1200, bool), np.arange(1200) >= 1196
    assert prudent("data", "convert", path, "--out", tmp_path / "folder") == 2
    assert "say recorders=4 (--recorders 4)" in capsys.readouterr().err
    assert not (tmp_path / "folder").exists()
    assert prudent("data", "convert", path, "--recorders", 4, "--out", tmp_path / "folder") == 0
    assert load_dataset(tmp_path / "folder").episode_lengths.tolist() == [299] * 4

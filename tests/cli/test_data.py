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

"""The flags that tell about data, on the command line."""

import json

import numpy as np
import pytest

from prudent import cli


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

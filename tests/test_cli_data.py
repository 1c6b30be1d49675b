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

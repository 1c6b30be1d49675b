"""Runs and checkpoints that name an algorithm as an older version did: ``sql``, which is ``cql`` with backup soft."""

import hashlib
import json
import shutil

import pytest
import torch

import prudent
from helpers import runs
from prudent import algorithms
from prudent.errors import ConfigError
from prudent.runs import checkpoint
from prudent.runs.read import read_run
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]


@pytest.fixture(scope="module")
def soft(tmp_path_factory):
    """A finished run of CQL with the soft backup."""
    folder = tmp_path_factory.mktemp("soft")
    log = runs.write_log(folder / "log.npz")
    words = ["--backup", "soft", "--steps", "4", "--log-every", "2", "--checkpoint-every", "4", "--threads", "1"]
    runs.prudent("train", log, *runs.flags("cql"), *words, "--out", folder / "run")
    return folder / "run"


@pytest.fixture
def old(soft, tmp_path):
    """The same run as the older version left it: config.json and the checkpoint say ``sql``."""
    run = tmp_path / "old"
    shutil.copytree(soft, run)
    config = run / "config.json"
    config.write_text(config.read_text().replace('"algorithm": "cql"', '"algorithm": "sql"'))
    assert json.loads(config.read_text())["algorithm"] == "sql"
    (folder,) = (run / "checkpoints").iterdir()
    description = folder / checkpoint.DESCRIPTION
    content = description.read_text().replace('"algorithm": "cql"', '"algorithm": "sql"').encode()
    assert json.loads(content)["algorithm"] == "sql"
    description.write_bytes(content)
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest["sha256"][checkpoint.DESCRIPTION] = hashlib.sha256(content).hexdigest()
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    return run


def test_a_stored_name_is_todays_name():
    assert algorithms.stored("sql") == "cql"
    assert algorithms.stored("iql") == "iql"
    assert algorithms.stored("of another version") == "of another version"


def test_an_old_run_loads(old, soft):
    agent = prudent.load(old)
    assert isinstance(agent, prudent.CQL)
    assert agent.settings["backup"] == "soft"
    expected, found = prudent.load(soft).population.tensors(), agent.population.tensors()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_an_old_run_is_resumed(old, soft, tmp_path):
    shutil.copytree(soft, tmp_path / "new")
    expected, found = resume(tmp_path / "new", steps=6).tensors(), resume(old, steps=6).tensors()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert json.loads((old / "config.json").read_text())["algorithm"] == "cql"


def test_an_old_run_without_a_checkpoint_starts_over(old):
    shutil.rmtree(old / "checkpoints")
    assert resume(old).state.step == 4


def test_an_old_run_is_reported(old):
    (old / "report.html").unlink()
    assert runs.prudent("report", old) == 0
    assert (old / "report.html").exists()
    assert read_run(old).algorithm == "CQL"


def test_the_old_name_is_answered_in_one_line():
    with pytest.raises(
        ConfigError, match=r"^sql is cql with backup soft \(--algo cql --backup soft; in a suite, settings of cql\)$"
    ):
        algorithms.get("sql")
    with pytest.raises(AttributeError, match=r'has no attribute \'SQL\': write prudent.CQL\(backup="soft"\)$'):
        _ = prudent.SQL
    with pytest.raises(AttributeError, match=r"has no attribute 'NoSuchThing'$"):
        _ = prudent.NoSuchThing


def test_the_command_line_answers_in_one_line(soft, capsys):
    log = soft.parent / "log.npz"
    assert runs.prudent("train", log, "--algo", "sql", "--out", soft.parent / "none") == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("sql is cql with backup soft (--algo cql --backup soft; in a suite, settings of cql)")
    )
    assert not (soft.parent / "none").exists()

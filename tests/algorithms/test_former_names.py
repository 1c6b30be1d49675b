"""Runs and checkpoints of older versions: ``sql``, which is ``cql`` with backup soft, settings and weights of then."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save

import prudent
from helpers import runs
from prudent import algorithms
from prudent.errors import ConfigError, PrudentError
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
    text = (
        (the_checkpoint(run) / checkpoint.DESCRIPTION).read_text().replace('"algorithm": "cql"', '"algorithm": "sql"')
    )
    assert json.loads(text)["algorithm"] == "sql"
    rewrite(run, checkpoint.DESCRIPTION, text.encode())
    return run


def the_checkpoint(run):
    (folder,) = (run / "checkpoints").iterdir()
    return folder


def rewrite(run, name, content):
    """Another content of a file of the only checkpoint, with its checksum."""
    folder = the_checkpoint(run)
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))


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


# --- settings and weights of older versions ---------------------------------------------------------------------------


def without_threshold(config):
    assert config.pop("huber_threshold") == 1.0
    return config


def test_a_run_of_discrete_cql_from_before_the_threshold_goes_on_with_huber_1(tmp_path):
    log = runs.write_log(tmp_path / "log.npz", **runs.discrete_columns())
    words = ["--huber-threshold", "1", "--log-every", "2", "--checkpoint-every", "4", "--keep", "1", "--threads", "1"]
    for steps, name in ((4, "old"), (8, "whole")):
        own = [*runs.flags("discrete_cql"), *words, "--steps", steps, "--out", tmp_path / name]
        assert runs.prudent("train", log, *own) == 0
    run = tmp_path / "old"
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "config": without_threshold(config["config"])}))
    description = json.loads((the_checkpoint(run) / checkpoint.DESCRIPTION).read_text())
    for member in description["members"]:
        without_threshold(member["config"])
    rewrite(run, checkpoint.DESCRIPTION, json.dumps(description).encode())
    agent = prudent.load(run)
    assert agent.settings["huber_threshold"] == 1.0
    expected = prudent.load(tmp_path / "whole").population.tensors()
    found = resume(run, 8).tensors()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert prudent.DiscreteCQL().get_params()["huber_threshold"] is None


def test_only_settings_that_are_not_stored_are_former_ones():
    assert algorithms.stored_settings("discrete_cql", {"alpha": 2.0}) == {"alpha": 2.0, "huber_threshold": 1.0}
    assert algorithms.stored_settings("discrete_cql", {"huber_threshold": None}) == {"huber_threshold": None}
    assert algorithms.stored_settings("cql", {"alpha": 2.0}) == {"alpha": 2.0}


@pytest.mark.parametrize("layer_norm", [True, False])
def test_critics_of_rebrac_that_normalise_before_the_relu_are_refused(tmp_path, layer_norm):
    log = runs.write_log(tmp_path / "log.npz")
    words = ["--steps", "4", "--log-every", "2", "--checkpoint-every", "4", "--threads", "1"]
    words += [] if layer_norm else ["--no-layer-norm"]
    assert runs.prudent("train", log, *runs.flags("rebrac"), *words, "--out", tmp_path / "run") == 0
    state = the_checkpoint(tmp_path / "run") / checkpoint.STATE
    tensors = {name.replace("_after", ""): tensor for name, tensor in load_file(state).items()}
    rewrite(tmp_path / "run", checkpoint.STATE, save(tensors))
    if not layer_norm:
        prudent.load(tmp_path / "run")
        return
    for refused in (prudent.load, resume):
        with pytest.raises(PrudentError, match=r"critics normalise before each ReLU.*train it anew$") as error:
            refused(tmp_path / "run")
        assert "\n" not in str(error.value)

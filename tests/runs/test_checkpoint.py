"""Checkpoints: whole and verified, or not there; enough to act anywhere."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

import prudent as package
from helpers.runs import TINY, flags, prudent, tree, write_log
from prudent import algorithms, files
from prudent.data import load_dataset
from prudent.engine.loop import Observer, fit
from prudent.engine.members import grid
from prudent.engine.population import new_population
from prudent.errors import OutsideRangeWarning, PrudentError
from prudent.runs import checkpoint

pytest_plugins = ["helpers.run_fixtures"]

FILES = [checkpoint.STATE, checkpoint.DESCRIPTION, checkpoint.MANIFEST]
OBSERVATION = np.random.default_rng(1).normal(size=(2, 50, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A population of two, three steps old, and its data."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = load_dataset(write_log(folder / "log.npz"))
    config = algorithms.get("cql").Config(**{**TINY["cql"], "value_init": "zero"})
    population = new_population(dataset, "cql", grid(config, {}, [0, 1]), "cpu")
    fit(population, dataset, 3, Observer())
    return population, dataset


@pytest.fixture
def run(trained, tmp_path):
    """A folder with the checkpoints of steps 3 and 5, and the actions of each."""
    population, dataset = trained
    population = copy(population)
    checkpoint.save(tmp_path / "run", population, {"extra": torch.tensor(3.0)}, keep=9)
    fit(population, dataset, 5, Observer())
    checkpoint.save(tmp_path / "run", population, {"extra": torch.tensor(5.0)}, keep=9)
    return tmp_path / "run"


def same(one, other):
    return all(torch.equal(tensor, one.tensors()[name]) for name, tensor in other.tensors().items())


def copy(population):
    new = type(population)(population.algorithm_name, population.members, population.spec, population.scaling)
    new.restore(population.tensors(), population.state.step)
    return new


def test_everything_comes_back(run, trained):
    first, _ = trained
    skipped: list[str] = []
    population, extra = checkpoint.load(run / "checkpoints" / "step_3", say=skipped.append)
    assert (population.state.step, extra["extra"].item(), skipped) == (3, 3.0, [])
    assert population.members == first.members
    assert population.spec == first.spec
    for name, tensor in first.tensors().items():
        assert torch.equal(population.tensors()[name], tensor), name
    assert checkpoint.load(run)[0].state.step == 5


def test_a_checkpoint_is_safetensors_and_json(run):
    folder = run / "checkpoints" / "step_5"
    assert sorted(f.name for f in folder.iterdir()) == sorted(FILES)
    assert json.loads((folder / checkpoint.MANIFEST).read_text())["step"] == 5
    description = json.loads((folder / checkpoint.DESCRIPTION).read_text())
    assert description["prudent"] == package.__version__
    assert description["members"][1]["config"]["hidden"] == [8, 8]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda _content: b"",
    "first bit": lambda content: bytes([content[0] ^ 0x80]) + content[1:],
    "middle bit": lambda content: _flipped(content, len(content) // 2),
    "last bit": lambda content: _flipped(content, len(content) - 3),
    "missing": None,
}


def _flipped(content, place):
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed_and_the_checkpoint_before_is_used(run, name, damage, capsys):
    path = run / "checkpoints" / "step_5" / name
    if DAMAGES[damage] is None:
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    skipped: list[str] = []
    population, extra = checkpoint.load(run, say=skipped.append)
    assert (population.state.step, extra["extra"].item()) == (3, 3.0)
    assert len(skipped) == 1
    assert "step_5" in skipped[0]
    if name != checkpoint.MANIFEST or damage != "missing":
        with pytest.raises(PrudentError, match="step_5"):
            checkpoint.load(run / "checkpoints" / "step_5")
    assert prudent("evaluate", run, "--env", "Pendulum-v1", "--episodes", 1) == 0
    said = capsys.readouterr()
    assert "step 3" in said.out
    assert said.err.count("\n") == 1
    assert "skipped a checkpoint" in said.err


def test_every_bit_of_the_manifest_is_safe_to_flip(run):
    """Either the flip is noticed, or what is loaded is what was saved."""
    path = run / "checkpoints" / "step_5" / checkpoint.MANIFEST
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(_flipped(content, place))
        assert checkpoint.load(run)[0].state.step in (3, 5)


def test_without_any_that_verifies_the_reasons_are_told(run):
    for step in (3, 5):
        (run / "checkpoints" / f"step_{step}" / checkpoint.STATE).write_bytes(b"nothing")
    with pytest.raises(PrudentError, match=r"no checkpoint here to load.*step_5.*step_3") as caught:
        checkpoint.load(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["nowhere", "empty folder", "a file"])
def test_what_is_no_checkpoint(tmp_path, what):
    path = tmp_path / "it"
    if what == "empty folder":
        path.mkdir()
    elif what == "a file":
        path.write_text("hello")
    with pytest.raises(PrudentError, match="no checkpoint here"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "change",
    [{"algorithm": "from the future"}, {"members": []}, {"spec": {"wings": 2}}, {"members": [{"name": 1}]}, None],
)
def test_a_description_this_version_does_not_know(run, change):
    import hashlib

    folder = run / "checkpoints" / "step_5"
    described = json.loads((folder / checkpoint.DESCRIPTION).read_text())
    content = json.dumps([] if change is None else {**described, **change}).encode()
    (folder / checkpoint.DESCRIPTION).write_bytes(content)
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest["sha256"][checkpoint.DESCRIPTION] = hashlib.sha256(content).hexdigest()
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(PrudentError):
        checkpoint.load(run)


# --- killed while saving ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def deadly(monkeypatch, after):
    """Let ``after`` writes, flushes, renames and removals happen, then die, as a kill would between any two."""
    done = 0

    def count(function):
        def counted(*words, **options):
            nonlocal done
            if done == after:
                raise Killed
            done += 1
            return function(*words, **options)

        return counted

    for place, name in [
        (files, "write"),
        (files.os, "fsync"),
        (checkpoint.Path, "rename"),
        (checkpoint.Path, "mkdir"),
        (checkpoint.shutil, "rmtree"),
    ]:
        monkeypatch.setattr(place, name, count(getattr(place, name)))


@pytest.mark.parametrize("again", [False, True], ids=["next step", "same step"])
def test_a_kill_at_any_moment_of_a_save_leaves_a_checkpoint(trained, tmp_path, monkeypatch, again):
    """Also where the only checkpoint there is is being replaced."""
    first, dataset = trained
    later = copy(first)
    fit(later, dataset, 4, Observer())
    if again:
        later.state.step = 3
    finished = False
    for moment in range(100):
        run = tmp_path / f"run{moment}"
        checkpoint.save(run, first, {}, keep=1)
        with monkeypatch.context() as patch:
            deadly(patch, moment)
            try:
                checkpoint.save(run, later, {}, keep=1)
                finished = True
            except Killed:
                pass
        found = checkpoint.load(run)[0]
        old, new = same(found, first), same(found, later)
        assert old or new
        # And the next save clears up what was left.
        checkpoint.save(run, later, {}, keep=1)
        assert [f.name for f in (run / "checkpoints").iterdir()] == [f"step_{later.state.step}"]
        if finished:
            assert new
            break
    assert finished
    assert moment > 8


def test_a_failed_write_leaves_nothing_behind(run, trained, monkeypatch):
    before = tree(run)
    population = copy(trained[0])
    population.state.step = 9

    def full(path, _content):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(run, population, {}, keep=1)
    assert tree(run) == before


def test_the_newest_and_the_named_one_stay(trained, tmp_path):
    population = copy(trained[0])
    for step in (1, 2, 10, 9, 11):
        population.state.step = step
        checkpoint.save(tmp_path, population, {}, keep=2, keep_also=[2])
    assert [step for step, _ in checkpoint.steps(tmp_path)] == [2, 10, 11]


# --- alone ------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_alone_acts_the_same(log, tmp_path, quick_report):  # noqa: ARG001
    """Scalers and bounds are inside: neither the run nor the data are needed."""
    assert prudent("train", log, *flags("cql"), "--alpha", 1, 5, "--steps", 10, "--out", tmp_path / "run") == 0
    run = package.load(tmp_path / "run")
    expected = [run.predict(OBSERVATION[0], member=m) for m in (0, 1)]
    values = [run.q_value(OBSERVATION[0], expected[m], member=m) for m in (0, 1)]
    shutil.copytree(tmp_path / "run" / "checkpoints" / "step_10", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(log.parent)
    alone = package.load(tmp_path / "elsewhere")
    assert alone.names == ["alpha=1,seed=0", "alpha=5,seed=0"]
    for m in (0, 1):
        assert np.array_equal(alone.predict(OBSERVATION[0], member=m), expected[m])
        assert np.array_equal(alone.q_value(OBSERVATION[0], expected[m], member=m), values[m])
    # The log's observations are far from standard, its actions reach to 2: both only fit with the scalers.
    with pytest.warns(OutsideRangeWarning, match="far outside the range"):
        far = np.concatenate([alone.act(OBSERVATION[0] * 9, deterministic=False)[0] for _ in range(5)])
    assert 1.5 < np.abs(far).max() <= 2.0
    assert np.allclose(alone.population.scaling.observation_mean, [1, -2, 3], atol=0.7)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("population.rng.sample", torch.zeros_like, "random state of sample"),
        ("population.networks.actor.w0", lambda t: t.to(torch.int32), "networks.actor.w0"),
    ],
)
def test_a_state_that_none_can_be_in_is_refused(run, name, change, words):
    folder = run / "checkpoints" / "step_5"
    tensors, _ = checkpoint.read(folder)
    assert name in tensors, sorted(tensors)
    forge(folder, checkpoint.STATE, save_tensors(tensors | {name: change(tensors[name])}))
    with pytest.raises(PrudentError, match=words):
        checkpoint.load(run)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("spec", "observation_size"), 0, "cannot be"),
        (("spec", "action_size"), -1, "cannot be"),
        (("spec", "observation_size"), 10**12, "only .* numbers are stored"),
        (("spec", "action_size"), 10**12, "only .* numbers are stored"),
        (("spec", "observation_size"), "3", "observation_size cannot be '3'"),
        (("spec", "pickle"), "x", "no setting is called 'pickle'"),
        (("spec", "first_action"), 1, "first_action cannot be 1"),  # actions are continuous
        (("spec", "first_action"), 10**30, "first_action cannot be 1000"),
        (("spec", "first_action"), 0.5, "first_action cannot be 0.5"),
        (("members", 0, "config", "hidden"), [10**9, 10**9], "only .* numbers are stored"),
        (("members", 0, "config", "n_critics"), 10**12, "only .* numbers are stored"),
        (("members",), [], "does not fit"),
    ],
)
def test_a_description_of_what_is_not_stored_is_refused(run, path, value, words):
    folder = run / "checkpoints" / "step_5"
    description = json.loads((folder / checkpoint.DESCRIPTION).read_text())
    place = description
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    forge(folder, checkpoint.DESCRIPTION, json.dumps(description).encode())
    with pytest.raises(PrudentError, match=words):
        checkpoint.load(run)


def test_a_checkpoint_from_before_the_first_action_was_stored(run):
    folder = run / "checkpoints" / "step_5"
    description = json.loads((folder / checkpoint.DESCRIPTION).read_text())
    assert description["spec"].pop("first_action") == 0
    forge(folder, checkpoint.DESCRIPTION, json.dumps(description).encode())
    assert checkpoint.load(run)[0].spec.first_action == 0


@pytest.mark.parametrize("step", [-1, "5", True, 1.5, None])
def test_a_step_that_is_no_count_is_refused(run, step):
    folder = run / "checkpoints" / "step_5"
    description = json.loads((folder / checkpoint.DESCRIPTION).read_text())
    forge(folder, checkpoint.DESCRIPTION, json.dumps(description | {"step": step}).encode())
    with pytest.raises(PrudentError, match="step cannot be"):
        checkpoint.load(run)


def forge(folder, name, content):
    """Put content into a checkpoint, with the checksum that fits it."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / checkpoint.MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))

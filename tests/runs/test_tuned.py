"""A tuned folder in place of a run: its policy, its parts, and what is refused."""

import json
import shutil

import numpy as np
import pytest

import prudent as package
from helpers import tunings
from prudent.errors import ConfigError, PrudentError
from prudent.runs import checkpoint, tuned
from prudent.tuning import saved_parts


@pytest.fixture(scope="module")
def log():
    return tunings.PROBLEM.log(30, 0)


@pytest.fixture(scope="module")
def finished(log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "x"
    tunings.make(folder, log, steps=20)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "x")


def edit(folder, **changes):
    content = json.loads((folder / "tune.json").read_text()) | changes
    (folder / "tune.json").write_text(json.dumps(content))


def test_the_policy_is_the_one_that_is_kept(folder):
    assert tuned.is_tuned(folder)
    agent = package.load(folder)
    assert agent.names == ["alpha=0.1,seed=0"]
    assert tuned.policy_of(folder) == folder / "policy"
    assert tuned.run_of(folder) == (folder / "grid", "alpha=0.1,seed=0")
    place, name, acting = tuned.bc_of(folder)
    assert place.parent == folder / "bc" / "checkpoints"
    assert (checkpoint.load(place)[0].names, acting) == (
        [name],
        json.loads((folder / "tune.json").read_text())["splits"][0]["imitators"][0]["acting"],
    )
    assert not tuned.is_tuned(folder / "grid")
    assert not tuned.is_tuned(folder / "policy")


def test_no_policy_is_said_with_the_verdict(folder):
    edit(folder, kept=None, verdict="keep what made\nthe log")
    shutil.rmtree(folder / "policy")
    with pytest.raises(ConfigError, match=r"x holds no policy: its verdict is: keep what made the log$"):
        package.load(folder)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "tune.json").unlink(), "a tuning that is not finished"),
        (lambda folder: (folder / "tune.json").write_text("{"), r"tune.json is damaged: not JSON"),
        (lambda folder: (folder / "tune.json").write_text("[]"), r"tune.json is damaged: not a JSON object"),
        (lambda folder: (folder / "tune.json").write_text("{}"), "damaged: it does not say its verdict"),
        (lambda folder: edit(folder, kept=3), "damaged: it does not say its verdict"),
        (lambda folder: edit(folder, verdict=None), "damaged: it does not say its verdict"),
        (lambda folder: shutil.rmtree(folder / "policy"), "x is incomplete: tune.json says that 'alpha=0.1,seed=0'"),
        (lambda folder: shutil.rmtree(folder / "policy" / "checkpoints"), "x is incomplete"),
        (
            lambda folder: next(folder.glob("policy/checkpoints/step_*/state.safetensors")).write_bytes(b"no"),
            "policy: no checkpoint here to load",
        ),
        (lambda folder: (folder / "grid" / "link").symlink_to("/dev/zero"), "is a link: a run folder holds none"),
    ],
)
def test_what_is_incomplete_is_one_line(folder, damage, told):
    damage(folder)
    with pytest.raises(PrudentError, match=told) as caught:
        package.load(folder)
    assert "\n" not in str(caught.value)


def test_an_agent_is_not_saved_into_it(folder):
    agent = package.load(folder)
    with pytest.raises(ConfigError, match="choose another"):
        agent.save(folder)


def test_the_three_parts_can_be_had_again(folder, log):
    parts = {name: tuned.part(folder, name) for name in ("train", "evaluation", "final")}
    assert sum(part.n_episodes for part in parts.values()) == log.n_episodes
    for name, part in parts.items():
        chosen = np.load(folder / "parts" / f"{name}.npy")
        assert part.fingerprint == log.episodes(chosen).fingerprint, name
    trained = json.loads((folder / "grid" / "config.json").read_text())["dataset"]
    assert parts["train"].fingerprint == trained["fingerprint"]
    assert parts["train"].name == trained["name"]


@pytest.fixture
def large(tmp_path, log, monkeypatch):
    """A tuning that has the numbers of its episodes alone, as that of a large log has."""
    monkeypatch.setattr(saved_parts, "LARGEST_COPY", 100)
    path = tunings.save(tmp_path / "log.hdf5", log)
    tunings.make(tmp_path / "x", package.load_dataset(path), steps=20, sources={"source": path})
    return tmp_path / "x"


def test_the_parts_of_a_large_log_are_read_from_it(large):
    log = package.load_dataset(large.parent / "log.hdf5")
    assert [p.name for p in (large / "parts").iterdir() if p.is_dir()] == []
    final = tuned.part(large, "final")
    assert final.fingerprint == log.episodes(np.load(large / "parts" / "final.npy")).fingerprint
    assert final.name == "log.hdf5 (final part)"


def test_a_large_log_that_is_gone_or_changed_is_one_line(large, log):
    path = large.parent / "log.hdf5"
    tunings.save(path, log.episodes(range(20)))
    with pytest.raises(ConfigError, match="fingerprint differs"):
        tuned.part(large, "final")
    path.unlink()
    with pytest.raises(PrudentError, match="if they are elsewhere now, name them"):
        tuned.part(large, "final")
    about = json.loads((large / "parts" / "parts.json").read_text())
    (large / "parts" / "parts.json").write_text(json.dumps(about | {"sources": None}))
    with pytest.raises(ConfigError, match="lived in memory"):
        tuned.part(large, "final")
    (large / "parts" / "parts.json").unlink()
    with pytest.raises(ConfigError, match="has no parts of its log: name the episodes with --data"):
        tuned.part(large, "final")


@pytest.mark.parametrize(
    "numbers", [np.array([0, 99]), np.array([-1, 0]), np.array([0.0]), np.zeros((0,), np.int64), b"no", None]
)
def test_damaged_numbers_of_episodes_are_one_line(large, numbers):
    path = large / "parts" / "final.npy"
    if numbers is None:
        path.unlink()
    elif isinstance(numbers, bytes):
        path.write_bytes(numbers)
    else:
        np.save(path, numbers)
    with pytest.raises(PrudentError, match=r"final.npy (is damaged|cannot be read)"):
        tuned.part(large, "final")

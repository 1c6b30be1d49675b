"""The commands of docs/coming_from.md.

Neither Stable-Baselines3 nor d3rlpy is installed here: a stand-in has the arrays of the fixture that was written by the
one, and the file is that which was written by the other (``fixtures/write.py`` has the versions).
"""

import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import prudent
from helpers.runs import prudent as command
from prudent.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
SMALL = ["--steps", "4", "--batch-size", "8", "--hidden", "8", "8", "--device", "cpu", "--threads", "1"]


def blocks(heading, language):
    section = (ROOT / "docs" / "coming_from.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)


def commands(heading):
    """The commands of prudent in a section, as words."""
    lines = [line.partition("#")[0] for block in blocks(heading, "sh") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("prudent ")]


def run(words):
    extra = SMALL if words[0] == "train" else []
    assert command(*words, *extra) == 0, words


@pytest.fixture
def sb3(monkeypatch):
    """In place of Stable-Baselines3: a model whose buffer has the arrays of the fixture."""
    stored = dict(np.load(FIXTURES / "sb3_ring.npz"))
    arrays = {key: value for key, value in stored.items() if key not in ("pos", "full", "space_low", "space_high")}
    buffer = SimpleNamespace(**arrays, pos=int(stored["pos"]), full=bool(stored["full"]))
    space = SimpleNamespace(low=stored["space_low"], high=stored["space_high"])
    model = SimpleNamespace(replay_buffer=buffer, action_space=space, load_replay_buffer=lambda _: None)
    module = ModuleType("stable_baselines3")
    module.SAC = SimpleNamespace(load=lambda _: model)
    monkeypatch.setitem(sys.modules, "stable_baselines3", module)


@pytest.mark.usefixtures("sb3")
def test_a_log_of_stable_baselines3(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (script,) = blocks("Stable-Baselines3", "python")
    exec(script, {"__name__": "__main__"})  # noqa: S102 - the page's own lines
    written, expected = np.load("buffer.npz"), np.load(FIXTURES / "sb3_ring.npz")
    assert {key for key in expected.files if key not in written.files} == set()
    described, trained = commands("Stable-Baselines3")
    run(described)
    # The fixture has spaces of its own, in which Pendulum cannot be evaluated.
    run([word for word in trained if word not in ("--env", "Pendulum-v1")])
    assert (tmp_path / "runs" / "from_sb3" / "report.html").is_file()
    Path("buffer.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match=r"buffer\.pkl: a pickle, which is never opened"):
        prudent.load_dataset("buffer.pkl")


def test_a_log_of_d3rlpy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FIXTURES / "d3rlpy2_continuous.h5", "dataset.h5")
    for words in commands("d3rlpy"):
        run(words)
    assert (tmp_path / "runs" / "from_d3rlpy" / "report.html").is_file()


def test_a_minari_dataset_and_back(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    words = ["data", "collect", "--env", "Pendulum-v1", "--out", "minari:mine/pendulum/random-v0", "--steps", "60"]
    assert " ".join(words[:-2]) in (ROOT / "docs" / "coming_from.md").read_text()
    assert command(*words) == 0
    (script,) = blocks("Minari", "python")
    found = {}
    exec(script, found)  # noqa: S102 - the page's own lines
    dataset = found["dataset"]
    assert dataset.spec.total_steps == 60
    assert dataset.spec.env_spec.id == "Pendulum-v1"
    assert dataset.storage.metadata["algorithm_name"] == "random"
    described, trained = (
        [word.replace("mujoco/hopper/medium-v0", "mine/pendulum/random-v0") for word in line]
        for line in commands("Minari")[-2:]
    )
    run(described)
    run(trained)

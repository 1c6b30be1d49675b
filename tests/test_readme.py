"""README.md's Python runs, and shows CQL as it is."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import prudent
from prudent.algorithms import cql

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
GENERATED = re.compile(r"<!-- generated: source.*?<!-- end -->", re.DOTALL)


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A folder with the ``logs.npz`` that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.savez(
        "logs.npz",
        observations=generator.normal(size=(300, 3)).astype(np.float32),
        actions=generator.uniform(-1, 1, size=(300, 2)).astype(np.float32),
        rewards=generator.normal(size=300).astype(np.float32),
        next_observations=generator.normal(size=(300, 3)).astype(np.float32),
        dones=np.arange(1, 301) % 50 == 0,
    )
    return tmp_path


def test_the_six_lines_run(logs):
    (code,) = re.findall(r"^```python\n(.*?)^```", GENERATED.sub("", README), flags=re.DOTALL | re.MULTILINE)
    assert code.count("steps=100_000") == 1
    names = {}
    exec(code.replace("steps=100_000", "steps=2"), names)  # noqa: S102 - the README's own lines
    assert names["action"].shape == (2,)
    assert names["agent"].names == ["seed=0", "seed=1", "seed=2"]
    again = prudent.load(logs / "run")
    observation = names["data"].observation[:5]
    np.testing.assert_array_equal(again.predict(observation), names["agent"].predict(observation))


def test_the_excerpt_is_the_source():
    (excerpt,) = re.findall(r"```python\n(.*?)\n    \.\.\.\n```", GENERATED.search(README)[0], flags=re.DOTALL)
    assert excerpt in inspect.getsource(cql.critic_loss)
    assert len(excerpt.splitlines()) <= 25, "one screen"

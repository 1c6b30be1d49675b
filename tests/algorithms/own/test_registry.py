"""Algorithms from outside the library: how they are taken, found by name, and refused."""

import importlib
import sys

import numpy as np
import pytest

import prudent
from helpers.own import algorithm_file, installed
from helpers.runs import write_log
from prudent import algorithms
from prudent.algorithms.own import registry
from prudent.errors import PrudentError

TINY = {"hidden": (8, 8), "batch_size": 8}


def trained(agent_class, folder, **settings):
    log = folder / "log.npz"
    data = prudent.load_dataset(log if log.exists() else write_log(log))
    return agent_class(device="cpu", **TINY, **settings).fit(data, steps=3, threads=1, progress=False), data


def test_a_file_is_an_agent(tmp_path):
    path = algorithm_file(tmp_path)
    mine = prudent.agent_class(path)
    assert mine.__name__ == "Mine"
    agent, data = trained(mine, tmp_path, alpha=[1.0, 2.0], seeds=[0, 1])
    assert agent.names == ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=2,seed=0", "alpha=2,seed=1"]
    assert agent.get_params()["alpha"] == [1.0, 2.0]
    saved = agent.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "code" / "mine.py").read_bytes() == path.read_bytes()
    again = prudent.load(saved, device="cpu", algorithm=str(path))
    assert type(again).__name__ == "Mine"
    np.testing.assert_array_equal(again.predict(data.observation[:5]), agent.predict(data.observation[:5]))
    with pytest.raises(PrudentError, match="no setting is called 'alfa'; did you mean alpha"):
        mine(alfa=1.0)


def test_a_module_is_an_agent(tmp_path, monkeypatch):
    algorithm_file(tmp_path, "imported")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("imported")
    monkeypatch.delitem(sys.modules, "imported")
    with pytest.raises(PrudentError, match="imported is not imported: import it, or give the path"):
        prudent.agent_class(module)
    monkeypatch.setitem(sys.modules, "imported", module)
    agent, _ = trained(prudent.agent_class(module), tmp_path)
    assert agent.population.algorithm_name == "imported"
    assert prudent.agent_class(algorithms.get("cql")) is prudent.agent_class("cql") is prudent.CQL


def test_an_installed_package_offers_one_by_name(tmp_path, monkeypatch):
    text = algorithm_file(tmp_path, "offered").read_text()
    points = {"prudent.algorithms": {"offered": "somebodys_module", "torn": "nothing_of_that_name"}}
    installed(tmp_path, monkeypatch, points, {"somebodys_module": text})
    assert algorithms.own_names() == ["offered", "torn"]
    assert "somebodys_module" not in sys.modules, "names are told without importing anything"
    assert algorithms.names() == [name for name in algorithms.names() if name != "offered"]
    agent, data = trained(prudent.agent_class("offered"), tmp_path)
    saved = agent.save(tmp_path / "saved")
    registry.forget("offered")
    again = prudent.load(saved, device="cpu")  # installed code needs no file
    np.testing.assert_array_equal(again.predict(data.observation[:5]), agent.predict(data.observation[:5]))
    with pytest.raises(PrudentError, match=r"torn \(nothing_of_that_name, somebody 1\.2\): ModuleNotFoundError"):
        algorithms.get("torn")
    with pytest.raises(PrudentError, match="unknown algorithm 'offred'; did you mean offered"):
        algorithms.get("offred")
    registry.forget("offered")
    (tmp_path / "site" / "somebodys_module.py").write_text(text + "\n# 1.3\n")
    monkeypatch.delitem(sys.modules, "somebodys_module")
    with pytest.raises(PrudentError, match=r"than somebody 1\.2 is now: its SHA-256 differs \(it was trained"):
        prudent.load(saved, device="cpu")


def test_what_was_trained_with_code_wants_the_same_code(tmp_path):
    path = algorithm_file(tmp_path)
    agent, _ = trained(prudent.agent_class(path), tmp_path)
    saved = agent.save(tmp_path / "saved")
    registry.forget("mine")
    with pytest.raises(PrudentError, match=r"'mine\.py', and code is never run by itself: give the file again, --algo"):
        prudent.load(saved, device="cpu")
    path.write_text(path.read_text() + "\n# another comment\n")
    with pytest.raises(PrudentError, match=r"another 'mine\.py' than .*mine\.py is now: its SHA-256 differs"):
        prudent.load(saved, device="cpu", algorithm=path)
    registry.forget("mine")
    assert prudent.load(saved, device="cpu", algorithm=tmp_path / "saved" / "code" / "mine.py").names == ["seed=0"]


def test_code_that_was_changed_does_not_change_what_was_trained(tmp_path):
    path = algorithm_file(tmp_path)
    agent, _ = trained(prudent.agent_class(path), tmp_path)
    first = agent.population.algorithm
    path.write_text(path.read_text() + "\n# another comment\n")
    prudent.agent_class(path)
    assert agent.population.algorithm is first
    saved = agent.save(tmp_path / "saved")
    with pytest.raises(PrudentError, match="its SHA-256 differs"):
        prudent.load(saved, device="cpu")
    assert (tmp_path / "saved" / "code" / "mine.py").read_bytes() != path.read_bytes(), "the copy is what trained"


@pytest.mark.parametrize(
    ("name", "edits", "line"),
    [
        ("cql", {}, r"^cql\.py: prudent has an algorithm cql already: give the file another name$"),
        ("sql", {}, r"^sql\.py: prudent has an algorithm sql already"),
        ("my-cql", {}, r"^my-cql\.py: an algorithm is named after its file: letters, digits and _ only$"),
        ("mine", {'"Mine"': '"TD3+BC"'}, r"^mine\.py: its TITLE 'TD3\+BC' is that of td3_bc: change it$"),
        ("mine", {"def draw(": "def drow("}, r"^mine\.py is no algorithm: draw\(spec, hyper, rng\) is missing$"),
        ("mine", {'"gaussian"': "1 / 0"}, r"^mine\.py line 10: ZeroDivisionError: division by zero$"),
        (
            "mine",
            {'"gaussian"': '"normal"', "def draw(": "def drow("},
            r"^mine\.py is no algorithm: POLICY must .* \(and 1 more: prudent\.testing\.check_algorithm lists them\)$",
        ),
    ],
)
def test_what_is_no_algorithm_is_refused(name, edits, line, tmp_path):
    with pytest.raises(PrudentError, match=line):
        prudent.agent_class(algorithm_file(tmp_path, name, **edits))
    assert registry.given_names() == []


def test_two_files_of_one_name_are_two_algorithms(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    first = algorithm_file(tmp_path / "a")
    prudent.agent_class(first)
    prudent.agent_class(algorithm_file(tmp_path / "b"))  # the same bytes are the same algorithm
    other = algorithm_file(tmp_path / "c", more="\n# another\n")
    with pytest.raises(PrudentError, match=r"another algorithm is called mine already, .*: rename one of the files$"):
        prudent.agent_class(other)


def test_what_is_no_file_is_one_line(tmp_path):
    for wrong, line in (
        (tmp_path / "absent.py", r"absent\.py: no such file$"),
        ("~nobody_of_this_name/x.py", r"x\.py: no such file$"),
        (str(tmp_path), r": a folder, expected a Python file$"),
        (3, "^an algorithm is a name, a module or the path of a Python file, got 3$"),
        ("nothing", "^unknown algorithm 'nothing'"),
    ):
        with pytest.raises(PrudentError, match=line):
            prudent.agent_class(wrong)

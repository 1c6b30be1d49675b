"""``act.py`` of an export does what the agent does, with names and without, and says what is wrong in one line."""

import ast
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from prudent.errors import PrudentError


def loaded(export):
    """The module ``act.py`` of an export."""
    specification = importlib.util.spec_from_file_location(f"act_{export.path.parent.name}", export.path / "act.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


ROW = {"on_hand": 20, "weekday": "Tue", "open": True, "age": 4.5}


def test_it_needs_numpy_and_onnxruntime_and_is_short(shop):
    text = (shop.path / "act.py").read_text()
    tree = ast.parse(text)
    names = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}
    imports = sum(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
    assert sum(bool(line.strip()) for line in text.splitlines()) - imports - 1 <= 40


def test_arrays(shop):
    policy = loaded(shop).Policy(shop.path)
    rows = shop.dataset.observation[:40]
    np.testing.assert_allclose(policy.act(rows), shop.agent.predict(rows), atol=1e-4)
    np.testing.assert_allclose(policy.act(rows[3]), shop.agent.predict(rows[3]), atol=1e-4)
    np.testing.assert_allclose(policy.act(rows[3].tolist()), shop.agent.predict(rows[3]), atol=1e-4)
    everything = loaded(shop).Policy(shop.path, "policy.onnx").decide(rows)
    assert list(everything) == list(shop.content["outputs"])
    np.testing.assert_array_equal(everything["action"], policy.act(rows))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weekday": "Mon", "open": False},
        {"weekday": 1, "open": "true", "age": None},
        {"weekday": "1", "open": "false", "age": float("nan")},
        {"weekday": 1.0, "age": ""},
        {"on_hand": np.float32(17.5), "age": np.int64(3)},
        {"on_hand": True},
    ],
)
def test_names_mean_what_they_mean_to_the_agent(shop, changes):
    row = {**ROW, **changes}
    np.testing.assert_allclose(loaded(shop).Policy(shop.path).act(row), shop.agent.predict(row), atol=1e-4)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ({"on_hand": 1}, r"missing \['age'.*, unknown \[\]"),
        ({**ROW, "weather": 3}, r"missing \[\], unknown \['weather'\]"),
        ({**ROW, "weekday": "Fri"}, "weekday is 'Fri'; it takes .'Mon', 'Tue', '1'"),
        ({**ROW, "on_hand": None}, "on_hand is None; it takes numbers"),
        ({**ROW, "on_hand": "20"}, "on_hand is '20'; it takes numbers"),
        ({**ROW, "on_hand": float("inf")}, "finite"),
        ([1, 2], r"shape \(2,\), expected 7 finite numbers"),
        (np.zeros((2, 3, 7)), "expected 7"),
        ([float("nan")] * 7, "finite"),
        (3.0, "expected 7"),
        ([[1, 2], [3]], "inhomogeneous"),
        ("hello", "could not convert"),
    ],
)
def test_mistakes_are_refused_as_by_the_agent(shop, observation, message):
    with pytest.raises(ValueError, match=message):
        loaded(shop).Policy(shop.path).act(observation)
    with pytest.raises(PrudentError):
        shop.agent.predict(observation)


def test_the_same_noise_or_seed_gives_the_same_choice(choices):
    act = loaded(choices)
    rows, mask = choices.dataset.observation[:50], choices.dataset.extra["mask"][:50]
    noise = np.random.default_rng(3).random((50, 3))
    policy = act.Policy(choices.path)
    first = policy.act(rows, mask, noise)
    np.testing.assert_array_equal(policy.act(rows, mask, noise), first)
    assert mask[np.arange(50), first - 1].all()
    np.testing.assert_array_equal(
        act.Policy(choices.path, seed=7).act(rows), act.Policy(choices.path, seed=7).act(rows)
    )
    draws = np.stack([policy.act(rows[:1].repeat(400, 0)), policy.act(rows[:1].repeat(400, 0))])
    assert (draws[0] != draws[1]).any()
    chosen = act.Policy(choices.path, "policy.onnx").decide(rows[0])
    shares = (draws.reshape(-1, 1) == [1, 2, 3]).mean(0)
    if not chosen["outside"]:
        np.testing.assert_allclose(shares, chosen["probabilities"], atol=0.08)
    with pytest.raises(ValueError, match="reshape"):
        policy.act(rows, mask[:3])
    with pytest.raises(ValueError, match="no action is allowed"):
        policy.act(rows[:1], np.zeros(3, dtype=bool))


def test_as_a_program(shop):
    def run(*words):
        program = [sys.executable, str(shop.path / "act.py"), *words]
        return subprocess.run(program, capture_output=True, text=True, check=False)

    told = run(json.dumps(ROW))
    assert told.returncode == 0, told.stderr
    np.testing.assert_allclose(json.loads(told.stdout)["action"], shop.agent.predict(ROW), atol=1e-4)
    for words in ((), ("hello",)):
        told = run(*words)
        assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
        assert "it takes one observation, as JSON" in told.stderr
    told = run(json.dumps({"on_hand": 3}))
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert told.stderr.startswith("act.py: observation: missing ['age'")

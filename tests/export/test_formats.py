"""What is written computes what the graph computes; nothing of this machine is in it."""

import numpy as np
import pytest
import torch

import prudent
from helpers.exports import learned
from helpers.runs import task_of, write_log
from prudent import algorithms
from prudent.errors import ConfigError
from prudent.export import formats
from prudent.export.graph import PolicyGraph

FIRST_OF_A_KIND = {}
for _name in algorithms.names():
    _module = algorithms.get(_name)
    _kind = _module.POLICY, _module.act, _module.q_value, getattr(_module.Config, "layer_norm", None)
    FIRST_OF_A_KIND.setdefault(_kind, _name)
"""Algorithms that act and predict by the same functions have the same graph; ONNX takes seconds for each."""


def both(name, kind, tmp_path):
    """Graph and runner of a tiny policy that samples, and 7 rows of inputs."""
    dataset = prudent.load_dataset(write_log(tmp_path / "log.npz", **task_of(name)[1]))
    graph = PolicyGraph(learned(name, dataset).population, "sample")
    path = tmp_path / formats.FILES[kind]
    formats.write(graph, path, kind)
    rng = np.random.default_rng(0)
    inputs = {"observation": dataset.observation[:7], "noise": rng.random((7, dataset.spec.action_size)).astype("f4")}
    if dataset.spec.discrete:
        inputs["mask"] = np.array([[True, True]] * 4 + [[True, False], [False, True], [True, True]])
    return graph, path, {key: inputs[key] for key in graph.inputs}


def check_same(graph, run, inputs):
    with torch.no_grad():
        found = graph(**{key: torch.from_numpy(np.array(value)) for key, value in inputs.items()})
    expected = dict(zip(graph.outputs, found, strict=True))
    for rows in (7, 1):
        outputs = run({key: np.ascontiguousarray(value[:rows]) for key, value in inputs.items()})
        assert list(outputs) == list(graph.outputs)
        for name, value in outputs.items():
            assert value.dtype == expected[name].numpy().dtype
            np.testing.assert_allclose(value, expected[name][:rows].numpy(), atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", FIRST_OF_A_KIND.values())
def test_onnx(name, tmp_path):
    graph, path, inputs = both(name, "onnx", tmp_path)
    check_same(graph, formats.runner(path, "onnx", graph.outputs), inputs)
    content = path.read_bytes()
    for trace in (b"site-packages", b"prudent", str(tmp_path).encode()):
        assert trace not in content, "it tells of the machine on which it was made"
    formats.write_action_alone(path, tmp_path / "action.onnx", graph.inputs)
    run = formats.runner(tmp_path / "action.onnx", "onnx", ("action",))
    expected = formats.runner(path, "onnx", graph.outputs)(inputs)
    assert list(run(inputs)) == ["action"]
    np.testing.assert_array_equal(run(inputs)["action"], expected["action"])
    assert (tmp_path / "action.onnx").stat().st_size <= path.stat().st_size


def test_torch(tmp_path):
    graph, path, inputs = both("discrete_iql", "torch", tmp_path)
    check_same(graph, formats.runner(path, "torch", graph.outputs), inputs)


def test_every_kind_is_there():
    assert len(FIRST_OF_A_KIND) >= 6
    assert {"discrete_cql", "discrete_iql", "bc"} <= set(FIRST_OF_A_KIND.values())


def test_a_library_that_is_missing_is_named(monkeypatch):
    formats.check_installed("onnx")
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'prudent\[export\]'"):
        formats.check_installed("onnx")
    formats.check_installed("torch")

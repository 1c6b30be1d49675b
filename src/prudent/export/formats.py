"""The formats of a graph: ONNX and ``torch.export``; each writes a :class:`PolicyGraph` and runs what was written."""

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prudent.errors import ConfigError
from prudent.export.graph import PolicyGraph

OPSET = 20
"""ONNX operators of this version: onnxruntime 1.17 (2024) and newer read them."""

FILES = {"onnx": "policy.onnx", "torch": "policy.pt2"}
"""The file of each format."""

_NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""From inputs by name to outputs by name."""


def check_installed(kind: str) -> None:
    """Refuse a format whose libraries are not installed.

    Raises:
        ConfigError: one is missing; the line says which extra has it.
    """
    missing = [name for name in _NEEDED[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"an export to {kind} needs {', '.join(missing)}: pip install 'prudent[export]'")


def write(graph: PolicyGraph, path: Path, kind: str) -> None:
    """Write the graph to a file, in the format ``kind``; the number of rows stays open."""
    with torch.no_grad(), _quiet():
        (_write_onnx if kind == "onnx" else _write_torch)(graph.eval(), path)


def runner(path: Path, kind: str, outputs: tuple[str, ...]) -> Run:
    """What runs a graph that was written, on one thread."""
    return _onnx_runner(path) if kind == "onnx" else _torch_runner(path, outputs)


def example(graph: PolicyGraph, rows: int = 2) -> dict[str, torch.Tensor]:
    """Inputs of the right types and shapes."""
    shape = rows, graph.spec.action_size
    inputs = {
        "observation": torch.zeros(rows, graph.spec.observation_size, dtype=observation_type(graph)),
        "mask": torch.ones(shape, dtype=torch.bool),
        "noise": torch.full(shape, 0.5),
    }
    return {name: inputs[name] for name in graph.inputs}


def observation_type(graph: PolicyGraph) -> torch.dtype:
    """float64 if the log needs its digits, else float32."""
    return torch.float32 if graph.scaling.observation_offset is None else torch.float64


def _shapes(graph: PolicyGraph) -> dict[str, Any]:
    rows = torch.export.Dim("rows", min=1)
    return {name: {0: rows} for name in graph.inputs}


def _write_onnx(graph: PolicyGraph, path: Path) -> None:
    program = torch.onnx.export(
        graph,
        (),
        kwargs=example(graph),
        input_names=list(graph.inputs),
        opset_version=OPSET,
        dynamic_shapes=_shapes(graph),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    for number, node in enumerate(program.model.graph.all_nodes()):
        # The exporter notes where each node comes from, with paths of this machine.
        node.metadata_props.clear()
        node.doc_string = None
        # It may call a value inside as an output is called.
        node.name = f"{node.op_type}_{number}"
        for place, value in enumerate(node.outputs):
            value.name = f"{node.name}_{place}"
            value.metadata_props.clear()
    for name, value in zip(graph.outputs, program.model.graph.outputs, strict=True):
        value.name = name
    program.model.metadata_props.clear()
    program.model.graph.metadata_props.clear()
    program.save(str(path))


def write_action_alone(whole: Path, path: Path, inputs: Sequence[str]) -> None:
    """From an ONNX graph with all outputs, write the part that computes the action: it takes a fraction of the time."""
    import onnx.utils

    with _quiet():
        onnx.utils.extract_model(str(whole), str(path), list(inputs), ["action"])


def _write_torch(graph: PolicyGraph, path: Path) -> None:
    program = torch.export.export(graph, (), kwargs=example(graph), dynamic_shapes=_shapes(graph))
    torch.export.save(program, path)


def _onnx_runner(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, map(np.asarray, session.run(None, dict(inputs))), strict=True))


def _torch_runner(path: Path, outputs: tuple[str, ...]) -> Run:
    module = torch.export.load(path).module()

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            found = module(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress, and warns of deprecations in its own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

"""What ``policy.json`` says: names, bounds and labels, how to act, where the policy comes from, what it is worth."""

from dataclasses import asdict
from typing import Any

import numpy as np

from prudent.config import to_json
from prudent.data import Dataset
from prudent.data.encoding import Column
from prudent.engine.population import Population
from prudent.export.formats import FILES, OPSET, observation_type
from prudent.export.graph import MEANINGS, PolicyGraph
from prudent.export.reference import Reference
from prudent.version import __version__

FORMAT = 1
"""The version of ``policy.json``."""


def describe(graph: PolicyGraph, population: Population, kind: str, reference: Reference | None) -> dict[str, Any]:
    """What follows from the policy alone. ``population`` holds one policy, which ``graph`` computes."""
    member = population.members[0]
    return {
        "format": FORMAT,
        "made_by": f"prudent {__version__}",
        "algorithm": population.algorithm_name,
        "title": population.algorithm.TITLE,
        "member": {"name": member.name, "seed": member.seed, "settings": to_json(member.config)},
        "step": population.state.step,
        "graph": {"file": FILES[kind], "format": kind, **({"opset": OPSET} if kind == "onnx" else {})},
        "inputs": list(graph.inputs),
        "outputs": {name: MEANINGS[name] for name in graph.outputs},
        "acting": "mode" if graph.noise is None else "sample",
        "noise": graph.noise,
        "observation": _observation(graph),
        "action": _action(population),
        "outside": _outside(graph, reference),
        "discount": float(population.discount[0]),
        "reward": {"scale": float(population.reward_scale[0]), "shift": float(population.reward_shift[0])},
    }


def _observation(graph: PolicyGraph) -> dict[str, Any]:
    scaling = graph.scaling
    encoding, ends = scaling.encoding, scaling.observation_range
    return {
        "size": graph.spec.observation_size,
        "dtype": str(observation_type(graph)).removeprefix("torch."),
        "units": "of the log",
        "features": None if encoding is None else list(encoding.features),
        "columns": None if encoding is None else [_column(column) for column in encoding.columns],
        "range": None if ends is None else [scaling.in_log_units(end).tolist() for end in ends],
        "outside_range": scaling.outside_range,
    }


def _column(column: Column) -> dict[str, Any]:
    """A column with the number of every text by which a category may be called."""
    texts = {alias: text for text in column.values for alias in _ALIASES.get(text, ())}
    texts |= {f"{text}.0": text for text in column.values if text.lstrip("-").isdecimal()}
    texts |= {text: text for text in column.values}
    places = {text: column.values.index(value) for text, value in texts.items()}
    return {**asdict(column), "values": list(column.values), "places": places, "fill_number": column.fill_number}


_ALIASES = {
    text: ("True",) if is_true else ("False",)
    for texts, is_true in ((("true", "TRUE", "1"), True), (("false", "FALSE", "0"), False))
    for text in texts
}
"""What Python writes for true and false, where a table wrote it otherwise."""


def _action(population: Population) -> dict[str, Any]:
    spec, scaling = population.spec, population.scaling
    encoding = scaling.encoding
    names = None if encoding is None or not encoding.actions else list(encoding.actions)
    shared = {"size": spec.action_size, "discrete": spec.discrete, "units": "of the log", "names": names}
    if spec.discrete:
        labels = None if encoding is None or encoding.labels is None else list(encoding.labels)
        return {**shared, "first_action": spec.first_action, "labels": labels}
    center, half = scaling.action_center.numpy(), scaling.action_half_range.numpy()
    return {
        **shared,
        "low": (center - half).tolist() if spec.action_low is None else list(spec.action_low),
        "high": (center + half).tolist() if spec.action_high is None else list(spec.action_high),
        "center": center.tolist(),
        "half_range": half.tolist(),
    }


def _outside(graph: PolicyGraph, reference: Reference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    return {
        "fallback": graph.fallback,
        "neighbours": reference.neighbours,
        "level": reference.level,
        "threshold": reference.threshold if np.isfinite(reference.threshold) else None,
        "logged_decisions": len(reference),
        "share": reference.share,
        "interval": None if reference.interval is None else list(reference.interval),
    }


def of_data(dataset: Dataset, license_: str | None) -> dict[str, Any]:
    """What the policy learned from."""
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "transitions": len(dataset),
        "episodes": dataset.n_episodes,
        "mean_return": float(dataset.episode_returns.mean()),
        "license": license_,
    }

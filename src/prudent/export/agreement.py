"""Whether a graph does what the agent does: compared on logged rows before an export is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prudent.data import Dataset
from prudent.engine.population import Population
from prudent.errors import PrudentError
from prudent.export.formats import Run

ROWS = 1_000
"""Rows that are compared."""

TOLERANCE = 1e-5
"""The largest difference: of actions in shares of half their range, of Q in shares of its size (of 1 if smaller)."""


@dataclass(frozen=True, eq=False)
class Rows:
    """What both are asked: observations (B, S) in the log's units, and for discrete actions masks (B, A)."""

    observation: np.ndarray
    mask: np.ndarray | None
    source: str

    def __len__(self) -> int:
        return len(self.observation)


def logged_rows(dataset: Dataset) -> Rows:
    """:data:`ROWS` rows of a log with their masks, or all of them if there are fewer."""
    count = len(dataset)
    rows = np.arange(count)
    if count > ROWS:
        rows = np.sort(np.random.default_rng(0).choice(count, ROWS, replace=False))
    mask = np.ascontiguousarray(dataset.extra["mask"][rows]) if "mask" in dataset.extra else None
    return Rows(np.ascontiguousarray(dataset.observation[rows]), mask, dataset.name)


def made_up_rows(population: Population) -> Rows:
    """Rows within the range of the log, where the log itself is gone."""
    rng, scaling = np.random.default_rng(0), population.scaling
    ends = scaling.observation_range
    size = population.spec.observation_size
    scaled = rng.uniform(-1, 1, (ROWS, size))
    if ends is not None:
        low, high = ends.cpu().numpy().astype(np.float64)
        scaled = low + (high - low) * (scaled + 1) / 2
    observation = scaling.in_log_units(torch.from_numpy(scaled))
    dtype = np.float32 if scaling.observation_offset is None else np.float64
    return Rows(observation.astype(dtype), None, "made-up rows within the range of the log")


def check_alive(population: Population, rows: Rows) -> None:
    """Refuse a policy that has diverged, before a graph is made of it.

    Raises:
        PrudentError: an action is not a number.
    """
    _agents(population, {"observation": rows.observation}, None)


def compare(run: Run, population: Population, rows: Rows, about: dict[str, Any]) -> dict[str, Any]:
    """The figures ``rows``, ``source`` and ``largest_difference`` of a comparison that went well.

    ``population`` holds one policy; ``about`` is the content of ``policy.json``. A fallback outside the data is no
    difference: what is compared there is the ``mode``, which no fallback changes.

    Raises:
        PrudentError: the policy has diverged, or a difference is larger than :data:`TOLERANCE`.
    """
    inputs: dict[str, np.ndarray] = {"observation": rows.observation.astype(about["observation"]["dtype"])}
    count, spec = len(rows), population.spec
    if spec.discrete:
        inputs["mask"] = np.ones((count, spec.action_size), bool) if rows.mask is None else rows.mask
    noise = about["noise"]
    if noise:
        generator = torch.Generator().manual_seed(0)
        draw = torch.rand if noise == "uniform" else torch.randn
        inputs["noise"] = draw((count, spec.action_size), generator=generator).numpy()
    found = run(inputs)
    asked = {**inputs, **{name: found[name] for name in ("probabilities",) if name in found}}
    without_noise = {name: value for name, value in asked.items() if name != "noise"}
    largest = {"mode": _difference(found["mode"], _agents(population, inputs, None), population, without_noise)}
    chosen = _agents(population, inputs, 0 if noise else None)
    kept = _as_chosen(found, about)
    if kept.any():
        of_kept = {name: value[kept] for name, value in asked.items()}
        largest["action"] = _difference(found["action"][kept], chosen[kept], population, of_kept)
    if "q" in found:
        largest["q"] = _q_difference(found, population, inputs)
    worst = max(largest, key=lambda name: largest[name])
    if not largest[worst] <= TOLERANCE:
        raise PrudentError(
            f"the graph does not do what the policy does: {worst} differs by {largest[worst]:.2g} on {count:,} rows of "
            f"{rows.source}, more than {TOLERANCE:g}; nothing was kept"
        )
    return {"rows": count, "source": rows.source, "largest_difference": float(f"{largest[worst]:.2g}")}


def compare_action(alone: Run, whole: Run, rows: Rows, about: dict[str, Any], discrete: bool) -> None:
    """Refuse a graph of the action alone that does not give the action of the whole graph.

    Raises:
        PrudentError: they differ somewhere.
    """
    shape = len(rows), about["action"]["size"]
    inputs = {"observation": rows.observation.astype(about["observation"]["dtype"])}
    if discrete:
        inputs["mask"] = np.ones(shape, dtype=bool) if rows.mask is None else rows.mask
    if about["noise"]:
        inputs["noise"] = np.random.default_rng(0).random(shape).astype(np.float32)
    if not np.array_equal(alone(inputs)["action"], whole(inputs)["action"], equal_nan=not discrete):
        raise PrudentError("the graph of the action alone gives other actions than the whole graph; nothing was kept")


def _as_chosen(found: dict[str, np.ndarray], about: dict[str, Any]) -> np.ndarray:
    """(B,) bool: rows whose action is the policy's own, by no fallback."""
    own = np.ones(len(found["mode"]), dtype=bool)
    if about["outside"] is not None and about["outside"]["fallback"] != "flag":
        own &= ~found["outside"]
    if about["observation"]["outside_range"] == "refuse" and "beyond" in found:
        own &= ~found["beyond"].any(axis=1)
    return own


def _agents(population: Population, inputs: dict[str, np.ndarray], seed: int | None) -> np.ndarray:
    """The agent's actions, (B, A) or (B,); its mode without a ``seed``."""
    mask = inputs.get("mask")
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    allowed = None if mask is None else mask[None]
    actions = population.act(inputs["observation"][None], seed is None, generator, mask=allowed)[0]
    broken = actions < population.spec.first_action if population.spec.discrete else ~np.isfinite(actions)
    if broken.any():
        raise PrudentError(f"{population.names[0]} has diverged: its actions are not numbers, so there is no policy")
    return actions


def _difference(ours: np.ndarray, theirs: np.ndarray, population: Population, asked: Mapping[str, np.ndarray]) -> float:
    """The largest difference of two sets of actions, for the rows that were ``asked``."""
    spec, scaling = population.spec, population.scaling
    if not spec.discrete:
        unit = np.maximum(scaling.action_half_range.numpy(), np.abs(scaling.action_center.numpy()))
        return float(np.abs((ours.astype(np.float64) - theirs) / unit).max())
    other = np.flatnonzero(ours != theirs)
    if not len(other):
        return 0.0
    # Where two actions are as good as each other, rounding decides: what the policy chooses by has to differ little.
    if population.algorithm.POLICY == "greedy":
        observation = asked["observation"][other][None]
        q_2B = np.stack([population.q_value(observation, one[other][None])[0] for one in (ours, theirs)])
        return float((np.abs(q_2B[0] - q_2B[1]) / np.maximum(1.0, np.abs(q_2B[1]))).max())
    with np.errstate(divide="ignore"):
        score = np.log(asked["probabilities"].astype(np.float64))
        if "noise" in asked:
            score = score - np.log(-np.log(np.maximum(asked["noise"], np.finfo(np.float32).tiny)))
    one, two = (score[other, actions[other] - spec.first_action] for actions in (ours, theirs))
    return float(np.abs(one - two).max())


def _q_difference(found: dict[str, np.ndarray], population: Population, inputs: dict[str, np.ndarray]) -> float:
    first = population.spec.first_action
    taken = found["action"]
    rows = taken >= first if population.spec.discrete else np.isfinite(taken).all(axis=1)
    if not rows.any():
        return 0.0
    agents = population.q_value(inputs["observation"][rows][None], taken[rows][None])[0]
    return float((np.abs(found["q"][rows, 0] - agents) / np.maximum(1.0, np.abs(agents))).max())

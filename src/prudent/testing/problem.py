"""A small log and small populations on which an algorithm is tried."""

import copy
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent.algorithms.own.contract import DISCRETE
from prudent.algorithms.shared.updates import State
from prudent.data import Dataset
from prudent.engine.batches import TrainingData
from prudent.engine.members import grid
from prudent.engine.population import Population, new_population
from prudent.types import Batch, flatten

ROWS, EPISODE, FEATURES, ACTIONS, BATCH = 96, 12, 3, 2, 8
CHOICES = 5


class Problem:
    """The algorithm ``name`` on a log of its kind of actions; every second episode terminates."""

    def __init__(self, name: str, module: ModuleType):
        self.name, self.module = name, module
        self.discrete = module.POLICY in DISCRETE
        self.dataset = _log(self.discrete)

    def population(self, seeds: Sequence[int] = (0, 1), **settings: Any) -> Population:
        """An untrained population with small networks, a member per seed."""
        small = {"hidden": (8, 8), "batch_size": BATCH, **({"value_init": "zero"} if self.has("value_init") else {})}
        config = replace(self.module.Config(), **{**small, **settings})
        return new_population(self.dataset, self.name, grid(config, {}, seeds), "cpu")

    def has(self, setting: str) -> bool:
        """Whether the algorithm has a setting of that name."""
        return setting in {f.name for f in fields(self.module.Config)}

    def data(self, population: Population) -> TrainingData:
        """The log as the population learns from it, with every optional column."""
        columns = sorted({*self.module.NEEDS, *(("return_to_go",) if self.has("value_init") else ())})
        return TrainingData(self.dataset, population.scaling, population.hyper, population.device, columns)

    def batch(self, population: Population) -> Batch:
        """A batch (P, B, ...) for the population."""
        return self.data(population).sample(population.rngs["sample"], BATCH)


def _log(discrete: bool) -> Dataset:
    rng = np.random.default_rng(0)
    ends = np.arange(1, ROWS + 1) % EPISODE == 0
    terminated = ends & (np.arange(1, ROWS + 1) % (2 * EPISODE) == 0)
    observation = rng.normal(size=(ROWS + 1, FEATURES)).astype(np.float32)
    action = rng.integers(CHOICES, size=ROWS) if discrete else rng.uniform(-0.9, 0.9, (ROWS, ACTIONS))
    extra, bounds = {}, {} if discrete else {"action_low": -1.0, "action_high": 1.0}
    if discrete:
        mask = (rng.uniform(size=(ROWS + 1, CHOICES)) < 0.6) | (np.arange(CHOICES) == np.append(action, 0)[:, None])
        extra = {"mask": mask[:-1], "next_mask": mask[1:]}
    return Dataset.from_columns(
        observation=observation[:-1],
        action=action if discrete else action.astype(np.float32),
        reward=rng.normal(size=ROWS).astype(np.float32),
        next_observation=observation[1:],
        terminated=terminated,
        truncated=ends & ~terminated,
        discrete=discrete,
        n_actions=CHOICES if discrete else None,
        extra=extra,
        name="the check's log",
        action_low=bounds.get("action_low"),
        action_high=bounds.get("action_high"),
    )


def cloned(state: State) -> State:
    """A copy that shares no memory."""
    return State(copy.deepcopy(state.networks), copy.deepcopy(state.optimizers), state.step)


def tensors_of(state: State) -> dict[str, Tensor]:
    """Everything in a state, by dotted name: ``critic.w0``, ``optimizer.critic.mean.w0``."""
    found = flatten(dict(state.networks))
    found |= {f"optimizer.{name}": value for name, value in flatten(dict(state.optimizers)).items()}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def changed(before: State, after: State) -> list[str]:
    """Networks that differ, or whose optimiser does."""
    old, new = tensors_of(before), tensors_of(after)
    names = [name for name in old if name not in new or not same(old[name], new[name])]
    return list(dict.fromkeys(name.removeprefix("optimizer.").split(".")[0] for name in names))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree in every bit, NaN with NaN."""
    return (
        one.shape == other.shape
        and torch.equal(one.isnan(), other.isnan())
        and torch.equal(one.nan_to_num(), other.nan_to_num())
    )


def tensors_in(value: Any, name: str = "noise") -> dict[str, Tensor]:
    """The tensors inside noise or a batch, by name: of a dataclass, dictionary, tuple, or a tensor itself."""
    if isinstance(value, Tensor):
        return {name: value}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in fields(value) if f.name != "source"}
    elif isinstance(value, dict):
        parts = {str(key): part for key, part in value.items()}
    elif isinstance(value, tuple | list):
        parts = {str(index): part for index, part in enumerate(value)}
    else:
        return {}
    return {key: tensor for part, inner in parts.items() for key, tensor in tensors_in(inner, f"{name}.{part}").items()}


def other_member(value: Any, index: int, source: Any) -> Any:
    """``value`` (P, ...) with the numbers of member ``index`` taken from ``source``, in every tensor."""
    if isinstance(value, Tensor):
        replaced = value.clone()
        replaced[index] = source[index]
        return replaced
    if is_dataclass(value) and not isinstance(value, type):
        changes = {
            f.name: other_member(getattr(value, f.name), index, getattr(source, f.name))
            for f in fields(value)
            if f.name != "source" and f.init
        }
        return replace(value, **changes)
    if isinstance(value, dict):
        return {key: other_member(part, index, source[key]) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(other_member(part, index, other) for part, other in zip(value, source, strict=True))
    return value

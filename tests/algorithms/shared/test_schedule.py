"""A step can be recorded for a GPU: it asks for no number, touches no other device, and does what its stage says.

Traced on PyTorch's meta device, whose tensors have shapes and no content: whatever needs to know a number fails there.
"""

from dataclasses import fields
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from helpers.runs import task_of, write_log
from prudent import algorithms
from prudent.algorithms.shared import schedule
from prudent.data import load_dataset
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.nn.rng import MemberRng
from prudent.types import Hyper

STEPS = 10
"""At most: steps are taken until every stage has come twice."""


class Trace(TorchDispatchMode):
    """Every operation with all of its arguments that are no tensors; a tensor of another device is an error."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves, _ = tree_flatten((args, kwargs))
        for leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                assert leaf.device.type == "meta", f"{func} is handed a tensor of the {leaf.device}"
        plain = tuple(leaf.shape if isinstance(leaf, torch.Tensor) else str(leaf) for leaf in leaves)
        self.operations.append((func, plain))
        if func is torch.ops.aten._fused_adam_.tensor_lr:  # it has no meta implementation
            return None
        return func(*args, **kwargs)


class NoGenerators(MemberRng):
    """Generators for a device that has none."""

    def __init__(self, seeds, stream, device="cpu"):  # noqa: ARG002
        self.device, self.generators = torch.device(device), [None] * len(seeds)

    def _draw(self, shape, dtype, fill):  # noqa: ARG002
        return torch.empty((len(self.generators), *shape), dtype=dtype, device=self.device)

    def state(self):
        return torch.zeros(len(self.generators), 1, dtype=torch.uint8)


@pytest.fixture
def population_of(monkeypatch, tmp_path):
    """Makes two members of an algorithm on the meta device, and their data."""
    monkeypatch.setattr("prudent.engine.population.MemberRng", NoGenerators)

    def made(algorithm, **settings):
        dataset = load_dataset(write_log(tmp_path / f"{algorithm}.npz", **task_of(algorithm)[1]))
        return _made(algorithm, dataset, settings)

    return made


def _made(algorithm, dataset, settings):
    config = algorithms.get(algorithm).Config(hidden=(8,), batch_size=16, **settings)
    scaling = Scaling.fit(dataset, config.normalize_observations)
    population = Population(algorithm, grid(config, {}, [0, 1]), dataset.spec, scaling, "meta")
    return population, population.prepare(dataset)[0]


def settings_of(algorithm):
    """The plain one, and one with everything that the number of a step decides."""
    names = {f.name for f in fields(algorithms.get(algorithm).Config)}
    scheduled = {
        "actor_period": 2,
        "target_period": 3,
        "bc_warmup_steps": 3,
        "max_grad_norm": 1.0,
        "layer_norm": True,
        "lagrange": True,
        "gradient": "sampled",
    }
    found = [{}, {name: value for name, value in scheduled.items() if name in names}]
    if "alpha_final" in names:
        found.append({"alpha_final": 1.0, "alpha_anneal_steps": 4})
    return found


def other_branches(algorithm):
    """Every switch turned, and every other choice."""
    config_type = algorithms.get(algorithm).Config
    for f in fields(config_type):
        if f.name == "value_init":  # of steps before the first
            continue
        choices = get_args(f.type) if get_origin(f.type) is Literal else (True, False) if f.type is bool else ()
        for value in set(choices) - {f.default}:
            yield {f.name: value}


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_steps_of_one_stage_do_the_same_work_in_the_same_places(algorithm, population_of):
    for settings in settings_of(algorithm):
        population, data = population_of(algorithm, **settings)
        before = {name: id(t) for name, t in population.tensors().items() if not name.startswith("rng.")}
        stages = assert_stages_say_it_all(population, data, STEPS, f"{algorithm} {settings}")
        after = {name: id(t) for name, t in population.tensors().items() if not name.startswith("rng.")}
        assert after == before, f"{algorithm}: a tensor of the state was replaced instead of changed"
        if settings:
            assert stages > 1 or not set(settings) & {"actor_period", "target_period", "bc_warmup_steps"}


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_no_branch_asks_for_a_number(algorithm, population_of):
    for settings in other_branches(algorithm):
        assert_stages_say_it_all(*population_of(algorithm, **settings), STEPS, f"{algorithm} {settings}")


def assert_stages_say_it_all(population, data, steps, told):
    """Steps of one stage leave the same trace; returns how many stages there were."""
    work, stages = {}, [schedule.stage(population.hyper, step) for step in range(steps)]
    second_times = [[step for step, other in enumerate(stages) if other == stage][:2][-1] for stage in set(stages)]
    for step, stage in enumerate(stages[: max(second_times) + 1]):
        with Trace() as trace:
            population.step(data)
        for mine, theirs in zip(trace.operations, work.setdefault(stage, trace.operations), strict=True):
            assert mine == theirs, f"{told}: step {step} of stage {stage}"
    return len(work)


def test_the_trace_notices_a_number_that_is_asked_for_and_one_that_was_put_in(monkeypatch, population_of):
    population, data = population_of("bc")
    step, state = population.algorithm.update_actor, population.state

    def asking(*words):
        state.networks["actor"]["b0"].sum().item()
        return step(*words)

    def counting(*words):
        state.networks["actor"]["b0"] * state.step
        return step(*words)

    def crossing(*words):
        state.networks["actor"]["b0"] * torch.ones(())
        return step(*words)

    monkeypatch.setattr(population.algorithm, "update_actor", asking)
    with Trace(), pytest.raises(RuntimeError, match=r"meta"):
        population.step(data)
    monkeypatch.setattr(population.algorithm, "update_actor", crossing)
    with Trace(), pytest.raises(AssertionError, match="tensor of the cpu"):
        population.step(data)
    monkeypatch.setattr(population.algorithm, "update_actor", counting)
    traces = []
    for _ in range(2):
        with Trace() as trace:
            population.step(data)
        traces.append(trace.operations)
    assert traces[0] != traces[1], "a number that changes from step to step left no trace"


def test_a_stage_says_what_the_number_decides():
    config = algorithms.get("cql").Config
    hyper = Hyper([config(actor_period=2, target_period=3, bc_warmup_steps=2, alpha_final=0.0, alpha_anneal_steps=4)])
    stages = [schedule.stage(hyper, step) for step in range(8)]
    assert [acts for acts, *_ in stages] == [True, False] * 4
    assert [follow for _, follow, *_ in stages] == [True, False, False] * 2 + [True, False]
    assert [clone for _, _, clone, _ in stages] == [True, True] + [False] * 6
    assert np.allclose([done for *_, done in stages], [0, 0.25, 0.5, 0.75, 1, 1, 1, 1])

"""Clauses about the functions that change the state."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from prudent.algorithms.shared import multi_step
from prudent.engine.population import Population, training_step
from prudent.nn import optim
from prudent.testing.problem import Problem, changed, cloned, other_member, same, tensors_in, tensors_of
from prudent.types import Batch

PARTS = ("update_critic", "update_actor", "update_target")
FOREIGN = {"update_critic": ("actor",), "update_actor": ("critic", "value")}
"""Networks that belong to another part."""
STEPS = 4


def _call(problem: Problem, part: str, population: Population, batch: Batch, noise: Any) -> dict[str, Tensor]:
    if part == "update_target":
        problem.module.update_target(population.state, population.hyper)
        return {}
    return getattr(problem.module, part)(population.state, batch, noise, population.hyper)


def parts(problem: Problem) -> Iterator[str]:
    """Each part changes its own networks, counts no step, leaves its inputs alone and reports finite numbers."""
    population = problem.population()
    batch, noise = problem.batch(population), population.draw()
    supervised = ("update_supervised",) if problem.has("value_init") else ()
    for part in (*PARTS, *supervised):
        before, inputs = cloned(population.state), _copies(batch, noise)
        metrics = _call(problem, part, population, batch, noise)
        for name, value in metrics.items():
            if value.requires_grad:
                yield f"{part}: metric {name} still carries its graph: detach it"
            if not bool(value.isfinite().all()):
                yield f"{part}: metric {name} is not finite after one step"
        if population.state.step != before.step:
            yield f"{part} counts a step: only the engine does"
            population.state.step = before.step
        for name in changed(before, population.state):
            if part == "update_target" and not name.startswith("target_"):
                yield f"update_target changes {name}: it may change target networks only"
            elif part != "update_target" and name.startswith("target_"):
                yield f"{part} changes {name}: only update_target may"
            elif name in FOREIGN.get(part, ()):
                yield f"{part} changes {name}: leave that to {'update_actor' if name == 'actor' else 'update_critic'}"
        if any(not same(old, new) for old, new in zip(inputs, _copies(batch, noise), strict=True)):
            yield f"{part} overwrites its batch or its noise"


def _copies(*values: Any) -> list[Tensor]:
    return [tensor.clone() for value in values for tensor in tensors_in(value).values()]


def learning(problem: Problem) -> Iterator[str]:
    """Every network that has an optimiser or is a target moves within a few steps, and stays finite."""
    population = problem.population()
    before, data = cloned(population.state), problem.data(population)
    for _ in range(STEPS):
        population.step(data)
    moved = changed(before, population.state)
    policy = [name for name in before.networks if name == "actor"] or ["critic"]
    if not set(policy) & set(moved):
        yield f"{policy[0]} does not change in {STEPS} steps: the policy does not learn"
    for name in before.networks:
        source = name.removeprefix("target_")
        if name.startswith("target_") and name not in moved and source in moved:
            yield f"{name} does not change in {STEPS} steps: update_target must move it towards {source}"
    broken = [name for name, value in tensors_of(population.state).items() if not bool(value.isfinite().all())]
    if broken:
        yield f"{broken[0]} is not finite after {STEPS} steps on a log of ordinary numbers"


def repeatable(problem: Problem) -> Iterator[str]:
    """A step depends on state, batch and noise alone."""
    population = problem.population()
    batch, noise, state = problem.batch(population), population.draw(), population.state
    ends = []
    for _ in range(2):
        copy = cloned(state)
        training_step(problem.module, copy, batch, noise, population.hyper)
        ends.append(copy)
    differing = changed(*ends)
    if differing:
        yield (
            f"a step is not reproducible: from the same state, batch and noise {differing[0]} differs; "
            "take random numbers from noise, and keep what changes in State"
        )


def independent(problem: Problem) -> Iterator[str]:
    """What one member learns does not depend on the other members' rows, noise and settings."""
    population = problem.population()
    batch, noise, state = problem.batch(population), population.draw(), population.state
    others = problem.batch(population), population.draw()
    ends = []
    for each_batch, each_noise in ((batch, noise), tuple(map(_second_of, (batch, noise), others))):
        copy = cloned(state)
        metrics = training_step(problem.module, copy, each_batch, each_noise, population.hyper)
        ends.append({**tensors_of(copy), **{f"metric {name}": value for name, value in metrics.items()}})
    for name, value in ends[0].items():
        if value.dim() and not same(value[0], ends[1][name][0]):
            part = name.removeprefix("optimizer.").split(".")[0]
            yield (
                f"members are not independent: {part} of the first member changes with the second one's rows; "
                "reduce from the right, .mean(-1), so that the first axis stays"
            )
            return


def _second_of(value: Any, source: Any) -> Any:
    return other_member(value, 1, source)


def gradients(problem: Problem) -> Iterator[str]:
    """No gradient flows into the target: of losses that are followed by ``descend``, of targets by ``bootstrap``."""
    population = problem.population()
    batch, noise, state = problem.batch(population), population.draw(), population.state
    targets = {name: params for name, params in state.networks.items() if name.startswith("target_")}
    for params in targets.values():
        for value in params.values():
            value.requires_grad_()
    found: dict[str, None] = {}
    with _watched(targets, found):
        for part in ("update_critic", "update_actor"):
            try:
                _call(problem, part, population, batch, noise)
            except RuntimeError as error:
                # In-place changes of a target are said by the clause of the parts.
                if "leaf" not in str(error):
                    raise
    for name in found:
        yield f"a gradient flows into {name}: compute the target under @torch.no_grad()"


@contextmanager
def _watched(targets: dict[str, dict[str, Tensor]], found: dict[str, None]) -> Iterator[None]:
    """Inside, losses and targets say into which target networks their gradients flow."""
    descent, one_step = optim.gradients, multi_step._one_step

    def gradients(loss: Any, params: Any) -> Any:
        def watched(leaves: Any) -> Any:
            loss_P, metrics = loss(leaves)
            flat = [(name, value) for name, net in targets.items() for value in net.values()]
            if flat and loss_P.requires_grad:
                flows = torch.autograd.grad(
                    loss_P.sum(), [value for _, value in flat], allow_unused=True, retain_graph=True
                )
                found.update({name: None for (name, _), flow in zip(flat, flows, strict=True) if flow is not None})
            return loss_P, metrics

        return descent(watched, params)

    def target(*arguments: Any) -> Tensor:
        y_PB = one_step(*arguments)
        if y_PB.requires_grad:
            found["the target of the critics"] = None
        return y_PB

    optim.gradients, multi_step._one_step = gradients, target
    try:
        yield
    finally:
        optim.gradients, multi_step._one_step = descent, one_step


def first_values(problem: Problem) -> Iterator[str]:
    """``value_init``: the supervised step makes values that are finite."""
    if not problem.has("value_init"):
        return
    population = problem.population(value_init="regression", value_init_steps=2)
    population.prepare(problem.dataset)
    broken = [name for name, value in tensors_of(population.state).items() if not bool(value.isfinite().all())]
    if broken:
        yield f"update_supervised makes {broken[0]} infinite or NaN (value_init regression)"


def several_steps(problem: Problem) -> Iterator[str]:
    """With ``n_steps`` the target uses the window of a row."""
    if not problem.has("n_steps"):
        return
    population = problem.population(n_steps=3)
    batch, noise = problem.batch(population), population.draw()
    further = tuple(replace(step, reward=step.reward + 1.0) for step in batch.window[1:])
    ends = []
    for window in (batch.window, (batch.window[0], *further)):
        copy = cloned(population.state)
        problem.module.update_critic(copy, replace(batch, window=window), noise, population.hyper)
        ends.append(copy)
    if not changed(*ends):
        yield "n_steps is a setting that nothing reads: compute the target by bootstrap(batch, value, hyper)"

"""Clauses about ``act`` and ``q_value``."""

from collections.abc import Iterator

import torch
from torch import Tensor

from prudent.engine.population import Population
from prudent.testing.problem import CHOICES, Problem, same

ROWS, DRAWS = 40, 256


def _case(problem: Problem) -> tuple[Population, Tensor, Tensor, Tensor | None]:
    """A population, observations, noise, and a mask for discrete actions; the actors are not those of the start."""
    population = problem.population()
    data = problem.data(population)
    for _ in range(3):
        population.step(data)
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(2, ROWS, population.spec.observation_size, generator=generator)
    shape = (2, ROWS, population.spec.action_size)
    if not problem.discrete:
        return population, observation, torch.randn(shape, generator=generator), None
    mask = torch.rand(shape, generator=generator) < 0.5
    mask[..., 0] |= ~mask.any(-1)
    return population, observation, torch.rand(shape, generator=generator), mask


def _act(problem: Problem, population: Population, observation: Tensor, *more: Tensor | None) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return problem.module.act(population.state.networks, observation, *more)


def acts(problem: Problem) -> Iterator[str]:
    """Actions are within their range, repeatable, and heed noise as ``POLICY`` says."""
    population, observation, noise, mask = _case(problem)
    masks = (mask,) if problem.discrete else ()
    action, log_prob = _act(problem, population, observation, None, *masks)
    again, _ = _act(problem, population, observation, None, *masks)
    drawn, drawn_log_prob = _act(problem, population, observation, noise, *masks)
    if not same(action, again):
        yield "act without noise gives another action each time: it must give the likeliest one"
    policy = problem.module.POLICY
    if policy in ("deterministic", "greedy"):
        if not same(action, drawn):
            yield f"act heeds noise, but POLICY is {policy}: it takes one action per state"
        if bool((log_prob != 0).any()):
            yield f"act must give log_prob 0, because POLICY is {policy}: the one action has probability 1"
    elif same(action, drawn):
        yield f"act ignores noise, but POLICY is {policy}: with noise it must draw"
    if not (bool(log_prob.isfinite().all()) and bool(drawn_log_prob.isfinite().all())):
        yield "act gives a log_prob that is not finite"
    yield from _discrete(problem, population, observation, mask) if problem.discrete else _continuous(action, drawn)


def _continuous(action: Tensor, drawn: Tensor) -> Iterator[str]:
    for each in (action, drawn):
        if each.dim() != 3:
            yield f"act must give continuous actions of shape (P, B, A), got {tuple(each.shape)}"
            return
        if not bool(each.isfinite().all()) or float(each.abs().max()) > 1:
            yield "act gives an action outside [-1, 1], the units of the networks"
            return


def _discrete(problem: Problem, population: Population, observation: Tensor, mask: Tensor | None) -> Iterator[str]:
    assert mask is not None
    generator = torch.Generator().manual_seed(1)
    for noise in (None, torch.rand(2, ROWS, CHOICES, generator=generator)):
        action, log_prob = _act(problem, population, observation, noise, mask)
        if action.shape != log_prob.shape:
            yield f"act must give discrete actions of shape (P, B), got {tuple(action.shape)}"
            return
        if int(action.min()) < 0 or int(action.max()) >= CHOICES:
            yield f"act gives an action outside 0 to {CHOICES - 1}: the log has {CHOICES} of them"
            return
        if not bool(mask.gather(-1, action.unsqueeze(-1)).all()):
            yield "act takes an action that mask forbids"
            return
        if bool((log_prob > 1e-6).any()):
            yield "act gives a log_prob above 0: probabilities of discrete actions are at most 1"
            return
    if problem.module.POLICY == "categorical":
        row = int(mask.sum(-1).amin(0).argmax())  # where every member has a choice
        one, allowed = (columns[:, row : row + 1].expand(-1, DRAWS, -1) for columns in (observation, mask))
        noise = torch.rand(2, DRAWS, CHOICES, generator=generator)
        action, log_prob = _act(problem, population, one, noise, allowed)
        for member in range(2):
            seen = {int(a): float(p) for a, p in zip(action[member], log_prob[member].exp(), strict=True)}
            if sum(seen.values()) > 1 + 1e-4:
                yield "act gives probabilities that add up to more than 1"
                return
            share = {a: float((action[member] == a).double().mean()) for a in seen}
            if any(abs(share[a] - seen[a]) > 0.2 for a in seen):
                yield "act draws actions at other rates than their log_prob says"
                return


def acts_alone(problem: Problem) -> Iterator[str]:
    """A member acts and values as its own networks say, whatever the others are."""
    population, observation, noise, mask = _case(problem)
    solo = population.member(0)
    whole = population.state.networks
    for given in (None, noise):
        more = (given, mask) if problem.discrete else (given,)
        alone = [None if value is None else value[:1] for value in more]
        action, _ = _act(problem, population, observation, *more)
        single, _ = _act(problem, solo, observation[:1], *alone)
        if not torch.allclose(action[:1].double(), single.double(), atol=1e-5):
            yield "act gives a member another action alone than beside others"
            return
    if problem.module.q_value is not None:
        with torch.no_grad():
            q = problem.module.q_value(whole, observation, action)
            single = problem.module.q_value(solo.state.networks, observation[:1], action[:1])
        if not torch.allclose(q[:1], single, atol=1e-4):
            yield "q_value gives a member another value alone than beside others"


def values(problem: Problem) -> Iterator[str]:
    """``q_value`` values actions; None says that there is no critic."""
    population, observation, noise, mask = _case(problem)
    if problem.module.q_value is None:
        if "critic" in population.state.networks:
            yield "q_value is None, but there is a network critic: export its smallest Q"
        return
    more = (noise, mask) if problem.discrete else (noise,)
    action, _ = _act(problem, population, observation, *more)
    other = (action + 1) % CHOICES if problem.discrete else -action
    with torch.no_grad():
        q, q_other = (problem.module.q_value(population.state.networks, observation, a) for a in (action, other))
    if not bool(q.isfinite().all()):
        yield "q_value is not finite"
    elif same(q, q_other):
        yield "q_value ignores the action"

"""Clauses about ``Config``, ``init`` and ``draw``."""

from collections.abc import Iterator
from dataclasses import fields

from prudent.config import field_comments, from_json, to_json
from prudent.testing.problem import Problem, same, tensors_in, tensors_of


def comments(problem: Problem) -> Iterator[str]:
    """Every setting has a comment on its line, which is the help of its flag."""
    config_type = problem.module.Config
    found = field_comments(config_type)
    for f in fields(config_type):
        if len(found.get(f.name, "")) < 3:
            yield f"Config.{f.name} has no comment on its line, which is the help of its flag"


def json(problem: Problem) -> Iterator[str]:
    """Settings survive JSON, in which a run keeps them."""
    config = problem.module.Config()
    if from_json(type(config), to_json(config)) != config:
        yield "Config does not come back from JSON as it was: use numbers, texts, None and tuples of them"


def start(problem: Problem) -> Iterator[str]:
    """``init`` draws from ``rng`` alone, and a member starts the same alone and beside others."""
    state, again = problem.population().state, problem.population().state
    alone = tensors_of(problem.population(seeds=[1]).state)
    first, second = tensors_of(state), tensors_of(again)
    if first.keys() != second.keys() or any(not same(value, second[name]) for name, value in first.items()):
        yield "init is not reproducible: take all random numbers from rng"
        return
    networks = {name: value for name, value in first.items() if not name.startswith("optimizer.")}
    if all(same(value[0], value[1]) for value in networks.values()):
        yield "init gives members of different seeds the same numbers: take them from rng"
    for name, value in networks.items():
        if name not in alone or not same(value[1], alone[name][0]):
            yield f"init gives a member other numbers alone than beside others: {name}"
            break
    for name, params in state.networks.items():
        source = state.networks.get(name.removeprefix("target_"))
        if name.startswith("target_") and source is None:
            yield f"init makes {name} without {name.removeprefix('target_')}, which it would follow"
        elif name.startswith("target_") and any(params[key].data_ptr() == source[key].data_ptr() for key in params):  # pyright: ignore[reportOptionalSubscript]
            yield f"init lets {name} share its memory with {name.removeprefix('target_')}: copy it"
    if not state.optimizers:
        yield "init makes no optimiser, so nothing can learn: use adam_states"


def noise(problem: Problem) -> Iterator[str]:
    """``draw`` takes its numbers from ``rng``, for each member its own."""
    first, second = tensors_in(problem.population().draw()), tensors_in(problem.population().draw())
    if any(name not in second or not same(value, second[name]) for name, value in first.items()):
        yield "draw is not reproducible: take all random numbers from rng"
        return
    for name, value in first.items():
        if value.dim() == 0 or len(value) != 2:
            yield f"draw must give each member its own numbers: {name} has shape {tuple(value.shape)}, not (P, ...)"
        elif same(value[0], value[1]):
            yield f"draw gives members of different seeds the same numbers: {name}"

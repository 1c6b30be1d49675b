"""The clause about checkpoints."""

from collections.abc import Iterator

from safetensors.torch import load as load_tensors
from torch import Tensor

from prudent.errors import PrudentError
from prudent.runs import checkpoint
from prudent.runs.foreign import parse_json
from prudent.testing.problem import Problem, changed


def saves(problem: Problem) -> Iterator[str]:
    """A population goes on from a checkpoint as if it had never stopped."""
    population = problem.population()
    data = problem.data(population)
    population.step(data)
    strange = [name for name, value in population.tensors().items() if not isinstance(value, Tensor)]
    if strange:
        yield f"the state cannot be saved: {strange[0]} is no tensor"
        return
    content = checkpoint.contents(population, {})
    description = parse_json(content[checkpoint.DESCRIPTION])
    try:
        loaded = checkpoint.described(load_tensors(content[checkpoint.STATE]), description, "cpu")
    except PrudentError as error:
        yield f"the state does not come back from a checkpoint: {error}"
        return
    for _ in range(2):
        population.step(data)
        loaded.step(data)
    differing = changed(population.state, loaded.state)
    if differing:
        yield (f"{differing[0]} goes on differently from a checkpoint: something that training changes is not in State")

"""Training steps on batches that a program hands over, whole or in their three parts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from prudent.engine.batches import network_batch
from prudent.engine.members import Member
from prudent.engine.options import Options
from prudent.engine.population import Population, new_population
from prudent.engine.process import prepare_process
from prudent.errors import PrudentError
from prudent.types import Batch


def begin(batch: Batch, algorithm: str, members: Sequence[Member], device: str) -> Population:
    """The untrained population for the dataset of a batch, its values initialised as ``value_init`` says.

    Raises:
        PrudentError: the batch has another size or other shapes, or does not say which dataset it came from.
    """
    if batch.source is None:
        raise PrudentError("this batch does not say which dataset it came from: take it from Dataset.batches")
    population = new_population(batch.source, algorithm, members, prepare_process(Options(device=device)))
    network_batch(population, batch)
    if getattr(population.hyper, "value_init", "zero") != "zero":
        population.prepare(batch.source)
    return population


def take(population: Population, batch: Batch, part: str, draws: list[Any]) -> dict[str, np.ndarray]:
    """A whole step (``update``) or a ``part`` of one; metrics by name, each (P,).

    ``draws`` keeps the draw of a step between its parts, and is empty between steps.

    Raises:
        PrudentError: the batch has another size or other shapes.
    """
    scaled = network_batch(population, batch)
    # One draw per step, as in update: the actor uses the draw that the critics used.
    if part != "update_actor" or not draws:
        draws[:] = [population.draw()]
    noise = draws[0]
    if part != "update_critic":
        draws.clear()
    metrics = population.update_part(part, scaled, noise)
    return {name: value.cpu().numpy() for name, value in metrics.items()}

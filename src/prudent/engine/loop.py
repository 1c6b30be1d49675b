"""The training loop of every algorithm: take a step, tell an observer.

:mod:`prudent.training` runs it with a folder, agents also without one.
"""

import math

from prudent.data import Dataset
from prudent.engine.batches import TrainingData
from prudent.engine.cuda_graphs import Steps
from prudent.engine.population import Population
from prudent.files import human_bytes
from prudent.types import Metrics, Totals


class Observer:
    """What happens around the steps. This one only adds the metrics up."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.stopped = False  # set by :meth:`began` or :meth:`stepped`: take no further step

    def say(self, message: str, /) -> None:
        """Show a message: memory in use, how steps are taken."""

    def began(self, metrics: Metrics) -> None:
        """Called before the first step, with the metrics of the first values (``value_init``), if any were fitted."""

    def due(self, step: int) -> float:  # noqa: ARG002
        """The next step after ``step`` at which :meth:`stepped` must be called."""
        return math.inf

    def stepped(self, step: int, totals: Totals) -> None:  # noqa: ARG002
        """Called after one or several steps, of which ``step`` is the last."""
        self.totals.add(totals)


def memory_line(population: Population, data: TrainingData) -> str:
    """One line: where data and networks are, and how much memory they take."""
    networks = sum(tensor.nbytes for tensor in population.tensors().values())
    return f"memory: {data.memory()}; networks and optimisers {human_bytes(networks)} on {population.device}"


def fit(population: Population, dataset: Dataset, steps: int, observer: Observer) -> None:
    """Train ``population`` until it has taken ``steps`` steps in total, with calls of ``observer``."""
    data, first_values = population.prepare(dataset)
    observer.say(memory_line(population, data))
    observer.began(first_values)
    training = Steps(population, data, observer.say)
    while not observer.stopped and (step := population.state.step) < steps:
        totals = training.take(int(min(steps, observer.due(step))) - step)
        observer.stepped(population.state.step, totals)

"""The one training loop, for every algorithm: draw a batch, make a step, tell an observer.

:mod:`prudent.training.start` runs it in a folder, the estimators run it bare.
"""

import math

from prudent.data import Dataset
from prudent.engine.batches import TrainingData
from prudent.engine.cuda_graphs import Steps
from prudent.engine.population import Population
from prudent.files import human_bytes
from prudent.types import Metrics, Totals


class Observer:
    """What happens around the steps; this one only adds metrics up."""

    def __init__(self) -> None:
        self.totals = Totals()

    def say(self, message: str) -> None:
        """Something for people: what lies where and takes how much memory, and how steps are taken."""

    def began(self, metrics: Metrics) -> None:
        """Before the first step; ``metrics`` are those of the first values, if any were fitted."""

    def due(self, step: int) -> float:  # noqa: ARG002
        """The first step after ``step`` behind which :meth:`stepped` must be called."""
        return math.inf

    def stepped(self, step: int, totals: Totals) -> None:  # noqa: ARG002 - for those who do more
        """After one or several steps, the last of them the one with the number ``step``."""
        self.totals.add(totals)


def memory_line(population: Population, data: TrainingData) -> str:
    """What lies where and takes how much memory, one line."""
    networks = sum(tensor.nbytes for tensor in population.tensors().values())
    return f"memory: {data.memory()}; networks and optimisers {human_bytes(networks)} on {population.device}"


def fit(population: Population, dataset: Dataset, steps: int, observer: Observer) -> None:
    """Train ``population`` until it has made ``steps`` steps in all, telling ``observer`` of each."""
    data, first_values = population.prepare(dataset)
    observer.say(memory_line(population, data))
    observer.began(first_values)
    training = Steps(population, data, observer.say)
    while (step := population.state.step) < steps:
        totals = training.take(int(min(steps, observer.due(step))) - step)
        observer.stepped(population.state.step, totals)

"""The workload that is measured, its data, and the matrix products that every implementation needs.

17 observation and 6 action features, batch 256, 10 actions per proposal distribution (30 proposals and the data
action), 2 critics of 2 x 256, one member, float32, CPU. The critics' hidden layer needs six products of (7936 x 256) by
(256 x 256): forward, gradient of the input and gradient of the weight, for each of two critics.
"""

from collections.abc import Callable

import numpy as np
import torch

from prudent.algorithms import cql
from prudent.data import Dataset
from prudent.engine.batches import TrainingData
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.nn import products
from prudent.types import Spec

OBSERVATION, ACTION, ROWS, EPISODE = 17, 6, 20_000, 1000
SPEC = Spec(OBSERVATION, ACTION, False, (-1.0,) * ACTION, (1.0,) * ACTION)


def columns(rows: int = ROWS) -> dict[str, np.ndarray]:
    """Random transitions with the names of D4RL."""
    generator = np.random.default_rng(0)
    return {
        "observations": generator.standard_normal((rows, OBSERVATION), dtype=np.float32),
        "actions": generator.random((rows, ACTION), dtype=np.float32) * 2 - 1,
        "rewards": generator.standard_normal(rows, dtype=np.float32),
        "next_observations": generator.standard_normal((rows, OBSERVATION), dtype=np.float32),
        "terminals": generator.random(rows) < 0.01,
        "timeouts": np.arange(1, rows + 1) % EPISODE == 0,
    }


def dataset(rows: int = ROWS) -> Dataset:
    """:func:`columns` as a dataset of the library."""
    found = columns(rows)
    return Dataset.from_columns(
        observation=found["observations"],
        action=found["actions"],
        reward=found["rewards"],
        next_observation=found["next_observations"],
        terminated=found["terminals"],
        truncated=found["timeouts"],
        action_low=-1.0,
        action_high=1.0,
        name="random",
    )


def prepared(config: cql.Config, members: int = 1, device: str = "cpu") -> tuple[Population, TrainingData]:
    """A population of CQL and its random training data, on a device."""
    data = dataset()
    scaling = Scaling.fit(data, config.normalize_observations)
    made = Population("cql", grid(config, {}, list(range(members))), data.spec, scaling, device)
    return made, made.prepare(data)[0]


def population(config: cql.Config, members: int = 1) -> tuple[Population, Callable[[], object]]:
    """A population of CQL on random data, and a function that makes one complete training step."""
    made, data = prepared(config, members)
    return made, lambda: made.step(data)


def untrained(spec: Spec, config: cql.Config, members: int = 1) -> Population:
    """A population of CQL for given spaces, without scaling of observations."""
    low, high = torch.tensor(spec.action_low), torch.tensor(spec.action_high)
    size = spec.observation_size
    scaling = Scaling(torch.zeros(size), torch.ones(size), (low + high) / 2, (high - low) / 2)
    return Population("cql", grid(config, {}, list(range(members))), spec, scaling, torch.device("cpu"))


def six_products(config: cql.Config) -> dict[str, Callable[[], object]]:
    """Functions that make only the six products of the exact critic passes, by name."""
    rows, width = _shape(config)
    hidden, gradient, weight = torch.randn(rows, width), torch.randn(rows, width), torch.randn(width, width)
    forward, back, weights = torch.empty(rows, width), torch.empty(rows, width), torch.empty(width, width)

    def by_torch() -> None:
        for _ in range(2):
            torch.mm(hidden, weight, out=forward)
            torch.mm(gradient, weight.T, out=back)
            torch.mm(hidden.T, gradient, out=weights)

    def by_kernels() -> None:
        for _ in range(2):
            products.forward(hidden, weight, None)
            products.to_input(gradient, weight)
            products.to_weight(hidden, gradient)

    return {"products": by_torch, "floor": by_kernels if products.prefers_onednn() else by_torch}


def product_flops(config: cql.Config) -> float:
    """Floating-point operations of the six products."""
    rows, width = _shape(config)
    return 6 * 2.0 * rows * width * width


def _shape(config: cql.Config) -> tuple[int, int]:
    return config.batch_size * (len(config.proposals) * config.n_actions + 1), config.hidden[0]

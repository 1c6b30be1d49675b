"""What the races share: a training step to time and a policy to evaluate, of this library and of its peers.

:mod:`benchmarks.race` asks how long a useful policy takes; :mod:`benchmarks.returns` how good a policy is after how
many minutes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.harness import timed
from benchmarks.peers.client import Peer
from prudent.data import Dataset
from prudent.engine.members import grid
from prudent.engine.population import Population, new_population
from prudent.evaluation.rollouts import Acting, evaluate_both
from prudent.types import Spec


class Visitor:
    """The policy of a peer, called over its pipe, as an agent that can be evaluated here."""

    size, reward_scale, reward_shift = 1, 1.0, 0.0

    def __init__(self, peer: Peer, spec: Spec, discount: float):
        self._peer, self.spec, self.discount = peer, spec, np.array([discount])
        self.names = (peer.name,)

    def act(
        self,
        observation: np.ndarray,
        deterministic: bool,
        generator: torch.Generator | None,  # noqa: ARG002 - it draws with noise of its own
        *,
        mask: np.ndarray | None = None,  # noqa: ARG002 - actions are continuous
    ) -> np.ndarray:
        """Actions of the peer's policy."""
        return self._ask("best" if deterministic else "drawn", observation)

    def predicted_value(
        self,
        observation: np.ndarray,
        generator: torch.Generator | None,  # noqa: ARG002
        *,
        mask: np.ndarray | None = None,  # noqa: ARG002
    ) -> np.ndarray:
        """The value, by the peer's critics, of actions drawn from its policy."""
        return self._ask("value", observation)

    def _ask(self, what: str, observation: np.ndarray) -> np.ndarray:
        return self._peer.policy(what, observation[0])[None]


def figures_of(agent: Acting, env: str, episodes: int = 20) -> dict[str, float]:
    """Return of the deterministic policy; predicted and realised value of the sampled one.

    The prediction is None without a critic; a return is None if the policy's actions are no longer numbers.
    """
    overall = evaluate_both(agent, env, episodes=episodes).summary()["overall"]
    return {
        "return": overall["return_mean"],
        "predicted": overall["predicted_value"],
        "realised": overall["realized_value"],
    }


def ours(algorithm: str, config: Any, dataset: Dataset, seed: int) -> tuple[Population, Callable[[], object], float]:
    """A population of one member, its training step, and the CPU seconds of its preparation."""
    prepared: list[Any] = []

    def prepare() -> None:
        population = new_population(dataset, algorithm, grid(config, {}, [seed]), torch.device("cpu"))
        prepared.extend((population, population.prepare(dataset)[0]))

    before = timed(prepare)(1) / 1000
    population, data = prepared
    return population, lambda: population.step(data), before


def columns_of(dataset: Dataset) -> dict[str, np.ndarray]:
    """Columns with the names of D4RL, and the action bounds; -1 and 1 if none are declared, as in training."""
    low, high = dataset.spec.action_low, dataset.spec.action_high
    ones = np.ones(dataset.spec.action_size, dtype=np.float32)
    return {
        "observations": dataset.observation,
        "actions": dataset.action,
        "rewards": dataset.reward,
        "next_observations": dataset.next_observation,
        "terminals": dataset.terminated,
        "timeouts": dataset.truncated,
        "low": -ones if low is None else np.array(low, dtype=np.float32),
        "high": ones if high is None else np.array(high, dtype=np.float32),
    }

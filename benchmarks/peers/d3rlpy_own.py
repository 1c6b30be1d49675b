"""d3rlpy's algorithms as documented: with its own settings, buffer, sampling and ``update``."""

from collections.abc import Callable
from typing import Any

import d3rlpy
import numpy as np


def make(
    data: dict[str, np.ndarray], options: dict[str, Any]
) -> tuple[Callable[[], object], Callable[[str, np.ndarray], np.ndarray], dict[str, str]]:
    """A step (a batch from the replay buffer, then ``update``), the policy, and versions.

    Options: ``batch``, and optionally ``seed``, the random seed, and ``algorithm``: ``cql`` (the default), with the
    defaults of its class, or ``td3_bc``, with standardised observations besides, as in d3rlpy's own script for it. If
    the data have ``low`` and ``high``, actions are scaled to [-1, 1], as d3rlpy needs them.
    """
    if "seed" in options:
        d3rlpy.seed(options["seed"])
    buffer = d3rlpy.dataset.MDPDataset(
        observations=data["observations"],
        actions=data["actions"],
        rewards=data["rewards"],
        terminals=data["terminals"].astype(np.float32),
        timeouts=(data["timeouts"] & ~data["terminals"]).astype(np.float32),
    )
    bounded = "low" in data
    scaler = d3rlpy.preprocessing.MinMaxActionScaler(minimum=data["low"], maximum=data["high"]) if bounded else None
    algorithm = _config(options.get("algorithm", "cql"), scaler, data["observations"]).create(device="cpu:0")
    algorithm.build_with_dataset(buffer)

    def policy(what: str, states: np.ndarray) -> np.ndarray:
        if what == "best":
            return algorithm.predict(states)
        drawn = algorithm.sample_action(states)
        return drawn if what == "drawn" else algorithm.predict_value(states, drawn)

    versions = {"d3rlpy": d3rlpy.__version__, "numpy": np.__version__}
    return lambda: algorithm.update(buffer.sample_transition_batch(options["batch"])), policy, versions


def _config(name: str, scaler: Any, states: np.ndarray) -> Any:
    """The settings of an algorithm, after a look at those that the comparison relies on."""
    if name == "cql":
        config = d3rlpy.algos.CQLConfig(action_scaler=scaler)
        found, expected = (config.batch_size, config.n_action_samples, config.n_critics), (256, 10, 2)
    else:
        # Only d3rlpy's own fit measures the data; update does not.
        standard = d3rlpy.preprocessing.StandardObservationScaler(mean=states.mean(0), std=states.std(0))
        config = d3rlpy.algos.TD3PlusBCConfig(action_scaler=scaler, observation_scaler=standard)
        found, expected = (config.batch_size, config.alpha, config.update_actor_interval), (256, 2.5, 2)
    if found != expected:
        raise SystemExit(f"this d3rlpy has other settings of {name}: {found} instead of {expected}")
    return config

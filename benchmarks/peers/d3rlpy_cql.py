"""d3rlpy's CQL as documented: its own settings, its own buffer, its own sampling, ``update``."""

from collections.abc import Callable
from typing import Any

import d3rlpy
import numpy as np


def step(data: dict[str, np.ndarray], options: dict[str, Any]) -> tuple[Callable[[], object], dict[str, str]]:
    """One step: a batch from the replay buffer, then ``update``."""
    buffer = d3rlpy.dataset.MDPDataset(
        observations=data["observations"],
        actions=data["actions"],
        rewards=data["rewards"],
        terminals=data["terminals"].astype(np.float32),
        timeouts=(data["timeouts"] & ~data["terminals"]).astype(np.float32),
    )
    config = d3rlpy.algos.CQLConfig()
    found = (config.batch_size, config.n_action_samples, config.n_critics)
    if found != (256, 10, 2):
        raise SystemExit(f"this d3rlpy has other settings (batch, actions, critics): {found}")
    algorithm = config.create(device="cpu:0")
    algorithm.build_with_dataset(buffer)
    versions = {"d3rlpy": d3rlpy.__version__, "numpy": np.__version__}
    return lambda: algorithm.update(buffer.sample_transition_batch(options["batch"])), versions

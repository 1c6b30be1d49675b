"""Logs whose every number says where it comes from, so that tests look at content, not at shapes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from prudent.errors import DataError


def walk(lengths: Sequence[int], size: int = 3) -> dict[str, np.ndarray]:
    """A flat log of episodes: feature 0 is the episode, feature 1 the step within it, the others are noise.

    ``successor`` is the true next observation, also at the ends, where its step is the episode's length.
    """
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([np.arange(n) for n in lengths])
    noise = 0.01 * rng.normal(size=(len(step), size - 2))
    observation = np.column_stack([100 * episode, step, noise]).astype(np.float32)
    successor = observation.copy()
    successor[:-1] = observation[1:]
    last = np.cumsum(lengths) - 1
    successor[last] = observation[last] + np.array([0, 1] + [0] * (size - 2), dtype=np.float32)
    ends = np.zeros(len(step), dtype=bool)
    ends[last] = True
    return {
        "observations": observation,
        "successor": successor,
        "actions": rng.uniform(-1, 1, size=(len(step), 2)).astype(np.float32),
        "rewards": (episode + step / 1000).astype(np.float32),
        "ends": ends,
    }


def flat(log: dict[str, np.ndarray], **more: np.ndarray) -> dict[str, np.ndarray]:
    """The columns every format has, and those given."""
    return {key: log[key] for key in ("observations", "actions", "rewards")} | more


def write_hdf5(path: Path, **columns: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for key, column in columns.items():
            file.create_dataset(key, data=column)
    return path


def write_npz(path: Path, **columns: np.ndarray) -> Path:
    np.savez(path, **columns)
    return path


def complaint(function: Callable, *args, **kwargs) -> str:
    """The one line that a refusal consists of."""
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    line = str(caught.value)
    assert "\n" not in line
    assert 15 < len(line) < 500
    return line

"""Logs whose every number says where it comes from, so that tests look at content, not at shapes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from prudent.data import Dataset
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


def model_of(path: Path) -> SimpleNamespace:
    """A stand-in for an agent of Stable-Baselines3 whose replay buffer was stored in ``path``."""
    stored = dict(np.load(path))
    space = SimpleNamespace(low=stored.pop("space_low"), high=stored.pop("space_high"))
    pos, full = int(stored.pop("pos")), bool(stored.pop("full"))
    return SimpleNamespace(replay_buffer=SimpleNamespace(pos=pos, full=full, n_envs=2, **stored), action_space=space)


def logged(rows=400, state_size=3, action_size=2, seed=0, **columns) -> Dataset:
    """Random rows in episodes of 20, terminated and truncated in turn; ``columns`` replace columns."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(rows, state_size)).astype(np.float32)
    ends = np.arange(rows) % 20 == 19
    table = {
        "observation": observation,
        "action": rng.uniform(-1, 1, size=(rows, action_size)).astype(np.float32),
        "reward": rng.normal(size=rows).astype(np.float32),
        # Rows follow each other within an episode; behind its end stands a state of its own.
        "next_observation": np.where(ends[:, None], observation + 0.1, np.roll(observation, -1, axis=0)),
        "terminated": ends & (np.arange(rows) % 40 == 39),
        "truncated": ends & (np.arange(rows) % 40 == 19),
    }
    return Dataset.from_columns(**{**table, **columns})


def put(key: str, value) -> Callable:
    """A change of an open HDF5 file: another value under a key."""

    def change(file):
        del file[key]
        file[key] = value

    return change

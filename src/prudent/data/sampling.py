"""Random batches of a dataset, for training loops outside this library."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from prudent.errors import DataError
from prudent.types import Batch

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset


def batches(
    dataset: "Dataset", batch_size: int, steps: int | None, seed: int, discount: float | None
) -> Iterator[Batch]:
    """See :meth:`prudent.data.Dataset.batches`."""
    if batch_size < 1:
        raise DataError(f"batch_size must be 1 or more, got {batch_size}")
    if discount is not None:
        dataset.check_order()
    to_go = None if discount is None else dataset.returns_to_go(discount)
    generator = np.random.default_rng(seed)
    done = 0
    while steps is None or done < steps:
        rows = generator.integers(len(dataset), size=batch_size)
        yield _batch(dataset, rows, to_go)
        done += 1


def _batch(dataset: "Dataset", rows: np.ndarray, to_go: np.ndarray | None) -> Batch:
    extra = dataset.extra
    return Batch(
        observation=torch.from_numpy(dataset.observation[rows]),
        action=torch.from_numpy(dataset.action[rows]),
        reward=torch.from_numpy(dataset.reward[rows]),
        next_observation=torch.from_numpy(dataset.next_observation[rows]),
        terminated=torch.from_numpy(dataset.terminated[rows]),
        dt=torch.from_numpy(extra["dt"][rows].astype(np.float32)) if "dt" in extra else None,
        mask=torch.from_numpy(extra["mask"][rows]) if "mask" in extra else None,
        next_mask=torch.from_numpy(extra["next_mask"][rows]) if "next_mask" in extra else None,
        return_to_go=None if to_go is None else torch.from_numpy(to_go[rows]),
        next_action=torch.from_numpy(dataset.action[np.minimum(rows + 1, len(dataset) - 1)]),
        next_action_known=torch.from_numpy(dataset.followed[rows]),
        source=dataset,
    )

"""What of a dataset is independent of what: its episodes, or groups of them (patients, plants, sites)."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from prudent.data.dataset import Dataset


def units(dataset: "Dataset") -> tuple[np.ndarray, str]:
    """The unit of each episode, (episodes,) int64 from 0 on, and what a unit is: ``group`` or ``episode``.

    Units are what may be divided, resampled and counted; none may be torn apart. They are the groups where the dataset
    has a column ``group``, of which an episode's first row counts, and otherwise the episodes.
    """
    column = dataset.extra.get("group")
    if column is None:
        return np.arange(dataset.n_episodes), "episode"
    return np.unique(np.asarray(column)[dataset.episode_bounds[:-1]], return_inverse=True)[1].ravel(), "group"

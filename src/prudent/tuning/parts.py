"""Divides the episodes into three parts: to train on, to choose with, and to judge the choice by."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data import Dataset, pieces
from prudent.data.columns import counted
from prudent.errors import DataError

NAMES = ("train", "evaluation", "final")
EVALUATION, FINAL = 0.1, 0.3
"""Shares of the episodes. The final part is larger, since the verdict rests on it alone, while runs are ranked on
training and evaluation part together."""
RANKED = 200_000
"""Number of rows above which ranking leaves out episodes of the training part. Fitted Q evaluation would draw only few
of them, but every policy has to be evaluated on all."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Three datasets that share no episode (or group, if the log has groups).

    Attributes:
        train, evaluation, final: the parts.
        ranking: the evaluation part, and the training part up to :data:`RANKED` rows in total.
        by: what is kept together: ``episode`` or ``group``.
        seed: seed and number of the division.
        of_each: (episodes of the log,) int64, the part of each: its place in :data:`NAMES`.
    """

    train: Dataset
    evaluation: Dataset
    final: Dataset
    ranking: Dataset
    by: str
    seed: tuple[int, int]
    of_each: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Number of episodes of each part, and how they were divided."""
        counts = {name: getattr(self, name).n_episodes for name in NAMES}
        return {"by": self.by, "seed": list(self.seed), **counts}

    def __str__(self) -> str:
        s = self.summary()
        return (
            f"divided by {self.by}, seed {self.seed[0]}, split {self.seed[1] + 1}: {s['train']} episodes to train, "
            f"{s['evaluation']} to choose with, {s['final']} to judge the choice"
        )


def divide(dataset: Dataset, seed: int, number: int, least: int) -> Parts:
    """Divide 60/10/30 by episode, or by ``extra["group"]``. The last two parts get at least ``least`` of these.

    An episode belongs to the group of its first row. ``number`` counts repeated divisions from 0.

    Raises:
        DataError: there are too few episodes or groups.
    """
    group_E, by = dataset.units()
    groups, episodes = int(group_E.max()) + 1, dataset.n_episodes
    if episodes < 3 * least:
        raise DataError(
            f"{dataset.name}: {counted(episodes, 'episode')}, tuning needs {3 * least} or more, to divide them into "
            "training, evaluation and final part: flag where episodes end, or collect more"
        )
    wanted = {"evaluation": max(least, round(EVALUATION * episodes)), "final": max(least, round(FINAL * episodes))}
    rank_E, size_G = pieces.shuffled(group_E, [seed, number, 5])
    size_G = size_G.cumsum()
    # By rank: the first groups, until there are enough episodes and groups, are the final part, the next evaluation.
    last = max(int(np.searchsorted(size_G, wanted["final"])), least - 1)
    second = max(int(np.searchsorted(size_G, size_G[min(last, groups - 1)] + wanted["evaluation"])), last + least)
    if second >= groups - 1:
        raise DataError(
            f"{dataset.name}: {counted(groups, 'group')} cannot be divided into three parts, since two of them need "
            f"{wanted['evaluation']} and {wanted['final']} episodes, and {least} groups or more: leave out the column "
            "group, or collect more"
        )
    masks = {
        "final": rank_E <= last,
        "evaluation": (rank_E > last) & (rank_E <= second),
        "train": rank_E > second,
    }
    masks["ranking"] = _ranking(dataset, rank_E, masks["final"], int(masks["evaluation"].sum()))
    parts = {
        name: dataset.episodes(np.flatnonzero(mask_E)).relabelled(name=f"{dataset.name} ({name} part)")
        for name, mask_E in masks.items()
    }
    of_each = np.select([masks[name] for name in NAMES], range(len(NAMES)))
    return Parts(**parts, by=by, seed=(seed, number), of_each=of_each)


def _ranking(dataset: Dataset, rank_E: np.ndarray, final_E: np.ndarray, evaluation: int) -> np.ndarray:
    """(E,) bool: all ``evaluation`` episodes of that part, and the training part up to :data:`RANKED` rows."""
    # Behind the final part, the evaluation part has the lowest ranks.
    order = np.argsort(rank_E, kind="stable")[int(final_E.sum()) :]
    count = max(int(np.searchsorted(dataset.episode_lengths[order].cumsum(), RANKED, side="right")), evaluation)
    return np.isin(np.arange(dataset.n_episodes), order[:count])

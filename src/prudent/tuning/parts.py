"""The episodes in three parts: to learn from, to choose with, and to say in the end what the choice is worth."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.errors import DataError

EVALUATION, FINAL = 0.1, 0.3
"""Shares of the episodes. The final part is the larger: runs are ranked on training and evaluation together, but the
verdict rests on it alone."""
RANKED = 200_000
"""Rows beyond which ranking leaves out episodes of the training part: fitted Q evaluation draws no more than a few of
them at each step, while every policy has to be asked in each."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Three datasets without a common episode (or group, where the log has groups).

    Attributes:
        train, evaluation, final: the parts.
        ranking: evaluation and training together, of the latter no more than bring it to :data:`RANKED` rows.
        by: ``episode`` or ``group``.
        seed: of the division.
    """

    train: Dataset
    evaluation: Dataset
    final: Dataset
    ranking: Dataset
    by: str
    seed: tuple[int, int]

    def summary(self) -> dict[str, Any]:
        """Episodes of each part, and how they were divided."""
        counts = {name: getattr(self, name).n_episodes for name in ("train", "evaluation", "final")}
        return {"by": self.by, "seed": list(self.seed), **counts}

    def __str__(self) -> str:
        s = self.summary()
        return (
            f"divided by {self.by}, seed {self.seed[0]}, split {self.seed[1] + 1}: {s['train']} episodes to train, "
            f"{s['evaluation']} to choose with, {s['final']} for the final word"
        )


def divide(dataset: Dataset, seed: int, number: int, least: int) -> Parts:
    """60/10/30 by episode, or by ``extra["group"]``; the last two get ``least`` of these or more.

    An episode belongs to the group of its first row. ``number`` counts repeated divisions from 0.

    Raises:
        DataError: there are too few episodes or groups.
    """
    group_E, by = dataset.units()
    groups, episodes = int(group_E.max()) + 1, dataset.n_episodes
    if episodes < 3 * least:
        raise DataError(
            f"{dataset.name}: {counted(episodes, 'episode')}, tuning needs {3 * least} or more, to divide them into "
            "training, evaluation and final: flag where episodes end, or collect more"
        )
    wanted = {"evaluation": max(least, round(EVALUATION * episodes)), "final": max(least, round(FINAL * episodes))}
    order_G = np.random.default_rng([seed, number, 5]).permutation(groups)
    rank_E = np.argsort(order_G)[group_E]
    size_G = np.bincount(rank_E, minlength=groups).cumsum()
    # The first groups until there are enough, episodes and groups, are the final part, the next evaluation.
    last = max(int(np.searchsorted(size_G, wanted["final"])), least - 1)
    second = max(int(np.searchsorted(size_G, size_G[min(last, groups - 1)] + wanted["evaluation"])), last + least)
    if second >= groups - 1:
        raise DataError(
            f"{dataset.name}: {counted(groups, 'group')} cannot be divided into three parts, two of them of "
            f"{wanted['evaluation']} and {wanted['final']} episodes and {least} groups or more: leave the column group "
            "out, or collect more"
        )
    parts = {
        "final": rank_E <= last,
        "evaluation": (rank_E > last) & (rank_E <= second),
        "train": rank_E > second,
    }
    # In the order of their rank the evaluation part comes first.
    order_E = np.argsort(rank_E, kind="stable")[int((rank_E <= last).sum()) :]
    held = parts["evaluation"].sum()
    fits = max(int(np.searchsorted(dataset.episode_lengths[order_E].cumsum(), RANKED, side="right")), held)
    parts["ranking"] = np.isin(np.arange(episodes), order_E[:fits])
    made = {
        name: dataset.episodes(np.flatnonzero(own)).relabelled(name=f"{dataset.name} ({name} part)")
        for name, own in parts.items()
    }
    return Parts(**made, by=by, seed=(seed, number))

"""Divides the episodes into three parts: to train on, to choose with, and to judge the choice by."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from prudent import ope
from prudent.data import Dataset, pieces
from prudent.data.columns import counted
from prudent.data.split import FRACTIONS
from prudent.errors import DataError
from prudent.ope.interval import t_quantile

NAMES = ("train", "evaluation", "final")
EVALUATION, FINAL = FRACTIONS[1:]
"""Shares of the episodes. The final part is large, since the verdict rests on it alone, while runs are ranked on
training and evaluation part together: more episodes would make policies little better and leave a gain unproven."""
RANKED = 200_000
"""Number of rows above which ranking leaves out episodes of the training part. Fitted Q evaluation would draw only few
of them, but every policy has to be evaluated on all."""

FEW = 4
"""Groups in the final part of a log that has too few for parts of the usual size; the least that can be estimated from,
with two folds."""
FEW_FINAL = 0.5
"""Share of the groups in the final part of such a log. An interval from six groups is two thirds as wide as one from
four: the spread of the mean falls, and so does Student's t."""
FEWEST = 2 * FEW
"""Groups of a log that can be divided at all: four to judge, one to choose with, and three to train."""


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
            f"{s['evaluation']} to choose with, {s['final']} to judge the choice{self._lost()}"
        )

    def _lost(self) -> str:
        """What few groups cost, in words; empty where there are enough of them."""
        numbers = [part.n_units for part in (self.train, self.evaluation, self.final)]
        if self.by == "episode" or sum(numbers) >= 3 * 2 * ope.Settings().folds:
            return ""
        degrees = numbers[-1] - 1
        wider = t_quantile(0.975, degrees) / t_quantile(0.975, float("inf"))
        return (
            f". Few groups ({numbers[0]}, {numbers[1]} and {numbers[2]}): the verdict rests on {numbers[2]}, so its "
            f"intervals are wide ({wider:.1f} times those of many groups with the same spread) and importance sampling "
            "has no value"
        )


def divide(dataset: Dataset, seed: int, number: int, least: int) -> Parts:
    """Divide 50/10/40 by episode, or by ``extra["group"]``. The last two parts get at least ``least`` of these.

    An episode belongs to the group of its first row. ``number`` counts repeated divisions from 0.

    A log of fewer than three times as many groups, or of groups too different in size, is divided by the number of its
    groups: half of them, and at least :data:`FEW`, are the final part, and about a tenth the evaluation part.

    Raises:
        DataError: there are too few episodes or groups.
    """
    group_E, by = dataset.units()
    groups, episodes = dataset.n_units, dataset.n_episodes
    if episodes < 3 * least:
        raise DataError(
            f"{dataset.name}: {counted(episodes, 'episode')}, tuning needs {3 * least} or more, to divide them into "
            "training, evaluation and final part: flag where episodes end, or collect more"
        )
    rank_E, size_G = pieces.shuffled(group_E, [seed, number, 5])
    last, second = _bounds(size_G, least)
    if groups < 3 * least or second >= groups - 1:
        last, second = _few(dataset, size_G, least)
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


def _bounds(size_G: np.ndarray, least: int) -> tuple[int, int]:
    """The last group of the final part and of the evaluation part, in an order with these numbers of episodes.

    The first groups, until there are enough episodes and groups, are the final part, the next the evaluation part. The
    final part has no more groups than are left to train on, unless it needs them.
    """
    total_G, episodes = size_G.cumsum(), int(size_G.sum())
    wanted = {"evaluation": max(least, round(EVALUATION * episodes)), "final": max(least, round(FINAL * episodes))}
    last = max(int(np.searchsorted(total_G, wanted["final"])), least - 1)
    edge = total_G[min(last, len(size_G) - 1)] + wanted["evaluation"]
    second = max(int(np.searchsorted(total_G, edge)), last + least)
    evaluation = second - last
    most = max(least, (len(size_G) - evaluation) // 2)
    last = min(last, most - 1)
    return last, last + evaluation


def _few(dataset: Dataset, size_G: np.ndarray, least: int) -> tuple[int, int]:
    """The same for few groups, by their number.

    Raises:
        DataError: there are fewer than :data:`FEWEST`.
    """
    groups = len(size_G)
    if groups < FEWEST:
        raise DataError(
            f"{dataset.name}: {counted(groups, 'group')} cannot be divided: {FEWEST} or more are needed, of which "
            f"{FEW} judge the choice. Collect more groups; without the column group the verdict would hold for these "
            "groups alone"
        )
    last = max(FEW, round(FEW_FINAL * groups)) - 1
    # The evaluation part only picks a checkpoint of BC: a tenth of the groups, or more for a few episodes.
    enough = int(np.searchsorted(size_G[last + 1 :].cumsum(), least)) + 1
    return last, last + min(max(enough, round(EVALUATION * groups)), groups // FEW - 1)


def _ranking(dataset: Dataset, rank_E: np.ndarray, final_E: np.ndarray, evaluation: int) -> np.ndarray:
    """(E,) bool: all ``evaluation`` episodes of that part, and the training part up to :data:`RANKED` rows."""
    # Behind the final part, the evaluation part has the lowest ranks.
    order = np.argsort(rank_E, kind="stable")[int(final_E.sum()) :]
    count = max(int(np.searchsorted(dataset.episode_lengths[order].cumsum(), RANKED, side="right")), evaluation)
    return np.isin(np.arange(dataset.n_episodes), order[:count])

"""All critics that the estimates of one policy need, fitted together: members, folds and resamples."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prudent.ope import fqe
from prudent.ope.episodes import Episodes
from prudent.ope.fqe import Decisions
from prudent.ope.settings import Settings


@dataclass(frozen=True, eq=False)
class HeldOutValues:
    """Values by critics that did not see the fold: Q and V of every row, and V after the last row of each episode."""

    q: np.ndarray
    value: np.ndarray
    end: np.ndarray


class NoValues:
    """Stands for critics where none are fitted, with no truncation: the weights alone give an estimate.

    Args:
        episodes, resamples: how many there are.
    """

    def __init__(self, episodes: int, resamples: int):
        nothing = np.zeros(0)
        self.held_out = HeldOutValues(nothing, nothing, np.zeros(episodes))
        self.held_out_resampled = [self.held_out] * resamples


class Critics:
    """All critics of one policy, fitted as one population.

    In this order: members, all but one fold, resamples, all but one fold of each resample.

    Args:
        problem: the log with the policy's actions.
        episodes: the log.
        fold_E: (episodes,) fold of each episode; None leaves out the fits on all but one fold.
        counts: of each resample, (episodes,) how often it holds each episode.
        settings, seed: of the fits.
    """

    def __init__(
        self,
        problem: Decisions,
        episodes: Episodes,
        fold_E: np.ndarray | None,
        counts: list[np.ndarray],
        settings: Settings,
        seed: int,
    ):
        self.episodes, self.settings = episodes, settings
        self.folds = 0 if fold_E is None else settings.folds
        self.fold_E = np.zeros(len(episodes), dtype=np.int64) if fold_E is None else fold_E
        complements = [(self.fold_E != k).astype(np.int64) for k in range(self.folds)]
        subsets = complements + counts + [resample * complement for resample in counts for complement in complements]
        pools = [fqe.all_rows(episodes)] * settings.members + [fqe.rows_of(episodes, subset) for subset in subsets]
        self.fitted = fqe.fit(problem, pools, settings, seed)

    @cached_property
    def start(self) -> np.ndarray:
        """V of the start states, (members, episodes)."""
        return self.fitted.value(range(self.settings.members), self.episodes.first)

    @cached_property
    def start_halfway(self) -> np.ndarray:
        """The same after half of the steps, (members, episodes)."""
        return self.fitted.halfway.value(range(self.settings.members), self.episodes.first)

    @cached_property
    def start_resampled(self) -> np.ndarray:
        """The same by the critics of each resample, (n_bootstrap, episodes)."""
        begin = self.settings.members + self.folds
        return self.fitted.value(range(begin, begin + self.settings.n_bootstrap), self.episodes.first)

    @cached_property
    def held_out(self) -> HeldOutValues:
        """By the folds of the whole log."""
        return self._held_out(self.settings.members)

    @cached_property
    def held_out_resampled(self) -> list[HeldOutValues]:
        """By the folds of each resample."""
        begin = self.settings.members + self.folds + self.settings.n_bootstrap
        return [self._held_out(begin + b * self.folds) for b in range(self.settings.n_bootstrap)]

    def _held_out(self, begin: int) -> HeldOutValues:
        """Values of each fold by the critic without it; the first of these critics is ``begin``."""
        fold_R, n_rows = self.fold_E[self.episodes.dataset.episode_of_row], len(self.episodes.dataset)
        values = HeldOutValues(np.empty(n_rows), np.empty(n_rows), np.empty(len(self.episodes)))
        for k in range(self.folds):
            rows, in_fold_E = np.flatnonzero(fold_R == k), np.flatnonzero(self.fold_E == k)
            values.q[rows] = self.fitted.logged_q([begin + k], rows)[0]
            values.value[rows] = self.fitted.value([begin + k], rows)[0]
            values.end[in_fold_E] = self.fitted.next_value([begin + k], self.episodes.last[in_fold_E])[0]
        return values

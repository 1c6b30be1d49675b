"""All fits that the estimates of one policy need: members, folds and resamples, in the features of one log."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prudent.ope import fqe
from prudent.ope.episodes import Episodes
from prudent.ope.features import LogFeatures
from prudent.ope.fqe import Decisions, FittedValues
from prudent.ope.settings import Settings


@dataclass(frozen=True, eq=False)
class HeldOutValues:
    """Values by fits that did not see the fold: Q and V of every row, and V after the last row of each episode."""

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
    """All fits of one policy, each made when it is first asked for.

    Args:
        problem: the log with the policy's actions.
        features: of the log.
        episodes: the log.
        fold_E: (episodes,) fold of each episode.
        counts: of each resample, (episodes,) how often it holds each episode.
        settings: of the fits.
    """

    def __init__(
        self,
        problem: Decisions,
        features: LogFeatures,
        episodes: Episodes,
        fold_E: np.ndarray,
        counts: list[np.ndarray],
        settings: Settings,
    ):
        self.problem, self.features, self.episodes = problem, features, episodes
        self.fold_E, self.counts, self.settings = fold_E, counts, settings

    @cached_property
    def members(self) -> FittedValues:
        """One fit to the whole log for each member of the features."""
        everything = [fqe.all_rows(self.episodes)] * self.features.members
        return fqe.fit(self.problem, self.features, everything, self.episodes.first)

    @cached_property
    def resamples(self) -> FittedValues:
        """One fit to each resample."""
        return fqe.fit(self.problem, self.features, [fqe.rows_of(self.episodes, counts) for counts in self.counts])

    @cached_property
    def start(self) -> np.ndarray:
        """V of the start states, (members, episodes)."""
        return self.members.value(range(self.features.members), self.episodes.first)

    def replicates(self, starts_ME: np.ndarray, fitted: FittedValues) -> np.ndarray:
        """Mean start value of each resample, (n_bootstrap,), as if all members had been refitted to it.

        ``starts_ME`` are the values of the members, ``fitted`` the refits, each in the features of one member. How far
        a member lies from the mean of all would enter whole; the mean of M members varies by the root of M less.
        """
        resampled_BE = fitted.value(range(len(self.counts)), self.episodes.first)
        values_B = np.array([np.average(v, weights=c) for v, c in zip(resampled_BE, self.counts, strict=True)])
        deviation_M = starts_ME.mean(1) - starts_ME.mean()
        share = 1 - 1 / math.sqrt(max(1, len(deviation_M) - 1))
        return values_B - share * deviation_M[list(fitted.member)]

    @cached_property
    def contributions(self) -> np.ndarray:
        """(episodes,) what each episode contributes to the value; their mean is the value.

        V of its start state, and the errors along the episode weighed by the policy's visits: the influence function
        of the solution, with features held fixed.
        """
        return self._contributions(self.members)

    @cached_property
    def bad_end_contributions(self) -> np.ndarray:
        """(episodes,) the same for the chance of a bad end."""
        chances = self.members.bad_end
        assert chances is not None
        return self._contributions(chances)

    def _contributions(self, fitted: FittedValues) -> np.ndarray:
        log, influence = self.episodes, np.zeros(len(self.episodes))
        for m, solution in enumerate(self.members.solutions):
            assert solution.visits is not None
            weighted = solution.visits.numpy() * fitted.errors(m)
            influence += len(log) * np.bincount(log.dataset.episode_of_row, weighted, len(log)) / self.features.members
        start = fqe.combine(fitted.value(range(self.features.members), log.first))
        return start + influence - influence.mean()

    @cached_property
    def held_out(self) -> HeldOutValues:
        """By the folds of the whole log."""
        (values,) = self._held_out([np.ones(len(self.episodes), dtype=np.int64)])
        return values

    @cached_property
    def held_out_resampled(self) -> list[HeldOutValues]:
        """By the folds of each resample."""
        return self._held_out(self.counts)

    def _held_out(self, counts: list[np.ndarray]) -> list[HeldOutValues]:
        """Values of each fold by fits without it, for each of ``counts`` (episodes,)."""
        log, n_rows = self.episodes, len(self.episodes.dataset)
        fold_R = self.fold_E[log.dataset.episode_of_row]
        held = [HeldOutValues(np.empty(n_rows), np.empty(n_rows), np.empty(len(log))) for _ in counts]
        for k in range(self.settings.folds):
            rows, in_fold_E = np.flatnonzero(fold_R == k), np.flatnonzero(self.fold_E == k)
            others = [fqe.rows_of(log, resample * (self.fold_E != k)) for resample in counts]
            fitted = fqe.fit(self.problem, self.features, others)
            every = range(len(counts))
            q, value = fitted.logged_q(every, rows), fitted.value(every, rows)
            end = fitted.next_value(every, log.last[in_fold_E])
            for b, values in enumerate(held):
                values.q[rows], values.value[rows], values.end[in_fold_E] = q[b], value[b], end[b]
        return held

"""Logs of single decisions (contextual bandits): every episode is one row, and nothing follows it.

The value of a policy is then its mean reward per decision. There is no discount. Importance sampling and doubly robust
lead, since their weights have a single factor. Values are fitted as a plain regression of the reward, cross-fitted over
the folds: its own estimate (``fqe``) is the direct method, and it makes ``wdr`` less noisy. Each fit keeps the weights
that were best on held-out rows and stops when these get no better, so rewards that are rare are not learned by heart.
The constant mean is the first candidate. Dudik, Langford & Li 2011 (arXiv 1103.4601).
"""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.ope import fqe, interval, reward_model
from prudent.ope.behaviour import split
from prudent.ope.critics import HeldOutValues
from prudent.ope.episodes import Episodes
from prudent.ope.evaluator import Evaluator
from prudent.ope.fqe import Decisions
from prudent.ope.interval import Estimate
from prudent.ope.settings import Settings


def is_one_step(dataset: Dataset) -> bool:
    """Whether every episode is one row that leads nowhere.

    It is terminated, or cut with its own observation as the next one: that is what readers fill in where a file has no
    next observation. Single rows that were cut in another state belong to a longer task.
    """
    if len(dataset) != dataset.n_episodes:
        return False
    cut = ~dataset.terminated
    return bool((dataset.next_observation[cut] == dataset.observation[cut]).all())


def ended(dataset: Dataset) -> Dataset:
    """A log of single decisions with every row terminated, since nothing follows; other logs unchanged."""
    if dataset.terminated.all() or not is_one_step(dataset):
        return dataset
    terminated = np.ones(len(dataset), dtype=bool)
    return replace(dataset, terminated=terminated, truncated=~terminated)


class OneStepEvaluator(Evaluator):
    """As :class:`prudent.ope.Evaluator`, for a log of single decisions.

    Intervals are those of the contributions (``skew``): a single weight per decision and held-out fits leave out
    nothing that refits would show. So ``n_bootstrap`` counts as 0.
    """

    def __init__(self, dataset: Dataset, settings: Settings | None = None, seed: int = 0):
        chosen = Settings() if settings is None else settings
        super().__init__(ended(dataset), 0.0, replace(chosen, n_bootstrap=0), seed)

    @cached_property
    def fitted_behaviour(self) -> Estimate:
        """The mean reward of the log: no fit is needed."""
        return replace(self.behaviour_value, name="fitted behaviour")

    @cached_property
    def behaviour_value(self) -> Estimate:
        """The mean reward of the log."""
        return _skewed(super().behaviour_value, None)

    @cached_property
    def behaviour_bad_ends(self) -> None:
        """None: a decision is no episode that could end badly."""

    def _bad_ends(self, critics: Any) -> None:
        del critics

    def _weighted(self, name: str, critics: Any, weighting: Any) -> Estimate:
        return _skewed(super()._weighted(name, critics, weighting), weighting.effective)

    def _critics(self, problem: Decisions) -> "RewardModels":
        return RewardModels(problem, self.episodes, self.fold_E, self.settings, self.seed)

    def _values(self, *arguments: Any, **estimates: Any) -> Any:
        return replace(super()._values(*arguments, **estimates), one_step=True)


def _skewed(estimate: Estimate, effective: float | None) -> Estimate:
    """The estimate with an interval for rewards that may be rare."""
    if estimate.value is None or estimate.influence is None:
        return estimate
    return interval.from_skewed(estimate.name, estimate.value, estimate.influence, effective)


class RewardModels:
    """Fitted mean rewards: ``settings.members`` for each fold, fitted to the other folds. Used like ``Critics``."""

    def __init__(self, problem: Decisions, episodes: Episodes, fold_E: np.ndarray, settings: Settings, seed: int):
        self.episodes, self.settings, self.fold_R = episodes, settings, fold_E[episodes.dataset.episode_of_row]
        pairs = [split(episodes.dataset, fold_E, k, seed) for k in range(settings.folds)]
        self.fitted = reward_model.fit(
            problem, [pair for pair in pairs for _ in range(settings.members)], settings, seed
        )

    @cached_property
    def start(self) -> np.ndarray:
        """Mean reward of the policy in each state by models that did not see it, (members, episodes)."""
        return self._by_fold(self.fitted.value)

    @property
    def contributions(self) -> np.ndarray:
        """(episodes,) what each contributes to the fitted value: that of its own state."""
        return fqe.combine(self.start)

    @cached_property
    def held_out(self) -> HeldOutValues:
        """Mean reward of the logged action and of the policy in each row, and nothing after it."""
        q = fqe.combine(self._by_fold(self.fitted.logged_q))
        return HeldOutValues(q, fqe.combine(self.start), np.zeros(len(self.episodes)))

    @property
    def held_out_resampled(self) -> list[HeldOutValues]:
        """None."""
        return []

    def _by_fold(self, values: Any) -> np.ndarray:
        """``values(members, rows)`` of each row by the models of its fold, (members, rows)."""
        size, table = self.settings.members, np.empty((self.settings.members, len(self.fold_R)))
        for k in range(self.settings.folds):
            rows = np.flatnonzero(self.fold_R == k)
            table[:, rows] = values(range(k * size, (k + 1) * size), rows)
        return table

"""Logs of single decisions (contextual bandits): every episode is one row, and nothing follows it.

The value of a policy is then its mean reward per decision. There is no discount. Importance sampling and doubly robust
lead, since their weights have a single factor. Values are fitted as a plain regression of the reward, cross-fitted over
the folds: its own estimate (``fqe``) is the direct method, and it makes ``wdr`` less noisy. Each fit keeps the weights
that were best on held-out rows and stops when these get no better, so rewards that are rare are not learned by heart.
The constant mean is the first candidate. Dudik, Langford & Li 2011 (arXiv 1103.4601).
"""

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prudent import nn
from prudent.data import Dataset
from prudent.nn import optim
from prudent.nn.rng import MemberRng
from prudent.ope import fqe, interval
from prudent.ope.behaviour import split
from prudent.ope.critics import HeldOutValues
from prudent.ope.episodes import Episodes
from prudent.ope.evaluator import Evaluator
from prudent.ope.fqe import Decisions, FittedValues
from prudent.ope.interval import Estimate
from prudent.ope.settings import Settings
from prudent.progress import watched
from prudent.types import Params

CHECK_EVERY = 100
PATIENCE = 5
"""Checks without a better fit of the held-out rows after which the fit stops."""
MOST_HELD_OUT = 8192
"""At most so many held-out rows are looked at in a check."""


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

    def _weighted(self, name: str, critics: Any, weighting: Any) -> Estimate:
        return _skewed(super()._weighted(name, critics, weighting), weighting.effective)

    def _critics(self, problem: Decisions, weighting: Any) -> "RewardModels":
        del weighting
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
        self.fitted = fit(problem, [pair for pair in pairs for _ in range(settings.members)], settings, seed)

    @cached_property
    def start(self) -> np.ndarray:
        """Mean reward of the policy in each state by models that did not see it, (members, episodes)."""
        return self._by_fold(self.fitted.value)

    @property
    def start_halfway(self) -> np.ndarray:
        """The same: a fit that was stopped at its best is not moving."""
        return self.start

    @cached_property
    def start_resampled(self) -> np.ndarray:
        """None: (0, episodes)."""
        return self.start[:0]

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


def fit(problem: Decisions, pools: list[tuple[Tensor, Tensor]], settings: Settings, seed: int) -> FittedValues:
    """A regression of the reward for each pair of rows to fit to and rows to check with, stopped at its best."""
    count, seeds = len(pools), [seed * 100_003 + p for p in range(len(pools))]
    size, discrete = problem.observation.shape[-1], problem.discrete
    inputs, outputs = (size, problem.policy.shape[-1]) if discrete else (size + problem.action.shape[-1], 1)
    params = nn.init_mlp(MemberRng(seeds, "reward init"), (inputs, *settings.hidden, outputs))
    for part in ("w", "b"):  # the first candidate is the mean reward
        params[f"{part}{len(settings.hidden)}"].zero_()
    reward = (problem.reward - problem.centre) / problem.spread
    rows_P, checks_P = [train for train, _ in pools], [_some(check, seed) for _, check in pools]
    rng, state = MemberRng(seeds, "reward rows"), optim.adam_init(params)
    average = {name: p.clone() for name, p in params.items()}
    polyak_P = torch.full((count,), settings.polyak)
    best = {name: p.clone() for name, p in average.items()}
    lowest_P = _losses(average, problem, reward, checks_P)
    waited_P = torch.zeros(count)
    for step in watched(range(settings.steps), "fitting rewards", "steps"):
        index_P = rng.integers([len(rows) for rows in rows_P], settings.batch_size)
        rows_PB = torch.stack([rows[i] for rows, i in zip(rows_P, index_P, strict=True)])
        observation, action, y_PB = problem.observation[rows_PB], problem.action[rows_PB], reward[rows_PB]
        gradients, _ = optim.gradients(
            lambda leaves, s=observation, a=action, y=y_PB: ((fqe.q_of(leaves, s, a) - y).square().mean(-1), {}), params
        )
        optim.adam_step(params, gradients, state, torch.full((count,), settings.lr))
        optim.polyak(average, params, polyak_P)
        if (step + 1) % CHECK_EVERY and step + 1 < settings.steps:
            continue
        losses_P = _losses(average, problem, reward, checks_P)
        better_P = losses_P < lowest_P
        lowest_P, waited_P = torch.where(better_P, losses_P, lowest_P), torch.where(better_P, 0, waited_P + 1)
        best = {name: torch.where(optim.per_member(better_P, p), p, best[name]) for name, p in average.items()}
        if bool((waited_P >= PATIENCE).all()):
            break
    return FittedValues(problem, best, best)


def _some(rows: Tensor, seed: int) -> Tensor:
    if len(rows) <= MOST_HELD_OUT:
        return rows
    chosen = np.random.default_rng([seed, 17]).permutation(len(rows))[:MOST_HELD_OUT]
    return rows[torch.from_numpy(np.sort(chosen))]


@torch.no_grad()
def _losses(params: Params, problem: Decisions, reward: Tensor, rows_P: list[Tensor]) -> Tensor:
    """Mean squared error of each member on its held-out rows, (P,)."""
    losses = []
    for p, rows in enumerate(rows_P):
        solo = {name: value[p : p + 1] for name, value in params.items()}
        q = fqe.q_of(solo, problem.observation[rows].unsqueeze(0), problem.action[rows].unsqueeze(0))[0]
        losses.append((q - reward[rows]).square().mean())
    stacked = torch.stack(losses)
    return torch.where(stacked.isnan(), math.inf, stacked)

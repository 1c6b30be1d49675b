"""Runs every estimator of one policy on one log: :class:`Evaluator`, and :func:`evaluate_policy` for a single policy.

Each estimate has an interval, or a reason why there is no value. Both return a
:class:`prudent.ope.estimates.OffPolicyValue`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.errors import ConfigError
from prudent.ope import (
    abstention,
    behaviour,
    doubly_robust,
    episodes,
    estimates,
    features,
    fqe,
    importance,
    interval,
    undiscounted,
)
from prudent.ope import policy as policies
from prudent.ope.behaviour import Behaviour
from prudent.ope.critics import Critics, HeldOutValues, NoValues
from prudent.ope.estimates import OffPolicyValue, Support
from prudent.ope.features import LogFeatures, LogRows
from prudent.ope.importance import Weights
from prudent.ope.interval import Estimate
from prudent.ope.policy import LoggedPolicy, Policy
from prudent.ope.settings import Settings, check_memory

TAIL = 1e-3
"""Tail weight below which the value after a truncation is left out: it would not change the figures."""
NEAR = 0.1
"""Share of the range of attainable values by which a fit may lie beyond it: such noise is sound where the value is at
the end of the range, as of a policy that never fails if every step is rewarded with 1."""


@dataclass(frozen=True, eq=False)
class _Weighting:
    """The importance weights of a policy, or the ``reason`` why they cannot be used.

    ``effective`` is their effective sample size, usable or not; None for a policy without a density.
    """

    weights: Weights | None
    effective: float | None
    reason: str = ""


class Evaluator:
    """A log prepared for any number of policies: folds, resamples, behaviour model, value of the behaviour policy.

    Policies evaluated by one evaluator share its resamples, so their :func:`prudent.ope.difference` is paired.

    ``doubt`` says why the log's own probabilities are not to be used, ``""`` that they are; None looks for a reason in
    ``dataset``. A part of a log may be too small to show it.

    Raises:
        ConfigError, DataError: see :func:`prudent.ope.episodes.lay_out`,
            :func:`prudent.ope.behaviour.logged_log_prob` and :func:`prudent.ope.settings.check_memory`.
    """

    def __init__(
        self,
        dataset: Dataset,
        discount: float,
        settings: Settings | None = None,
        seed: int = 0,
        doubt: str | None = None,
    ):
        self.settings = Settings() if settings is None else settings
        self.seed = seed
        self.episodes = episodes.lay_out(dataset, discount, least=2 * self.settings.folds)
        check_memory(self.settings, dataset)
        rng = np.random.default_rng([seed, 11])
        self.fold_E = (rng.permutation(self.episodes.n_units) % self.settings.folds)[self.episodes.unit]
        self.counts = [self._resample(rng) for _ in range(self.settings.n_bootstrap)]
        self.behaviour: Behaviour = behaviour.fit(dataset, self.fold_E, self.settings, seed, doubt)

    def _resample(self, rng: np.random.Generator) -> np.ndarray:
        """How often a resample of whole units holds each episode, (episodes,); no resample lies in one fold alone."""
        units = self.episodes.n_units
        while True:
            counts = np.bincount(rng.integers(units, size=units), minlength=units)[self.episodes.unit]
            if all(counts[self.fold_E != k].any() for k in range(self.settings.folds)):
                return counts

    # --- the behaviour policy -----------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> LogRows:
        """The rows of the log in the units of the networks."""
        return features.read(self.episodes.dataset)

    @cached_property
    def features(self) -> LogFeatures:
        """Features of the log, which all values share."""
        return features.learn(self.episodes, self.rows, self.settings, self.seed)

    @cached_property
    def _behaviour_critics(self) -> Any:
        """Fits of V of the behaviour policy."""
        return self._critics(fqe.behaviour_decisions(self.episodes, self.rows))

    @cached_property
    def fitted_behaviour(self) -> Estimate:
        """Discounted value of the behaviour policy, fitted like that of a policy, to compare policies with.

        In the difference of two fitted values the noise of start states, rewards and fit cancels. In a difference to
        Monte Carlo returns the noise of all actions and transitions of the log would remain.
        """
        return self._fitted("fitted behaviour", self._behaviour_critics)

    @cached_property
    def behaviour_bad_ends(self) -> Estimate | None:
        """Discounted chance that an episode of the behaviour policy ends badly, fitted; None if none did."""
        return self._bad_ends(self._behaviour_critics)

    @cached_property
    def behaviour_value(self) -> Estimate:
        """Discounted value of the behaviour policy by Monte Carlo, with its fitted value after a truncation."""
        log, s = self.episodes, self.settings
        ends = np.zeros((1 + s.n_bootstrap, len(log)))
        if log.tail_weight >= TAIL:
            critics = self._behaviour_critics
            ends[0] = fqe.combine(critics.members.next_value(range(self.features.members), log.last))
            if s.n_bootstrap:
                ends[1:] = critics.resamples.next_value(range(s.n_bootstrap), log.last)
        returns = importance.monte_carlo(log, ends[0])
        value = float(returns.mean())
        if not s.n_bootstrap:
            return interval.from_influence("behaviour", value, log.per_unit(returns))
        resampled = [
            float(np.average(importance.monte_carlo(log, end), weights=counts))
            for end, counts in zip(ends[1:], self.counts, strict=True)
        ]
        return interval.from_replicates("behaviour", value, np.array(resampled), units=log.n_units)

    # --- one policy ---------------------------------------------------------------------------------------------------

    def evaluate(self, agent: Any, member: int = 0) -> OffPolicyValue:
        """Every estimate of a policy, given as in :func:`prudent.ope.evaluate_policy`.

        Raises:
            ConfigError: its spaces differ from those of the log, or it has diverged.
        """
        policy = policies.as_policy(agent, member)
        log = self.episodes
        policies.check(policy, log.dataset)
        if isinstance(policy, LoggedPolicy) and policy.probability is None:
            return self._by_weights(policy)
        problem = fqe.decisions(log, policy, self.rows, self.settings, self.seed)
        outside = float(self.behaviour.outside(problem.policy_actions).mean())
        weighting = self._weighting(policy, outside)
        critics = self._critics(problem)
        fitted = self._fqe(critics, outside)
        return self._values(
            policy,
            weighting,
            outside,
            fqe=fitted,
            pdwis=self._weighted("pdwis", critics, weighting),
            wdr=self._weighted("wdr", critics, weighting),
            starts=fqe.combine(critics.start),
            fitted_behaviour=self.fitted_behaviour,
            bad_ends=self._bad_ends(critics) if fitted.supported else None,
            behaviour_bad_ends=self.behaviour_bad_ends,
        )

    def _values(self, policy: Policy, weighting: _Weighting, outside: float | None, **figures: Any) -> OffPolicyValue:
        log = self.episodes
        values = OffPolicyValue(
            name=policy.name,
            discount=log.discount,
            behaviour=self.behaviour_value,
            undiscounted=undiscounted.returns(log, weighting.weights, weighting.reason, self.settings),
            support=Support(len(log), log.n_units, log.by, weighting.effective, outside),
            calibration=self.behaviour.calibration,
            behaviour_source=self.behaviour.source,
            clock=log.clock,
            tail_weight=log.tail_weight,
            **figures,
        )
        return replace(values, notes=estimates.notes_on(values, log.dataset.reward))

    def _critics(self, problem: fqe.Decisions) -> Any:
        return Critics(problem, self.features, self.episodes, self.fold_E, self.counts, self.settings)

    def _by_weights(self, policy: LoggedPolicy) -> OffPolicyValue:
        """The estimates of a policy of which only the probabilities of the logged actions are known: by weights alone.

        What follows a truncation would need fitted values, so only the sum of rewards as recorded has a figure then.
        """
        log, weighting = self.episodes, self._weighting(policy, None)
        reason = "only its probability of the logged action is known, and fitted values need that of every action"
        discounted = weighting
        if log.tail_weight >= TAIL:
            ends = f"{counted(int(log.cut.sum()), 'episode')} of {len(log)} were truncated"
            discounted = replace(weighting, weights=None, reason=f"{ends}; what follows would be fitted, but {reason}")
        starts = np.full(len(log), np.nan)
        return self._values(
            policy,
            weighting,
            None,
            fqe=interval.unsupported("fqe", reason),
            pdwis=self._weighted("pdwis", NoValues(len(log), len(self.counts)), discounted),
            wdr=interval.unsupported("wdr", reason),
            starts=starts,
            fitted_behaviour=interval.unsupported("fitted behaviour", reason),
            bad_ends=None,
            behaviour_bad_ends=None,
        )

    def _weighting(self, policy: Policy, outside: float | None) -> _Weighting:
        log = self.episodes
        log_prob = policies.log_probs(policy, log.dataset)
        if log_prob is None:
            no_density = "it takes one action per state, so it has no density to compare with that of the behaviour"
            return _Weighting(None, None, no_density)
        if self.behaviour.doubt:
            return _Weighting(None, None, self.behaviour.doubt)
        weights = importance.weights_of(log, log_prob - self.behaviour.log_prob)
        effective = weights.effective_sample_size()
        reason = self._outside_reason(outside)
        if not reason and effective < self.settings.min_effective:
            reason = abstention.too_few(effective, log.by, log, self.settings)
            if np.isin(log_prob, (0.0, -np.inf)).all():
                reason = (
                    "it takes one action per state, so an episode has weight 0 from the first action on that the "
                    f"policy would not take: {reason}"
                )
        return _Weighting(None if reason else weights, effective, reason)

    def _outside_reason(self, outside: float | None) -> str:
        return abstention.outside_reason(outside, self.behaviour, self.episodes, self.settings)

    def _fqe(self, critics: Critics, outside: float) -> Estimate:
        reason = self._outside_reason(outside)
        return interval.unsupported("fqe", reason) if reason else self._fitted("fqe", critics)

    def _fitted(self, name: str, critics: Critics) -> Estimate:
        """Estimate from the fitted values at the start states; unsupported if rewards do not allow them."""
        low, high = self.episodes.attainable
        low, high = low - NEAR * (high - low), high + NEAR * (high - low)
        members_M = critics.start.mean(1)
        if not ((members_M >= low) & (members_M <= high)).all():
            return interval.unsupported(name, "the fitted values lie outside what the rewards allow")
        value = float(fqe.combine(critics.start).mean())
        if not self.counts:
            return interval.from_influence(name, value, self.episodes.per_unit(critics.contributions))
        replicates = critics.replicates(critics.start, critics.resamples)
        return interval.from_replicates(name, value, replicates, (low, high), self.episodes.n_units)

    def _bad_ends(self, critics: Critics) -> Estimate | None:
        """Discounted chance of a bad end; None if no episode of the log ended badly."""
        fitted = critics.members.bad_end
        if fitted is None:
            return None
        starts_ME = fitted.value(range(self.features.members), self.episodes.first)
        chance = float(fqe.combine(starts_ME).mean())
        if not self.counts:
            contributions = self.episodes.per_unit(critics.bad_end_contributions)
            return interval.from_influence("bad ends", chance, contributions)
        again = critics.resamples.bad_end
        assert again is not None
        replicates = critics.replicates(starts_ME, again)
        return interval.from_replicates("bad ends", chance, replicates, units=self.episodes.n_units)

    def _weighted(self, name: str, critics: Critics | NoValues, weighting: _Weighting) -> Estimate:
        """``pdwis`` or ``wdr``."""
        weights = weighting.weights
        if weights is None:
            return interval.unsupported(name, weighting.reason)

        def estimate(values: HeldOutValues, counts: np.ndarray | None) -> tuple[float, np.ndarray]:
            if name == "pdwis":
                return importance.pdwis(weights, values.end, counts)
            return doubly_robust.wdr(weights, values.q, values.value, values.end, counts)

        value, influence = estimate(critics.held_out, None)
        if not self.counts:
            return interval.from_influence(name, value, self.episodes.per_unit(influence), weighting.effective)
        resampled = [estimate(v, c)[0] for v, c in zip(critics.held_out_resampled, self.counts, strict=True)]
        return interval.from_replicates(name, value, np.array(resampled), units=self.episodes.n_units)


def evaluate_policy(
    agent: Any,
    dataset: Dataset,
    *,
    member: int = 0,
    discount: float | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> OffPolicyValue:
    """Estimate the value of a policy from a dataset alone.

    Args:
        agent: a fitted agent, a population, or a :data:`prudent.ope.Policy`.
        dataset: episodes in order of time. Fit the policy to other episodes: on its own training data it looks better
            than it is.
        member: which member of the agent.
        discount: gamma; None takes that of the policy.
        settings: see :class:`prudent.ope.Settings`.
        seed: equal seeds give equal figures.

    Raises:
        ConfigError: the policy has other spaces than the data, is not fitted or has diverged; it has no discount and
            none is given; or the discount is 1 and some episodes do not terminate.
        DataError: there are too few episodes, rows are not in order of time, or the log's own probabilities are not
            probabilities.
    """
    policy = policies.as_policy(agent, member)
    gamma = policy.discount if discount is None else discount
    if gamma is None:
        raise ConfigError(f"{policy.name} has no discount of its own: give one")
    policies.check(policy, dataset)
    return Evaluator(dataset, gamma, settings, seed).evaluate(policy)

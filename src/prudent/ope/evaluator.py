"""All estimators of one policy on one log, each with its interval or the reason why it has none."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from prudent.data import Dataset
from prudent.data.columns import counted
from prudent.errors import ConfigError
from prudent.ope import behaviour, doubly_robust, episodes, fqe, importance, interval
from prudent.ope import policy as policies
from prudent.ope.behaviour import Behaviour
from prudent.ope.estimates import OffPolicyValue, Support
from prudent.ope.importance import Weights
from prudent.ope.interval import Estimate
from prudent.ope.policy import Policy
from prudent.ope.settings import Settings

TAIL = 1e-3
"""Mean discount at the ends of recordings below which what follows is left out: it moves no figure."""
DIVERGED = 10
"""How many times the largest value that the rewards allow a fitted one may be."""


class Evaluator:
    """A log prepared once, for any number of policies: folds, resamples, behaviour model and behaviour value.

    Policies evaluated by the same one share resamples, so that :func:`prudent.ope.difference` of them is paired.

    Raises:
        ConfigError, DataError: see :func:`prudent.ope.episodes.lay_out` and
            :func:`prudent.ope.behaviour.logged_log_prob`.
    """

    def __init__(self, dataset: Dataset, discount: float, settings: Settings | None = None, seed: int = 0):
        self.settings = Settings() if settings is None else settings
        self.seed = seed
        self.episodes = episodes.lay_out(dataset, discount, least=2 * self.settings.folds)
        rng = np.random.default_rng([seed, 11])
        self.fold_E = (rng.permutation(self.episodes.n_units) % self.settings.folds)[self.episodes.unit]
        self.counts = [self._resample(rng) for _ in range(self.settings.n_bootstrap)]
        self.behaviour: Behaviour = behaviour.fit(dataset, self.fold_E, self.settings, seed)

    def _resample(self, rng: np.random.Generator) -> np.ndarray:
        """How often a resample of whole units holds each episode, (episodes,); some of them outside every fold."""
        units = self.episodes.n_units
        while True:
            counts = np.bincount(rng.integers(units, size=units), minlength=units)[self.episodes.unit]
            if all(counts[self.fold_E != k].any() for k in range(self.settings.folds)):
                return counts

    @cached_property
    def _course(self) -> fqe.Fitted:
        """V of the behaviour, fitted from the log's own course: the members, then one for each resample."""
        everything = np.ones(len(self.episodes), dtype=np.int64)
        counts = [*[everything] * self.settings.members, *self.counts]
        pools = [fqe.rows_of(self.episodes, own) for own in counts]
        return fqe.fit(fqe.behaviour_decisions(self.episodes), pools, self.settings, self.seed + 1)

    @cached_property
    def fitted_behaviour(self) -> Estimate:
        """Discounted value of the behaviour, fitted like that of a policy: what one is to be compared with.

        What the start states, the rewards and the fit do to both alike cancels in their difference. Of Monte Carlo
        returns the luck of every action and transition along the log remains.
        """
        s = self.settings
        values = self._course.here(range(s.members + s.n_bootstrap), self.episodes.first)
        return self._of_starts("fitted behaviour", values[: s.members], values[s.members :])

    @cached_property
    def behaviour_value(self) -> Estimate:
        """Discounted value of the behaviour: Monte Carlo, and the fitted value of the behaviour behind a truncation."""
        log, s = self.episodes, self.settings
        ends = np.zeros((1 + s.n_bootstrap, len(log)))
        if log.tail_weight >= TAIL:
            values = self._course.ahead(range(s.members + s.n_bootstrap), log.last)
            ends = np.concatenate([fqe.combine(values[: s.members])[None], values[s.members :]])
        returns = importance.monte_carlo(log, ends[0])
        value = float(returns.mean())
        if not s.n_bootstrap:
            return interval.from_influence("behaviour", value, log.per_unit(returns))
        resampled = [
            float(np.average(importance.monte_carlo(log, end), weights=counts))
            for end, counts in zip(ends[1:], self.counts, strict=True)
        ]
        return interval.from_replicates("behaviour", value, np.array(resampled))

    def evaluate(self, agent: Any, member: int = 0) -> OffPolicyValue:
        """What a policy (as in :func:`prudent.ope.evaluate_policy`) is worth.

        Raises:
            ConfigError: it is for other spaces, or has diverged.
        """
        policy = policies.as_policy(agent, member)
        log, s = self.episodes, self.settings
        policies.check(policy, log.dataset)
        problem = fqe.decisions(log, policy, s, self.seed)
        outside = float(self.behaviour.outside(problem.asked).mean())
        weights, lacking = self._weights(policy, outside)
        effective = None if weights is None else weights.effective_sample_size()
        if lacking is None and weights is not None and effective is not None and effective < s.min_effective:
            lacking = self._too_few(effective, log.by)
            if weights.all_or_nothing:
                lacking = (
                    "it takes one action per state, so that an episode weighs nothing from the first logged action on "
                    f"that is not its own: {lacking}"
                )
        fits = _Fits(self, problem, cross=lacking is None)
        support = Support(len(log), log.n_units, log.by, effective, outside)
        found = OffPolicyValue(
            name=policy.name,
            discount=log.discount,
            fqe=self._fqe(fits, outside),
            pdwis=self._weighted("pdwis", fits, weights, lacking, effective),
            wdr=self._weighted("wdr", fits, weights, lacking, effective),
            starts=fqe.combine(fits.start),
            halfway=float(fqe.combine(fits.start_halfway).mean()),
            behaviour=self.behaviour_value,
            fitted_behaviour=self.fitted_behaviour,
            undiscounted=self._undiscounted(weights, lacking),
            support=support,
            calibration=self.behaviour.calibration,
            behaviour_source=self.behaviour.source,
            clock=log.clock,
            tail_weight=log.tail_weight,
        )
        notes = self._notes(found)
        return OffPolicyValue(**{**vars(found), "notes": notes})

    # --- the estimators -----------------------------------------------------------------------------------------------

    def _weights(self, policy: Policy, outside: float) -> tuple[Weights | None, str | None]:
        """Weights of histories, and why importance sampling cannot speak of this policy, if so."""
        log_prob = policies.log_probs(policy, self.episodes.dataset)
        if log_prob is None:
            return None, "it takes one action per state, which has no density to compare with the behaviour's"
        sure = bool(np.isin(log_prob, (0.0, -np.inf)).all())
        weights = importance.weights_of(self.episodes, log_prob - self.behaviour.log_prob, sure)
        return weights, self._left(outside)

    def _too_few(self, effective: float, what: str) -> str:
        """Why importance weights have no figure; no policy has more effective units than the log has."""
        units, least = self.episodes.n_units, self.settings.min_effective
        told = f"effective sample size {effective:.1f} of {counted(units, what)}, below {least:g}"
        return f"{told}, which importance weights can never reach with so few" if units < least else told

    def _left(self, outside: float) -> str | None:
        if outside <= self.settings.max_outside:
            return None
        limit = self.settings.max_outside
        rare = f"{100 * outside:.0f} % of its actions are rarer in the log than 99 % of the logged ones"
        return f"{rare} (limit {100 * limit:.0f} %)"

    def _fqe(self, fits: "_Fits", outside: float) -> Estimate:
        left = self._left(outside)
        if left is not None:
            return interval.unsupported("fqe", left)
        start_ME = fits.start
        if not np.isfinite(start_ME).all() or np.abs(start_ME).max() > DIVERGED * self.episodes.largest_value + 1e-6:
            return interval.unsupported("fqe", "the fitted values have diverged")
        return self._of_starts("fqe", start_ME, fits.start_resampled if self.counts else start_ME[:0])

    def _of_starts(self, name: str, members_ME: np.ndarray, resampled_BE: np.ndarray) -> Estimate:
        """Of fitted values at the start states, by the members and by the critics of each resample."""
        combined_E = fqe.combine(members_ME)
        if not self.counts:
            return interval.from_starts(name, members_ME.mean(1), self.episodes.per_unit(combined_E))
        resampled = [np.average(v, weights=c) for v, c in zip(resampled_BE, self.counts, strict=True)]
        return interval.from_replicates(name, float(combined_E.mean()), np.array(resampled))

    def _weighted(
        self, name: str, fits: "_Fits", weights: Weights | None, lacking: str | None, effective: float | None
    ) -> Estimate:
        if weights is None or lacking is not None:
            return interval.unsupported(name, lacking or "no weights")

        def once(crossed: "_Crossed", counts: np.ndarray | None) -> tuple[float, np.ndarray]:
            if name == "pdwis":
                return importance.pdwis(weights, crossed.end, counts)
            return doubly_robust.wdr(weights, crossed.q, crossed.value, crossed.end, counts)

        value, influence = once(fits.crossed, None)
        if not self.counts:
            return interval.from_influence(name, value, self.episodes.per_unit(influence), effective)
        resampled = [once(c, counts)[0] for c, counts in zip(fits.crossed_resampled, self.counts, strict=True)]
        return interval.from_replicates(name, value, np.array(resampled))

    def _undiscounted(self, weights: Weights | None, lacking: str | None) -> dict[str, Estimate]:
        """Sum of rewards per episode as recorded; the discount is 1 and a truncation ends it, in both."""
        log = episodes.Episodes(self.episodes.dataset, 1.0)
        nothing = np.zeros(len(log))
        returns = importance.monte_carlo(log, nothing)
        found = {"behaviour": interval.from_influence("behaviour", float(returns.mean()), log.per_unit(returns))}
        if weights is None or lacking is not None:
            return {"pdwis": interval.unsupported("pdwis", lacking or "no weights"), **found}
        whole = replace(weights, episodes=log)
        effective, least = whole.effective_sample_size(), self.settings.min_effective
        if effective < least:
            return {"pdwis": interval.unsupported("pdwis", self._too_few(effective, f"whole {log.by}")), **found}
        value, influence = importance.pdwis(whole, nothing)
        return {"pdwis": interval.from_influence("pdwis", value, log.per_unit(influence), effective), **found}

    def _notes(self, found: OffPolicyValue) -> tuple[str, ...]:
        notes = []
        reward = self.episodes.dataset.reward
        if np.ptp(reward) == 0:
            notes.append(f"every reward is {reward[0]:g}: policies differ at most by how long episodes last")
        logged = found.calibration.logged_log_likelihood
        if logged is not None and found.calibration.log_likelihood > logged + 0.2:
            notes.append(
                f"the log's own probabilities make its actions less likely (mean {logged:.2f}) than a model learned "
                f"from them ({found.calibration.log_likelihood:.2f}): check their units"
            )
        if found.fqe.supported and found.wdr.supported:
            apart = interval.difference(found.fqe, found.wdr)
            if apart.interval is not None and not apart.interval[0] <= 0 <= apart.interval[1]:
                notes.append("fqe and wdr disagree by more than their intervals allow: trust neither to the last digit")
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class _Crossed:
    """Values of every row and episode's end by critics that did not see its fold."""

    q: np.ndarray
    value: np.ndarray
    end: np.ndarray


class _Fits:
    """All critics of one policy as one population: members, folds, resamples, folds of resamples, in this order."""

    def __init__(self, evaluator: Evaluator, problem: fqe.Decisions, cross: bool):
        self.log, self.settings, self.fold_E = evaluator.episodes, evaluator.settings, evaluator.fold_E
        everything = np.ones(len(self.log), dtype=np.int64)
        complements = [(self.fold_E != k).astype(np.int64) for k in range(self.settings.folds)] if cross else []
        counts = [everything] * self.settings.members
        counts += complements + evaluator.counts
        counts += [own * other for own in evaluator.counts for other in complements]
        cache: dict[int, torch.Tensor] = {}
        pools = [cache.setdefault(id(c), fqe.rows_of(self.log, c)) for c in counts]
        self.fitted = fqe.fit(problem, pools, self.settings, evaluator.seed)

    @cached_property
    def start(self) -> np.ndarray:
        """V of the start states, (members, episodes)."""
        return self.fitted.here(range(self.settings.members), self.log.first)

    @cached_property
    def start_halfway(self) -> np.ndarray:
        """The same at half of the steps, (members, episodes)."""
        return self.fitted.halfway.here(range(self.settings.members), self.log.first)

    @cached_property
    def start_resampled(self) -> np.ndarray:
        """The same by the critics of each resample, (n_bootstrap, episodes)."""
        begin = self.settings.members + self._folds
        return self.fitted.here(range(begin, begin + self.settings.n_bootstrap), self.log.first)

    @property
    def _folds(self) -> int:
        total, s = len(self.fitted.params["w0"]), self.settings
        return s.folds if total > s.members + s.n_bootstrap else 0

    @cached_property
    def crossed(self) -> _Crossed:
        """By the folds of the whole log."""
        return self._cross(self.settings.members)

    @cached_property
    def crossed_resampled(self) -> list[_Crossed]:
        """By the folds of each resample."""
        begin = self.settings.members + self._folds + self.settings.n_bootstrap
        return [self._cross(begin + b * self._folds) for b in range(self.settings.n_bootstrap)]

    def _cross(self, begin: int) -> _Crossed:
        fold_R, rows = self.fold_E[self.log.dataset.episode_of_row], len(self.log.dataset)
        found = _Crossed(np.empty(rows), np.empty(rows), np.empty(len(self.log)))
        for k in range(self._folds):
            own, ended = np.flatnonzero(fold_R == k), np.flatnonzero(self.fold_E == k)
            found.q[own] = self.fitted.logged([begin + k], own)[0]
            found.value[own] = self.fitted.here([begin + k], own)[0]
            found.end[ended] = self.fitted.ahead([begin + k], self.log.last[ended])[0]
        return found


def evaluate_policy(
    agent: Any,
    dataset: Dataset,
    *,
    member: int = 0,
    discount: float | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> OffPolicyValue:
    """What a policy would earn where ``dataset`` was recorded, estimated from that dataset alone.

    Args:
        agent: a fitted agent, a population, or a :data:`prudent.ope.Policy`.
        dataset: episodes in order of time. Fit the policy to other episodes: on its own training data it looks better
            than it is.
        member: which member of the agent.
        discount: gamma; None takes the policy's own.
        settings: see :class:`prudent.ope.Settings`.
        seed: equal seeds give equal figures.

    Raises:
        ConfigError: the policy is for other spaces, is not fitted or has diverged; no discount is known, or it is 1
            where episodes do not terminate.
        DataError: too few episodes, rows in no order, or logged probabilities that are none.
    """
    policy = policies.as_policy(agent, member)
    gamma = policy.discount if discount is None else discount
    if gamma is None:
        raise ConfigError(f"{policy.name} has no discount of its own: give one")
    policies.check(policy, dataset)
    return Evaluator(dataset, gamma, settings, seed).evaluate(policy)

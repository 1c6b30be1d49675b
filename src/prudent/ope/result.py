""":class:`ValueResult`, what :func:`prudent.value` returns: several policies compared on one log, in figures and words.

``reasons``, ``cautions`` and ``reading`` are the sentences that analysts read; the functions below the classes write
them.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from prudent import ope
from prudent.engine.members import ALL_SEEDS, settings_of
from prudent.ope import Estimate, OffPolicyValue
from prudent.ope.estimates import UNSEEN, value_verb
from prudent.ope.misfit import misfit
from prudent.ope.reservations import is_first_order, outweighs_misfit, reservations, rests_on_a_model

STARTS = 300
"""At most so many start states keep their predicted and fitted value, for the picture."""

BEHAVIOUR = "behaviour"


@dataclass(frozen=True, eq=False)
class PolicyValue:
    """One policy and its estimated value.

    Attributes:
        run: the name it has in ``compare``; ``""`` for the policy under evaluation.
        algorithm: title of its algorithm; ``""`` for a plain function.
        estimates: every estimate of its value.
        predicted: (episodes,) values that its own critics predict at the start states, in raw reward units; None
            without critics.
        seeds: number of members with its setting, itself included.
    """

    run: str
    algorithm: str
    estimates: OffPolicyValue
    predicted: np.ndarray | None
    seeds: int = 1

    @property
    def title(self) -> str:
        """``alpha=5,seed=0``, or ``BC, seed=0``; a rule that is called like its own function has one name."""
        own = self.estimates.name
        return f"{self.run}, {own}" if self.run and self.run != own else own

    @property
    def setting(self) -> str:
        """``alpha=5``; ``""`` if members differ only in their seed."""
        (name,) = settings_of([self.estimates.name])
        return "" if name == ALL_SEEDS else name

    @property
    def bound_share(self) -> float | None:
        """Share of start states at which the critics predict no more than the fitted value; None without either."""
        if self.predicted is None or not self.estimates.fqe.supported:
            return None
        return float((self.predicted <= self.estimates.starts).mean())

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON; ``starts`` holds the predicted and the fitted value of some start states."""
        shown = np.unique(np.linspace(0, len(self.estimates.starts) - 1, STARTS).round().astype(int))
        starts = {}
        if self.predicted is not None and self.estimates.fqe.supported:
            starts = {"predicted": self.predicted[shown].tolist(), "fitted": self.estimates.starts[shown].tolist()}
        about = {"run": self.run, "algorithm": self.algorithm, "setting": self.setting, "title": self.title}
        return {**about, **self.estimates.summary(), "starts": starts, "lower_bound_share": self.bound_share}


@dataclass(frozen=True, eq=False)
class ValueResult:
    """Values of several policies on one log.

    Attributes:
        dataset, fingerprint: the log.
        seen: whether the policy was trained on any of its episodes; None if unknown.
        shared: on how many of its episodes; None if unknown.
        seed, settings: of the estimates.
        policies: every policy that was evaluated.
        skipped: why others were not, one line each.
        warnings: what is doubtful about how the log's episodes end, one line each.
        lost: whether much of the reward is on rows that the reader of the log dropped.
    """

    dataset: str
    fingerprint: str
    seen: bool | None
    shared: int | None
    seed: int
    settings: ope.Settings
    policies: tuple[PolicyValue, ...]
    skipped: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    lost: bool = False

    @cached_property
    def best(self) -> PolicyValue:
        """Of the policies under evaluation, the one with the highest lower bound of its leading estimate."""
        return max(self._candidates, key=lambda policy: policy.estimates.leading.lower_bound)

    @property
    def _candidates(self) -> list[PolicyValue]:
        """The policies under evaluation, one for each setting; the others are rivals."""
        return [policy for policy in self.policies if not policy.run]

    @cached_property
    def differences(self) -> dict[str, dict[str, Estimate]]:
        """``{"behaviour": {"fqe", "wdr"}, "BC": ...}``: the value of :attr:`best` less that of each other, paired.

        ``pdwis`` is there too if it leads, or if the log has single decisions.
        """
        best = self.best.estimates
        keys = best.order if best.one_step or best.lead == "pdwis" else ("fqe", "wdr")
        gains = {BEHAVIOUR: {key: best.improvement[key] for key in keys}}
        for rival in (policy for policy in self.policies if policy.run):
            gains[self._rival_name(rival)] = {
                key: ope.difference(getattr(best, key), getattr(rival.estimates, key)) for key in keys
            }
        return gains

    def _rival_name(self, rival: PolicyValue) -> str:
        """``BC``, or with the name of its member if several of that run were evaluated."""
        return rival.run if sum(policy.run == rival.run for policy in self.policies) == 1 else rival.title

    @property
    def reservations(self) -> list[str]:
        """What a favourable verdict has against it, a few words each: see :mod:`prudent.ope.reservations`."""
        return reservations(self.best.estimates, self.seen, self.lost, len(self._candidates))

    @property
    def firm(self) -> bool:
        """Whether a favourable verdict may rest on this result: it has no :attr:`reservations`."""
        return not self.reservations

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON; what has no value is None.

        ``against`` has the gain over each other policy, and its sign.
        """
        best = self.best.estimates
        return {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "episodes": best.support.episodes,
            "seen": self.seen,
            "shared": self.shared,
            "discount": best.discount,
            "seed": self.seed,
            "settings": asdict(self.settings),
            "best": self.best.title,
            "lead": best.lead,
            "policies": [policy.to_json() for policy in self.policies],
            "behaviour": best.behaviour.summary(),
            "undiscounted": best.undiscounted["behaviour"].summary(),
            "against": {
                name: {key: {**gain.summary(), "sign": gain.sign} for key, gain in pair.items()}
                for name, pair in self.differences.items()
            },
            "firm": self.firm,
            "reservations": self.reservations,
            "reasons": self.reasons,
            "cautions": self.cautions,
            "reading": self.reading,
        }

    @property
    def reasons(self) -> list[str]:
        """The value of :attr:`best`, then its gain over each other policy; a sentence each."""
        best, title = self.best.estimates, self.best.title
        gains = [
            gain.difference_text(f"{title} over {_rival_text(name, key, best)}")
            for name, pair in self.differences.items()
            for key, gain in pair.items()
            if gain.supported or (key == best.lead and best.leading.supported)
        ]
        return [_value_sentence(title, best), *(f"{gain}." for gain in gains)]

    @property
    def cautions(self) -> list[str]:
        """Why the value may be lower than estimated; a sentence each."""
        best = self.best.estimates
        tail = _tail(best) if best.tail_weight >= UNSEEN else ""
        log = [f"{warning}." for warning in self.warnings]
        sentences = (*log, self._trained_on(), self._chosen(), tail, _narrow(best), _left_out(best), _misfit(best))
        return [sentence for sentence in sentences if sentence]

    @property
    def reading(self) -> list[str]:
        """What the figures rest on; a sentence each."""
        best, title = self.best.estimates, self.best.title
        sentences = [
            f"{title}: {ope.support_text(vars(best.support))}.",
            _behaviour_model(best),
            "" if best.tail_weight >= UNSEEN else _tail(best),
            "Every episode is one decision and nothing follows it, so no discount applies." if best.one_step else "",
            _prediction(self.best),
            *(_sentence(note) for note in (*best.notes, *self.skipped)),
        ]
        return [sentence for sentence in sentences if sentence]

    def _trained_on(self) -> str:
        if self.seen is False:
            return ""
        consequence = "the estimate is optimistic; use episodes kept aside from training."
        if self.seen is None:
            return f"If the policy learned from these, {consequence}"
        episodes = self.best.estimates.support.episodes
        which = "these very" if self.shared == episodes else f"{self.shared:,} of these {episodes:,}"
        return f"The policy learned from {which} episodes, so {consequence}"

    def _chosen(self) -> str:
        if len(self._candidates) > 1:
            return (
                f"The policy has the highest of {len(self._candidates)} estimates, which is partly luck. prudent tune "
                "chooses on one part of the episodes and estimates on another."
            )
        if self.best.seeds > 1:
            return f"The policy is one of {self.best.seeds} seeds; the estimate says nothing about the others."
        return ""

    def __str__(self) -> str:
        estimates = (str(policy.estimates) for policy in self.policies)
        return "\n".join([*estimates, *self.reasons, *self.cautions, *self.reading])


# --- sentences --------------------------------------------------------------------------------------------------------


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}." if line else ""


_OTHER_ESTIMATORS = {"wdr": "doubly robust", "pdwis": "importance sampling", "fqe": "direct method"}
"""What the estimators are called where decisions stand alone."""


def _rival_text(name: str, key: str, best: OffPolicyValue) -> str:
    second = ""
    if key != best.lead:
        second = f", {_OTHER_ESTIMATORS[key]}" if best.one_step else ", second estimator"
    if name == BEHAVIOUR:
        fitted = " (both fitted)" if key == "fqe" and not best.one_step else ""
        return f"the behaviour policy{second or fitted}"
    return f"{name}{second}"


def _value_sentence(title: str, best: OffPolicyValue) -> str:
    behaviour = f"the behaviour policy, which made the log, {value_verb(best.tail_weight)} {_figure(best.behaviour)}"
    if not best.leading.supported:
        return f"The data do not support a value of {title}: {best.leading.reason}; {behaviour}."
    if best.one_step:
        return f"{title} is worth a reward per decision of {_figure(best.leading)}; {behaviour}."
    return (
        f"{title} is worth {_figure(best.leading)} on average over the start states of the log, discounted by "
        f"{best.discount:g} per {best.clock}; {behaviour}."
    )


def _figure(estimate: Estimate) -> str:
    if estimate.value is None or estimate.interval is None:
        return f"an unknown amount ({estimate.reason})"
    return f"{estimate.value:.4g} (95 % interval {estimate.interval[0]:.4g} to {estimate.interval[1]:.4g})"


def _narrow(best: OffPolicyValue) -> str:
    if rests_on_a_model(best):
        return (
            "The figure is the direct method's, which rests on a model of the rewards alone, and its interval is too "
            f"narrow: {best.wdr.reason}."
        )
    if not is_first_order(best):
        return ""
    return "The intervals are to first order: refits on resamples (--n-bootstrap) would show more of the error."


def _left_out(best: OffPolicyValue) -> str:
    """Refits that ran away."""
    count, replicates = best.fqe.left_out, best.fqe.replicates
    if not count or replicates is None:
        return ""
    return f"{count} of {len(replicates)} refits ran away and were left out of the interval."


def _misfit(best: OffPolicyValue) -> str:
    """A fit that misses the value of the behaviour policy may miss that of a policy too."""
    # The paired difference, since the intervals of the two may well overlap.
    error = misfit(best.fitted_behaviour, best.behaviour)
    if not error.sign or error.value is None or error.interval is None:
        return ""
    low, high = sorted(abs(end) for end in error.interval)
    side = "above" if error.sign > 0 else "below"
    return (
        f"The fit is off: its value of the behaviour policy is {abs(error.value):.4g} (95 % interval {low:.4g} to "
        f"{high:.4g}) {side} what the logged rewards give{_despite_misfit(best)}."
    )


def _despite_misfit(best: OffPolicyValue) -> str:
    """What an error of the fit means for a gain over the behaviour policy; empty without one by fitted values."""
    if best.lead != "fqe" or best.improvement["fqe"].sign != 1:
        return ""
    if outweighs_misfit(best):
        return "; the gain over the behaviour policy is larger than that, even at its lower end"
    return "; the lower end of the gain over the behaviour policy is no larger than that, so the gain does not count"


def _behaviour_model(best: OffPolicyValue) -> str:
    """How well the behaviour policy is known."""
    if best.behaviour_source == "logged":
        return "The log itself gives the probabilities of its actions."
    error, coverage = best.calibration.error, best.calibration.coverage
    model = "The behaviour policy is a fitted model. On episodes that it did not see,"
    if coverage is None:
        return f"{model} its probabilities are off by {100 * error:.1f} % on average (0 would be perfect)."
    return (
        f"{model} {100 * coverage:.0f} % of the actions lie within its central 90 %, and its distribution is off by at "
        f"most {100 * error:.1f} % (0 would be perfect)."
    )


def _tail(best: OffPolicyValue) -> str:
    if best.tail_weight < 0.01:
        return ""
    share = f"{100 * best.tail_weight:.0f} %"
    return f"What follows the end of a recording has a weight of {share} on average. It is fitted, not observed."


def _prediction(policy: PolicyValue) -> str:
    share = policy.bound_share
    if share is None:
        return ""
    if share in (0, 1):
        where = "every start state" if share == 0 else "no start state"
    else:
        # Rounded up, so that one state of a thousand is not reported as none.
        where = f"{min(99, 100 - int(100 * share))} % of the start states"
    return f"The critics of {policy.title} predict more than the fitted value at {where}."

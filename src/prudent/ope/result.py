"""What came of weighing policies by a log: figures, differences, and all of it in words."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from prudent import ope
from prudent.engine.members import ALL_SEEDS, settings_of
from prudent.ope import Estimate, OffPolicyValue
from prudent.ope.estimates import UNSEEN, worth_told

STARTS = 300
"""Start states of which both values are kept for the picture, at most."""

BEHAVIOUR = "behaviour"
MOSTLY_FITTED = 0.5
"""Share of what was not watched above which no favourable verdict may rest on a value."""


@dataclass(frozen=True, eq=False)
class PolicyValue:
    """One policy and what it is worth.

    Attributes:
        run: name of what it is compared as, ``""`` for the policy that all is about.
        algorithm: as in a heading, ``""`` of a function.
        found: every estimate.
        predicted: (episodes,) what its critics promise at the start states in raw reward units; None without.
        seeds: how many members have its setting; it is one of them.
    """

    run: str
    algorithm: str
    found: OffPolicyValue
    predicted: np.ndarray | None
    seeds: int = 1

    @property
    def title(self) -> str:
        """``alpha=5,seed=0``, or ``BC, seed=0``."""
        return f"{self.run}, {self.found.name}" if self.run else self.found.name

    @property
    def setting(self) -> str:
        """``alpha=5``; ``""`` where seeds are all there is."""
        (name,) = settings_of([self.found.name])
        return "" if name == ALL_SEEDS else name

    @property
    def bound_share(self) -> float | None:
        """Share of start states at which the promise was no higher than the fitted value."""
        if self.predicted is None or not self.found.fqe.supported:
            return None
        return float((self.predicted <= self.found.starts).mean())

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON; ``starts`` holds both values of some start states."""
        shown = np.unique(np.linspace(0, len(self.found.starts) - 1, STARTS).round().astype(int))
        drawn = {}
        if self.predicted is not None and self.found.fqe.supported:
            drawn = {"predicted": self.predicted[shown].tolist(), "fitted": self.found.starts[shown].tolist()}
        about = {"run": self.run, "algorithm": self.algorithm, "setting": self.setting, "title": self.title}
        return {**about, **self.found.summary(), "starts": drawn, "lower_bound_share": self.bound_share}


@dataclass(frozen=True, eq=False)
class ValueResult:
    """Policies weighed by one log.

    Attributes:
        dataset, fingerprint: the log.
        seen: whether the policy learned from any of it; None where that is not known.
        shared: from how many of its episodes; None where that is not known.
        seed, settings: how it was estimated.
        policies: each that was weighed.
        skipped: why others were not, one line each.
    """

    dataset: str
    fingerprint: str
    seen: bool | None
    shared: int | None
    seed: int
    settings: ope.Settings
    policies: tuple[PolicyValue, ...]
    skipped: tuple[str, ...]

    @cached_property
    def best(self) -> PolicyValue:
        """Of the policies that all is about, the one with the highest lower end of its fitted value."""
        own = [weighed for weighed in self.policies if not weighed.run]
        return max(own, key=lambda w: -np.inf if w.found.fqe.interval is None else w.found.fqe.interval[0])

    @cached_property
    def differences(self) -> dict[str, dict[str, Estimate]]:
        """``{"behaviour": {"fqe", "wdr"}, "BC": ...}``: what :attr:`best` is worth less each, paired."""
        own = self.best.found
        gains = {BEHAVIOUR: {key: own.improvement[key] for key in ("fqe", "wdr")}}
        for other in (weighed for weighed in self.policies if weighed.run):
            pair = {key: ope.difference(getattr(own, key), getattr(other.found, key)) for key in ("fqe", "wdr")}
            gains[self._rival(other)] = pair
        return gains

    def _rival(self, other: PolicyValue) -> str:
        """``BC``, or with its member where several of that run were weighed."""
        return other.run if sum(w.run == other.run for w in self.policies) == 1 else other.title

    @property
    def firm(self) -> bool:
        """Whether a favourable verdict may rest on it.

        Other episodes, a policy that was not chosen by these, whole intervals, recordings that show at least half of
        what counts, and a fit that is at its end and fits the log.
        """
        found = self.best.found
        doubtful = self._own > 1 or found.tail_weight > MOSTLY_FITTED or _narrow(found) or _fit(found)
        return self.seen is False and not doubtful

    @property
    def _own(self) -> int:
        """How many policies :attr:`best` was chosen of."""
        return sum(weighed.run == "" for weighed in self.policies)

    def to_json(self) -> dict[str, Any]:
        """Everything, ready for JSON; None stands for what has no value.

        ``reasons``, ``cautions`` and ``reading`` say it in words, ``against`` has the gain over each and its sign.
        """
        found = self.best.found
        return {
            "dataset": self.dataset,
            "fingerprint": self.fingerprint,
            "episodes": found.support.episodes,
            "seen": self.seen,
            "shared": self.shared,
            "discount": found.discount,
            "seed": self.seed,
            "settings": asdict(self.settings),
            "best": self.best.title,
            "policies": [weighed.to_json() for weighed in self.policies],
            "behaviour": found.behaviour.summary(),
            "undiscounted": found.undiscounted["behaviour"].summary(),
            "against": {
                name: {key: {**gain.summary(), "sign": gain.sign} for key, gain in pair.items()}
                for name, pair in self.differences.items()
            },
            "firm": self.firm,
            "reasons": self.reasons,
            "cautions": self.cautions,
            "reading": self.reading,
        }

    @property
    def reasons(self) -> list[str]:
        """What it is worth, and beside what; a sentence each."""
        found, title = self.best.found, self.best.title
        gains = [
            gain.told(f"{title} over {_named(name, key)}" + (", second estimator" if key == "wdr" else ""))
            for name, pair in self.differences.items()
            for key, gain in pair.items()
            if gain.supported or (key == "fqe" and found.fqe.supported)
        ]
        return [_worth(title, found), *(f"{gain}." for gain in gains)]

    @property
    def cautions(self) -> list[str]:
        """Why it may be worth less than that; a sentence each."""
        found = self.best.found
        beyond = _beyond(found) if found.tail_weight >= UNSEEN else ""
        told = (self._learned(), self._chosen(), beyond, _narrow(found), *_fit(found))
        return [sentence for sentence in told if sentence]

    @property
    def reading(self) -> list[str]:
        """What the figures rest on, a sentence each."""
        best, found = self.best, self.best.found
        told = [
            f"Of {best.title}, {ope.support_told(vars(found.support))}.",
            _who(found),
            "" if found.tail_weight >= UNSEEN else _beyond(found),
            _bound(best),
            *(f"{note[0].upper()}{note[1:]}." for note in found.notes),
            *(f"{line[0].upper()}{line[1:]}." for line in self.skipped),
        ]
        return [sentence for sentence in told if sentence]

    def _learned(self) -> str:
        if self.seen is False:
            return ""
        episodes = self.best.found.support.episodes
        learned = "If the policy learned from these"
        if self.seen:
            which = "these very" if self.shared == episodes else f"{self.shared:,} of these {episodes:,}"
            learned = f"The policy learned from {which} episodes"
        return f"{learned}, which flatters it: episodes kept aside would tell more."

    def _chosen(self) -> str:
        if self._own > 1:
            return (
                f"It is the highest of {self._own} by this very estimate, which is partly luck: prudent tune chooses "
                "on one part of the episodes and weighs on another."
            )
        if self.best.seeds > 1:
            return f"It is one of {self.best.seeds} seeds, and says nothing of the others."
        return ""

    def __str__(self) -> str:
        return "\n".join(
            [*(str(weighed.found) for weighed in self.policies), *self.reasons, *self.cautions, *self.reading]
        )


def _named(name: str, key: str) -> str:
    fitted = ", fitted likewise" if key == "fqe" else ""
    return f"what made the log{fitted}" if name == BEHAVIOUR else name


def _worth(title: str, found: OffPolicyValue) -> str:
    behaviour = f"what made the log {worth_told(found.tail_weight)} {_figure(found.behaviour)}"
    if not found.fqe.supported:
        return f"The data do not support a value of {title}: {found.fqe.reason}; {behaviour}."
    return (
        f"{title} is worth {_figure(found.fqe)} from a start state of the log on, discounted by {found.discount:g} a "
        f"{found.clock}; {behaviour}."
    )


def _figure(estimate: Estimate) -> str:
    if estimate.value is None or estimate.interval is None:
        return f"an amount that is not known ({estimate.reason})"
    return f"{estimate.value:.4g} (95 % interval {estimate.interval[0]:.4g} to {estimate.interval[1]:.4g})"


def _narrow(found: OffPolicyValue) -> str:
    if found.fqe.method != "start":
        return ""
    return "Without refits on resamples the fit counts as certain: the intervals are too narrow to promise with."


def _fit(found: OffPolicyValue) -> list[str]:
    """What is wrong with the fit itself."""
    moving = f"{found.moving[0].upper()}{found.moving[1:]}." if found.moving else ""
    return [sentence for sentence in (moving, _off(found)) if sentence]


def _off(found: OffPolicyValue) -> str:
    """Fitted values that do not give what the log's own rewards give are no better for a policy."""
    apart = ope.difference(found.fitted_behaviour, found.behaviour)
    if not apart.sign or apart.value is None or apart.interval is None:
        return ""
    low, high = sorted(abs(end) for end in apart.interval)
    side = "above" if apart.sign > 0 else "below"
    # The paired difference, since the intervals of the two may well overlap.
    return (
        f"The fit is off: it puts what made the log {abs(apart.value):.4g} (95 % interval {low:.4g} to {high:.4g}) "
        f"{side} what its own rewards give. More steps may mend that."
    )


def _who(found: OffPolicyValue) -> str:
    """Who made the log, and how well that is known."""
    if found.behaviour_source == "logged":
        return "The probabilities of the logged actions are the log's own."
    known = found.calibration
    if known.coverage is None:
        return (
            "Who made the log is a model of it: on episodes that it did not see, its probabilities are off by "
            f"{100 * known.error:.1f} % on average (0 would be perfect)."
        )
    return (
        f"Who made the log is a model of it: on episodes that it did not see, {100 * known.coverage:.0f} % of the "
        f"actions lie within its central 90 %, and its distribution is off by {100 * known.error:.1f} % at most (0 "
        "would be perfect)."
    )


def _beyond(found: OffPolicyValue) -> str:
    if found.tail_weight < 0.01:
        return ""
    return (
        f"What follows the end of a recording counts {100 * found.tail_weight:.0f} % on average, and is fitted, not "
        "seen."
    )


def _bound(best: PolicyValue) -> str:
    kept = best.bound_share
    if kept is None:
        return ""
    if kept in (0, 1):
        where = "every start state" if kept == 0 else "no start state"
    else:
        # Rounded up: what happens at one state of a thousand does not happen at none.
        where = f"{min(99, 100 - int(100 * kept))} % of the start states"
    return f"The critics of {best.title} promise more than the fitted value at {where}."

"""The verdict on the chosen policy, from the part of the data that was used neither to train nor to choose it.

Three figures decide: the gain of the winner over the behaviour policy, its gain over BC, and the gain of BC over the
behaviour policy. The behaviour policy is what made the log.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prudent import ope
from prudent.ope import Estimate
from prudent.ope.misfit import exceeds, misfit
from prudent.report.format import chance
from prudent.runs.tuned import KEEP_LOG
from prudent.tuning.stored_values import StoredValue

DEPLOY = "deploy this policy"
KEEP_BC = "keep BC"

POLICY, OVER_BC, BC = "policy - behaviour", "policy - BC", "BC - behaviour"
"""The three figures, among :attr:`Judgement.differences`."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict, its reasons in words, and the paired differences behind it, by name.

    ``clone`` says whether BC may be kept in place of what made the log: the data support it, its value is not below
    that of the log, and it is not shown to end badly more often.
    """

    verdict: str
    reasons: tuple[str, ...]
    differences: dict[str, Estimate]
    clone: bool


def judge(
    winner: StoredValue | None, bc: StoredValue, why_none: str = "", lost: str = "", episodes: int = 0
) -> Judgement:
    """Deploy the winner only if it is shown to be better than the behaviour policy, with 95 % confidence.

    BC is kept instead if it is shown to be better too and the winner is not the better of the two. A BC that the data
    do not support, or that is shown to end badly more often, has no say. If neither is shown to be better, what made
    the log stays.

    Fitted values are compared with fitted values. Where the fitted value of the behaviour policy is off from what the
    log earned, with 95 % confidence, that of a policy may be off by as much: its gain has to be larger than this error.
    Monte Carlo returns and WDR are noisier, but may contradict a gain. So does an end with a loss that is shown to be
    more frequent than in the log.

    Args:
        winner: None if no policy of the grid can be ranked, and ``why_none`` says why.
        bc: the best imitation.
        lost: says that much of the reward is on rows that the reader dropped. Nothing is deployed then, since values
            are those of another task.
        episodes: number of episodes of the whole log, to say how many more would show a gain.
    """
    rival = _Case.of(bc, "BC")
    case = None if winner is None else _Case.of(winner, winner.name)
    gains, over_bc = {BC: rival.gain} | rival.second("BC"), None
    if winner is not None and case is not None:
        over_bc = ope.difference(winner.fqe, bc.fqe)
        gains = {POLICY: case.gain, OVER_BC: over_bc} | case.second("policy") | gains
    verdict = KEEP_LOG
    if rival.shown and not lost:
        verdict = KEEP_BC
    if case is not None and over_bc is not None and case.shown and not lost:
        preferred = (over_bc.value or 0.0) > 0 if rival.shown else over_bc.sign != -1 or rival.harms
        preferred = preferred or not over_bc.supported
        verdict = DEPLOY if preferred else verdict
    reasons = _figures(winner, gains, why_none)
    for one in (case, rival):
        reasons += (
            [] if one is None else one.remarks(deciding=one is case or verdict == KEEP_BC or rival.gain.sign == 1)
        )
    reasons += [lost] if lost else _conclusion(verdict, case, over_bc, episodes)
    clone = rival.gain.value is not None and rival.gain.value >= 0 and not rival.harms
    return Judgement(verdict, tuple(dict.fromkeys(reasons)), gains, clone)


@dataclass(frozen=True, eq=False)
class _Case:
    """What speaks for and against one policy, compared with the behaviour policy."""

    value: StoredValue
    title: str
    gain: Estimate
    misfit: Estimate
    contradictions: dict[str, Estimate]
    more_bad_ends: Estimate | None

    @classmethod
    def of(cls, value: StoredValue, title: str) -> "_Case":
        contradictions = {
            "Monte Carlo": ope.difference(value.fqe, value.behaviour),
            "WDR": ope.difference(value.wdr, value.behaviour),
        }
        chances = value.bad_ends, value.behaviour_bad_ends
        more = None if chances[0] is None or chances[1] is None else ope.difference(chances[0], chances[1])
        error = misfit(value.fitted_behaviour, value.behaviour)
        return cls(value, title, ope.difference(value.fqe, value.fitted_behaviour), error, contradictions, more)

    @property
    def shown(self) -> bool:
        """Whether it is shown to be better, without a doubt."""
        return self.gain.sign == 1 and not self.doubts

    @property
    def harms(self) -> bool:
        """Whether its episodes are shown to end badly more often."""
        return self.more_bad_ends is not None and self.more_bad_ends.sign == 1

    @property
    def doubts(self) -> list[str]:
        """Why a gain over the behaviour policy would not count."""
        doubts = []
        if self.gain.sign == 1 and not exceeds(self.gain, self.misfit):
            doubts.append(f"the gain of {self.title} is not shown to be larger than the error of the fit")
        for name, other in self.contradictions.items():
            if self.gain.sign == 1 and other.sign == -1:
                doubts.append(f"{name} contradicts the fitted gain of {self.title}: rely on neither")
        if self.harms:
            doubts.append(f"{self.title} is shown to end badly more often than what made the log")
        return doubts

    def second(self, name: str) -> dict[str, Estimate]:
        """The gains by other estimators, by name."""
        return {f"{name} - behaviour, {other}": gain for other, gain in self.contradictions.items()}

    def remarks(self, deciding: bool) -> list[str]:
        """What else is known: second estimators, error of the fit, bad ends, support; doubts if it could decide."""
        lines = []
        if deciding:
            lines += [
                gain.difference_text(f"{self.title}, second estimator, {name}")
                for name, gain in self.contradictions.items()
                if gain.supported
            ]
            if self.misfit.sign:
                label = "the fitted value of what made the log, less what it earned"
                lines.append(self.misfit.difference_text(label, "the fit is off by that much"))
        lines += self._bad_ends()
        lines.append(f"{self.title}: {ope.support_text(self.value.summary['support'], 'final')}")
        if self.value.fqe.left_out:
            lines.append(f"{self.title}: {self.value.fqe.left_out} refits ran away and were left out")
        return [*lines, *(self.doubts if deciding else [])]

    def _bad_ends(self) -> list[str]:
        own, log = self.value.bad_ends, self.value.behaviour_bad_ends
        if own is None or log is None or own.value is None or log.value is None:
            return []
        text = f"{self.title} ends badly (terminated with a loss) in {_percent(own)} of the episodes, discounted"
        return [f"{text}; what made the log in {_percent(log)}"]


def _percent(estimate: Estimate) -> str:
    assert estimate.value is not None
    assert estimate.interval is not None
    return chance(estimate.value, estimate.interval)


def against_bc(gain: Mapping[str, Any]) -> str:
    """Why BC cannot stand for what made the log (``clone`` is False), by the summary of its gain over that."""
    if gain["value"] is None:
        return f"the data do not support a value of BC ({gain['unsupported']})"
    if gain["value"] < 0:
        return "BC seems worse than what made the log"
    return "BC is shown to end badly more often than what made the log"


# --- sentences --------------------------------------------------------------------------------------------------------


def _figures(winner: StoredValue | None, gains: dict[str, Estimate], why_none: str) -> list[str]:
    """The three figures that every verdict rests on."""
    lines = (
        [why_none]
        if winner is None
        else [
            gains[POLICY].difference_text(f"{winner.name} over what made the log"),
            gains[OVER_BC].difference_text(f"{winner.name} over BC"),
        ]
    )
    return [line for line in lines if line] + [gains[BC].difference_text("BC over what made the log")]


def _conclusion(verdict: str, case: _Case | None, over_bc: Estimate | None, episodes: int) -> list[str]:
    """Why not more was decided, and what would settle it."""
    if verdict == DEPLOY:
        return []
    if verdict == KEEP_BC:
        return [f"BC is shown to be better than what made the log{_beside_bc(case)}"]
    if case is None or case.gain.value is None:
        return []
    if case.gain.sign == 1:
        less = case.shown and over_bc is not None and over_bc.sign == -1
        return [f"{case.title} is shown to be worth less than BC, which is in doubt: neither is kept"] if less else []
    if case.gain.value <= 0:
        return [f"{case.title} does not even seem better than what made the log: more episodes would not show a gain"]
    if case.harms or any(other.sign == -1 for other in case.contradictions.values()):
        return []  # a gain that is shown would not count
    reach = case.gain.value - case.gain.lower_bound
    factor = (reach / case.gain.value) ** 2
    more = math.ceil(episodes * (factor - 1))
    text = f"if {case.title} is as good as it seems, about {factor:.1f} times as many episodes would show it"
    return [f"{text} ({more:,} more)" if episodes else text]


def _beside_bc(case: _Case | None) -> str:
    """Why the winner does not take the place of BC, as the end of a sentence."""
    if case is None:
        return ""
    if case.gain.sign != 1:
        return f", and {case.title} is not"
    return f"; so is {case.title}, but BC is worth more" if case.shown else f"; {case.title} seems so, but is in doubt"

"""Whether the chosen policy is good enough, by the part of the data that neither trained nor chose it."""

from dataclasses import dataclass

from prudent import ope
from prudent.ope import Estimate
from prudent.tuning.worth import Worth

DEPLOY = "deploy this policy"
KEEP_BC = "keep BC"
NOTHING = "the data do not support an improvement"


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict, its reasons in plain words, and the paired differences that it rests on, by name."""

    verdict: str
    reasons: tuple[str, ...]
    differences: dict[str, Estimate]


def judge(winner: Worth | None, bc: Worth, why_none: str = "") -> Judgement:
    """Deploy only what is better than the behaviour and than BC, with 95 % confidence each.

    ``winner`` None: no policy of the grid can be ranked, ``why_none`` says why.
    """
    gains = {"BC - behaviour": ope.difference(bc.fqe, bc.behaviour)}
    reasons = [] if why_none == "" else [why_none]
    contradiction = ""
    if winner is not None:
        gains["policy - behaviour"] = ope.difference(winner.fqe, winner.behaviour)
        gains["policy - BC"] = ope.difference(winner.fqe, bc.fqe)
        seconds = {
            "policy - behaviour, WDR": ope.difference(winner.wdr, winner.behaviour),
            "policy - BC, WDR": ope.difference(winner.wdr, bc.wdr),
        }
        contradiction = next((key for key, gain in seconds.items() if _shown_below(gain)), "")
        told = {"policy - behaviour": winner.name + " over what made the log", "policy - BC": winner.name + " over BC"}
        reasons += [_told(text, gains[key]) for key, text in told.items()]
        reasons += [_told(f"second estimator, {key}", gain) for key, gain in seconds.items() if gain.supported]
        reasons += _support(winner)
        gains |= seconds
    reasons.append(_told("BC over what made the log", gains["BC - behaviour"]))
    better = winner is not None and shown(gains["policy - behaviour"]) and shown(gains["policy - BC"])
    if better and not contradiction:
        return Judgement(DEPLOY, tuple(reasons), gains)
    if better:
        reasons.append(f"the two estimators contradict each other ({contradiction}): neither is to be relied on")
    verdict = KEEP_BC if shown(gains["BC - behaviour"]) else NOTHING
    return Judgement(verdict, tuple(reasons), gains)


def shown(gain: Estimate) -> bool:
    """Whether a gain is above 0 with its whole 95 % interval."""
    return gain.interval is not None and gain.interval[0] > 0


def _shown_below(gain: Estimate) -> bool:
    return gain.interval is not None and gain.interval[1] < 0


def _told(what: str, gain: Estimate) -> str:
    if gain.value is None or gain.interval is None:
        return f"{what}: not supported by the data ({gain.reason})"
    low, high = gain.interval
    meaning = "shown to be better" if low > 0 else "shown to be worse" if high < 0 else "not shown to differ"
    return f"{what}: {gain.value:+.4g}, 95 % interval {low:+.4g} to {high:+.4g}: {meaning}"


def _support(winner: Worth) -> list[str]:
    """How far the policy keeps to the data."""
    support = winner.summary["support"]
    effective = support["effective_sample_size"]
    told = f"{support['outside']:.1%} of its actions are rarer in the log than 99 % of the logged ones"
    if effective is not None:
        told += f"; the {support['units']} final {support['by']}s are worth {effective:.1f} of its own"
    return [told]

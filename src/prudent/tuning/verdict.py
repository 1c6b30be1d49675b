"""Whether the chosen policy is good enough, by the part of the data that neither trained nor chose it."""

from dataclasses import dataclass

from prudent import ope
from prudent.ope import Estimate
from prudent.tuning.stored_values import Worth

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

    Fitted values are compared with the fitted value of the behaviour, by more than what that is visibly off: where it
    differs from what the log earned, with 95 % confidence, the policy's may be off by as much. The behaviour's Monte
    Carlo return and WDR see less, and may contradict.

    ``winner`` None: no policy of the grid can be ranked, ``why_none`` says why.
    """
    gains = {"BC - behaviour": ope.difference(bc.fqe, bc.fitted_behaviour)}
    reasons = [] if why_none == "" else [why_none]
    contradiction, misfit = "", 0.0
    if winner is not None:
        gains["policy - behaviour"] = ope.difference(winner.fqe, winner.fitted_behaviour)
        gains["policy - BC"] = ope.difference(winner.fqe, bc.fqe)
        seconds = {
            "policy - behaviour, Monte Carlo": ope.difference(winner.fqe, winner.behaviour),
            "policy - behaviour, WDR": ope.difference(winner.wdr, winner.behaviour),
            "policy - BC, WDR": ope.difference(winner.wdr, bc.wdr),
        }
        contradiction = next((key for key, gain in seconds.items() if gain.sign == -1), "")
        off = ope.difference(winner.fitted_behaviour, winner.behaviour)
        misfit = abs(off.value) if off.value is not None and off.sign else 0.0
        told = {"policy - behaviour": winner.name + " over what made the log", "policy - BC": winner.name + " over BC"}
        reasons += [gains[key].told(text) for key, text in told.items()]
        reasons += [gain.told(f"second estimator, {key}") for key, gain in seconds.items() if gain.supported]
        if misfit:
            reasons.append(
                f"{off.told('the fitted value of what made the log, over what it earned')}: so far off is the fit"
            )
        reasons.append(ope.support_told(winner.summary["support"], "final"))
        gains |= seconds
    reasons.append(gains["BC - behaviour"].told("BC over what made the log"))
    better = winner is not None and gains["policy - behaviour"].sign == gains["policy - BC"].sign == 1
    interval = gains["policy - behaviour"].interval if better else None
    beyond = interval is not None and interval[0] > misfit
    if better and beyond and not contradiction:
        return Judgement(DEPLOY, tuple(reasons), gains)
    if better and not beyond:
        reasons.append("the gain over what made the log is not shown to be larger than what the fit is off by")
    if better and contradiction:
        reasons.append(f"the two estimators contradict each other ({contradiction}): neither is to be relied on")
    verdict = KEEP_BC if gains["BC - behaviour"].sign == 1 else NOTHING
    if verdict == NOTHING and not better:
        reasons.append(_why_bc(winner, gains))
    return Judgement(verdict, tuple(reasons), gains)


def _why_bc(winner: Worth | None, gains: dict[str, Estimate]) -> str:
    """Why BC is kept where nothing is shown to be better than the log, and what may show more."""
    lead = "" if winner is None or gains["policy - BC"].sign != 1 else f"{winner.name} beats BC, but "
    return (
        f"{lead}nothing is shown to be better than what made the log, so BC, the cautious imitation of it, is kept; "
        "more episodes (or groups) narrow the intervals, more steps may raise the values"
    )

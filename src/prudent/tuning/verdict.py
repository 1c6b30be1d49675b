"""The verdict on the chosen policy, from the part of the data that was used neither to train nor to choose it."""

from dataclasses import dataclass

from prudent import ope
from prudent.ope import Estimate
from prudent.tuning.stored_values import StoredValue

DEPLOY = "deploy this policy"
KEEP_BC = "keep BC"
NOTHING = "the data do not support an improvement"


@dataclass(frozen=True, eq=False)
class Judgement:
    """The verdict, its reasons in words, and the paired differences behind it, by name."""

    verdict: str
    reasons: tuple[str, ...]
    differences: dict[str, Estimate]


def judge(winner: StoredValue | None, bc: StoredValue, why_none: str = "", lost: str = "") -> Judgement:
    """Deploy only a policy that is better than the behaviour policy and better than BC, with 95 % confidence each.

    Fitted values are compared with fitted values. Where the fitted value of the behaviour policy is off from what the
    log earned, with 95 % confidence, that of the policy may be off by as much: the gain has to be larger than this
    error. Monte Carlo returns and WDR are noisier, but may contradict the gain.

    ``winner`` is None if no policy of the grid can be ranked, and ``why_none`` says why. ``lost`` says
    that much of the reward is on rows that the reader dropped: no policy is deployed then, as its value is that of
    another task.
    """
    gains = {"BC - behaviour": ope.difference(bc.fqe, bc.fitted_behaviour)}
    reasons, doubts, better = [why_none] if why_none else [], [], False
    if winner is not None:
        fitted, second = _gains(winner, bc)
        misfit = ope.difference(winner.fitted_behaviour, winner.behaviour)
        better = all(gain.sign == 1 for gain in fitted.values())
        doubts = _doubts(fitted["policy - behaviour"], second, misfit)
        reasons += _reasons(winner, fitted, second, misfit)
        gains |= fitted | second
    reasons.append(gains["BC - behaviour"].difference_text("BC over the behaviour policy"))
    reasons += [lost] if lost else []
    if better and not doubts and not lost:
        return Judgement(DEPLOY, tuple(reasons), gains)
    verdict = KEEP_BC if gains["BC - behaviour"].sign == 1 else NOTHING
    if better:
        reasons += doubts
    elif verdict == NOTHING:
        reasons.append(_why_bc(winner, gains))
    return Judgement(verdict, tuple(reasons), gains)


def _gains(winner: StoredValue, bc: StoredValue) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """What the winner gains, by fitted values and by the second estimators."""
    fitted = {
        "policy - behaviour": ope.difference(winner.fqe, winner.fitted_behaviour),
        "policy - BC": ope.difference(winner.fqe, bc.fqe),
    }
    second = {
        "policy - behaviour, Monte Carlo": ope.difference(winner.fqe, winner.behaviour),
        "policy - behaviour, WDR": ope.difference(winner.wdr, winner.behaviour),
        "policy - BC, WDR": ope.difference(winner.wdr, bc.wdr),
    }
    return fitted, second


def _doubts(gain: Estimate, second: dict[str, Estimate], misfit: Estimate) -> list[str]:
    """Why a gain over the behaviour policy does not count."""
    doubts = []
    error = abs(misfit.value) if misfit.value is not None and misfit.sign else 0.0
    if gain.lower_bound <= error:
        doubts.append("the gain over the behaviour policy is not shown to be larger than the error of the fit")
    contradiction = next((name for name, other in second.items() if other.sign == -1), "")
    if contradiction:
        doubts.append(f"the two estimators contradict each other ({contradiction}): rely on neither")
    return doubts


def _reasons(
    winner: StoredValue, fitted: dict[str, Estimate], second: dict[str, Estimate], misfit: Estimate
) -> list[str]:
    """The gains of the winner, the error of the fit, and the support of the log, in words."""
    rivals = {"policy - behaviour": "the behaviour policy", "policy - BC": "BC"}
    reasons = [fitted[name].difference_text(f"{winner.name} over {rival}") for name, rival in rivals.items()]
    reasons += [gain.difference_text(f"second estimator, {name}") for name, gain in second.items() if gain.supported]
    if misfit.sign:
        label = "the fitted value of the behaviour policy, less what it earned"
        reasons.append(misfit.difference_text(label, "the fit is off by that much"))
    return [*reasons, ope.support_text(winner.summary["support"], "final")]


def _why_bc(winner: StoredValue | None, gains: dict[str, Estimate]) -> str:
    """Why BC is kept although nothing is shown to be better than the log, and what may show more."""
    lead = "" if winner is None or gains["policy - BC"].sign != 1 else f"{winner.name} beats BC, but "
    return (
        f"{lead}nothing is shown to be better than the behaviour policy. So BC, the cautious imitation of it, is kept. "
        "More episodes (or groups) narrow the intervals, more steps may raise the values"
    )

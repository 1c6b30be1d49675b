"""Why a favourable verdict on an estimated value is not firm, in a few words each."""

from prudent.ope.estimates import OffPolicyValue
from prudent.ope.misfit import exceeds, misfit

MOSTLY_FITTED = 0.5
"""Tail weight above which a value is not firm: more of it is fitted than recorded."""


def reservations(best: OffPolicyValue, seen: bool | None, lost: bool, candidates: int) -> list[str]:
    """What a favourable verdict has against it; none if it is firm.

    ``seen`` says whether the policy was trained on any of the episodes, None if that is unknown; ``lost`` whether the
    reader of the log dropped much of its reward; ``candidates`` counts the estimates of which ``best`` is the highest.
    """
    reasons = {
        "it learned from some of these episodes": seen is True,
        "whether it learned from these episodes is not known": seen is None,
        "the reader of the log dropped much of its reward": lost,
        f"it was chosen as the highest of {candidates} estimates": candidates > 1,
        f"what follows the ends of the recordings has a weight of {100 * best.tail_weight:.0f} %": (
            best.tail_weight > MOSTLY_FITTED
        ),
        "the error of the model of rewards is in no interval": rests_on_a_model(best),
        "the intervals are to first order, without refits": is_first_order(best),
        "the gain is not shown to be larger than the error of the fit": not outweighs_misfit(best),
    }
    return [reason for reason, holds in reasons.items() if holds]


def rests_on_a_model(best: OffPolicyValue) -> bool:
    """Whether single decisions are valued by a model of their rewards alone."""
    return best.one_step and best.lead == "fqe" and best.fqe.supported


def is_first_order(best: OffPolicyValue) -> bool:
    """Whether the intervals of fitted values come without refits."""
    return not best.one_step and best.fqe.method == "influence"


def outweighs_misfit(best: OffPolicyValue) -> bool:
    """Whether the gain over the behaviour policy, if there is one by fitted values, is larger than their error."""
    gain = best.improvement[best.lead]
    if best.lead != "fqe" or gain.sign != 1:
        return True
    return exceeds(gain, misfit(best.fitted_behaviour, best.behaviour))

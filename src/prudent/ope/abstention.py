"""When an estimator has no value, and why: the policy leaves the data, or too few effective episodes are left."""

from prudent.data.columns import counted
from prudent.ope.behaviour import Behaviour
from prudent.ope.episodes import Episodes
from prudent.ope.settings import Settings

FAR_OUTSIDE = 2.0
"""Largest number of actions outside the data, beyond those of the log itself, in an episode of usual discounted length.
With a long horizon a small share of such actions leads far away."""


def outside_reason(outside: float | None, behaviour: Behaviour, episodes: Episodes, settings: Settings) -> str:
    """Why a policy with this share of actions outside the data has no value; empty if it has one.

    ``outside`` is None if only the probabilities of logged actions are known.
    """
    if outside is None:
        return ""
    limit = settings.max_outside
    rare = f"{100 * outside:.0f} % of its actions are rare in the log"
    if outside > limit:
        return f"{rare} (limit {100 * limit:.0f} %)"
    if limit == 1:  # a figure is asked for whatever the policy does
        return ""
    # Of the behaviour policy itself, with three standard errors: in a short log it may well be twice as large.
    usual = behaviour.own_outside + 3 * (behaviour.own_outside / len(episodes.dataset)) ** 0.5
    steps = episodes.usual_steps
    if (outside - usual) * steps > FAR_OUTSIDE:
        limit = usual + FAR_OUTSIDE / steps
        return f"{rare} (limit {100 * limit:.1f} % with {steps:.0f} steps that count)"
    return ""


def too_few(effective: float, unit: str, episodes: Episodes, settings: Settings) -> str:
    """Why weights with this ``effective`` number of units give no value."""
    units, least = episodes.n_units, settings.min_effective
    text = f"effective sample size {effective:.1f} of {counted(units, unit)}, below {least:g}"
    # No policy has more effective units than the log has units.
    return f"{text}, which no policy can reach with so few" if units < least else text

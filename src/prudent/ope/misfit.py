"""The error of a fit, and which gains it leaves standing: one standard for ``prudent tune`` and ``prudent value``."""

from prudent.ope.interval import Estimate, difference


def misfit(fitted_behaviour: Estimate, behaviour: Estimate) -> Estimate:
    """How far the fit is off: its value of the behaviour policy less what the log earned, paired."""
    return difference(fitted_behaviour, behaviour)


def exceeds(gain: Estimate, error: Estimate) -> bool:
    """Whether a gain by fitted values counts: its lower bound is larger than the error of the fit.

    ``error`` is that of :func:`misfit`. Its size counts only if it is shown to differ from 0; the fit may be off by as
    much for a policy.
    """
    size = abs(error.value) if error.value is not None and error.sign else 0.0
    return gain.lower_bound > size

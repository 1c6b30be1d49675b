"""The weight of CQL's gap: alpha, constant or annealed, times a multiplier that can learn to keep the gap at a target.

With ``lagrange`` the critics minimise ``m alpha (gap - target_gap)`` and the multiplier m maximises it; its logarithm
is what learns (Kumar et al. 2020, arXiv 2006.04779, appendix F).
"""

import math

from torch import Tensor

from prudent.algorithms.shared import schedule
from prudent.algorithms.shared.networks import Networks
from prudent.algorithms.shared.updates import State, descend
from prudent.types import Hyper, Metrics

MULTIPLIER_MAX = 1e6


def penalty_weight(networks: Networks, hyper: Hyper, step: int) -> Tensor:
    """The gap's weight (P,): alpha, annealed, times the Lagrange multiplier where it is learned."""
    weight_P = annealed_alpha(hyper, step)
    return weight_P * multiplier(networks).detach() if hyper.lagrange else weight_P


def annealed_alpha(hyper: Hyper, step: int) -> Tensor:
    """Alpha on the straight line to ``alpha_final``, (P,)."""
    if hyper.alpha_final is None:
        return hyper.alpha
    return hyper.alpha.lerp(hyper.alpha_final, schedule.alpha_progress(hyper, step))


def multiplier(networks: Networks) -> Tensor:
    """The multiplier m within [0, MULTIPLIER_MAX], (P,)."""
    return networks["lagrange"]["log"].exp().clamp(0.0, MULTIPLIER_MAX)


def lagrange_loss(networks: Networks, gap_P: Tensor, hyper: Hyper, step: int = 0) -> tuple[Tensor, Metrics]:
    """``-m alpha (gap - target_gap)``, (P,): the critics' penalty with the sign changed, its gap averaged over critics.

    The multiplier grows while the normalised gap, averaged over critics, exceeds its target.
    """
    loss_P = -multiplier(networks) * annealed_alpha(hyper, step) * (gap_P - hyper.target_gap)
    return loss_P, {"lagrange_loss": loss_P}


def update_multiplier(state: State, gap_P: Tensor, hyper: Hyper) -> Metrics:
    """A step of the multiplier, from the normalised gap (P,) in the critics' loss."""

    def loss(networks: Networks) -> tuple[Tensor, Metrics]:
        return lagrange_loss(networks, gap_P, hyper, state.step)

    metrics = descend(state, "lagrange", loss, hyper.lagrange_lr, hyper)
    # The logarithm is bounded too: beyond the clamp it would have no gradient and could not come back.
    state.networks["lagrange"]["log"].clamp_(max=math.log(MULTIPLIER_MAX))
    return metrics

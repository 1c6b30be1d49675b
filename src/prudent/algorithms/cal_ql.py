"""Calibrated Q-learning (Nakamoto et al. 2023, arXiv 2303.05479): CQL that never pushes values below the data's return.

CQL's values can end far below those of any real policy. If training then continues online, ordinary returns look
unusually good, and the policy unlearns what it knew. Here the values of the policy's actions count as at least the
return of the logged behaviour from that state on. So they are pushed down to this return and no further.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prudent.algorithms import cql
from prudent.algorithms.shared.networks import Networks
from prudent.algorithms.shared.settings import own_last
from prudent.algorithms.shared.updates import clone_soft_actor, supervised_step
from prudent.types import Batch, Hyper, Metrics

TITLE, POLICY, NEEDS = "Cal-QL", "gaussian", ("return_to_go",)


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(cql.Config):
    """The settings of CQL. Members may differ in float fields."""


init, draw = cql.init, cql.draw


def critic_loss(
    networks: Networks, batch: Batch, noise: cql.Noise, hyper: Hyper, step: int = 0, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """CQL's loss with :func:`calibrated` values of the proposals (eq. 4.1 of the paper): (P,) and metrics (P,).

    ``bound_rate`` is the share of the policy's proposals whose value lay below the return-to-go.
    """
    if y_PB is None:
        y_PB = cql.target(networks, batch, noise, hyper)
    q_PENB, log_density_PNB = cql.propose(networks, batch, noise, hyper)
    calibrated_PENB, bound_rate_P = calibrated(q_PENB, batch.return_to_go, hyper)
    loss_P, metrics = cql.conservative_loss(networks, batch, y_PB, calibrated_PENB, log_density_PNB, hyper, step)
    return loss_P, metrics | cql.proposal_values(q_PENB, hyper) | {"bound_rate": bound_rate_P}


def calibrated(q_PENB: Tensor, return_PB: Tensor | None, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """``max(Q, G)`` for the proposals of the policy, Q for the uniform ones, and the share (P,) where G was larger.

    G is the return-to-go of the batch row (P, B), the value of the behaviour policy. The maximum is taken before the
    importance weight. A truncated episode is assumed to continue with its last rewards, so a failed episode of a task
    that pays r_min in every step has the return r_min / (1 - gamma), as in the paper.
    """
    assert return_PB is not None, "Cal-QL needs a batch with return_to_go"
    sources = cql.ordered(hyper.proposals)
    q_PEKNB = q_PENB.unflatten(2, (len(sources), -1))
    from_policy_K11 = torch.tensor([s != "uniform" for s in sources], device=q_PENB.device).reshape(-1, 1, 1)
    floor_P111B = return_PB.unflatten(1, (1, 1, 1, -1))
    below_PEKNB = from_policy_K11 & (q_PEKNB < floor_P111B)
    rate_P = below_PEKNB.to(q_PENB.dtype).mean((1, 2, 3, 4)) * len(sources) / from_policy_K11.sum().clamp(min=1)
    return torch.where(below_PEKNB, floor_P111B, q_PEKNB).flatten(2, 3), rate_P


update_critic = cql.conservative_step(critic_loss)
update_supervised = supervised_step(critic_loss, clone_soft_actor)
update_actor, update_target = cql.update_actor, cql.update_target


act, q_value = cql.act, cql.q_value

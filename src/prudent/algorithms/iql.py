"""Implicit Q-Learning (Kostrikov, Nair & Levine 2021, arXiv 2110.06169).

V is an expectile of the critics over the logged actions, the critics learn from V, and the policy clones the log
with weights that grow exponentially with the advantage. No action outside the log is ever evaluated.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from prudent.algorithms.shared import implicit
from prudent.algorithms.shared.networks import Networks, actor_action, q_min
from prudent.algorithms.shared.settings import Implicit, own_first
from prudent.algorithms.shared.updates import actor_step, update_polyak
from prudent.config import check_positive, check_within
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "IQL", "gaussian", ()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Implicit):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    expectile: float = 0.7  # V is this expectile of Q over the logged actions: 0.5 is the mean, near 1 the maximum
    beta: float = 3.0  # inverse temperature of the cloning weights exp(beta * advantage): 0 clones all alike
    max_weight: float = 100.0  # largest cloning weight exp(beta * advantage)

    def __post_init__(self):
        implicit.check_expectile(self)
        check_positive(self, "max_weight")
        check_within(self, 0, math.inf, "beta")
        super().__post_init__()


init = implicit.init


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """IQL samples no actions: it needs no noise."""


def value_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """Expectile regression of V(s) towards ``min_e Qbar_e(s, a)`` (eq. 5); loss (P,) and metrics (P,)."""
    return implicit.expectile_value_loss(networks, batch, implicit.logged_q(networks, batch), hyper)


def actor_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``-mean min(exp(beta (min_e Qbar_e(s, a) - V(s))), max_weight) log pi(a|s)`` (eq. 7); loss (P,), metrics (P,)."""
    scaled_PB = hyper.beta.unsqueeze(-1) * implicit.advantage(networks, batch)
    weight_PB = scaled_PB.exp().minimum(hyper.max_weight.unsqueeze(-1))
    return implicit.weighted_cloning(networks, batch, weight_PB / weight_PB.shape[-1])


update_critic = implicit.critic_step(value_loss)
update_actor = actor_step(actor_loss)
update_supervised = implicit.supervised_step()
act, q_value, update_target = actor_action, q_min, update_polyak

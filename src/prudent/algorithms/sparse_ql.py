"""Sparse Q-learning (Xu et al. 2023, arXiv 2303.15810): implicit value regularisation with a chi-square penalty.

V solves ``E max((q - V) / (2 alpha) + 1, 0) = 1`` over the logged actions: actions with a value below ``V - 2 alpha``
do not count at all. The policy clones the actions that are better than V, in proportion to their advantage.
"""

from dataclasses import dataclass

from torch import Tensor

from prudent.algorithms.shared import implicit
from prudent.algorithms.shared.networks import Networks, actor_action, q_min, state_value
from prudent.algorithms.shared.settings import Implicit, own_first
from prudent.algorithms.shared.updates import actor_step, update_polyak
from prudent.config import check_positive
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "Sparse QL", "gaussian", ()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Implicit):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    alpha: float = 1.0  # strength of the regularisation, in units of Q: small takes the best actions, large the mean
    max_weight: float = 100.0  # largest cloning weight, in units of the advantage

    def __post_init__(self):
        check_positive(self, "alpha", "max_weight")
        super().__post_init__()


init = implicit.init


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """Sparse Q-learning samples no actions: it needs no noise."""


def value_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``mean (1[z > 0] z^2 + V / alpha)``, ``z = (min_e Qbar_e(s, a) - V(s)) / (2 alpha) + 1``; (P,) and metrics."""
    v_PB = state_value(networks, batch.observation)
    alpha_P1 = hyper.alpha.unsqueeze(-1)
    z_PB = (implicit.logged_q(networks, batch) - v_PB) / (2 * alpha_P1) + 1
    loss_P = (z_PB.clamp(min=0).square() + v_PB / alpha_P1).mean(-1)
    return loss_P, {"value_loss": loss_P, "value": v_PB.mean(-1)}


def actor_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``-mean clip(min_e Qbar_e(s, a) - V(s), 0, max_weight) log pi(a|s)``; loss (P,) and metrics (P,)."""
    weight_PB = implicit.advantage(networks, batch).clamp(min=0).minimum(hyper.max_weight.unsqueeze(-1))
    return implicit.weighted_cloning(networks, batch, weight_PB / weight_PB.shape[-1])


update_critic = implicit.critic_step(value_loss)
update_actor = actor_step(actor_loss)
update_supervised = implicit.supervised_step()
act, q_value, update_target = actor_action, q_min, update_polyak

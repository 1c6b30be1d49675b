"""Behaviour cloning: imitates the policy that made the data, by maximum likelihood.

The baseline for everything else: a policy that does not beat it has learned nothing from the rewards. With
``top_fraction`` it is %BC, which clones the best episodes only (Chen et al. 2021, arXiv 2106.01345, section 4).
"""

from dataclasses import dataclass

from torch import Tensor

from prudent.algorithms.shared.losses import data_log_prob
from prudent.algorithms.shared.networks import Networks, actor_action, init_actor
from prudent.algorithms.shared.settings import Shared, own_first
from prudent.algorithms.shared.updates import State, adam_states, cloning_step
from prudent.config import FloatOrAuto, check_positive, check_within
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "BC", "gaussian", ()


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Shared):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    top_fraction: float = 1.0  # learn from the best episodes that make up this share of the rows (%BC); 1 is all rows
    actor_lr: float = 1e-3  # Adam learning rate of the actor
    discount: float = 0.99  # gamma with which evaluation discounts returns; cloning itself does not use it
    reward_scale: FloatOrAuto = 1.0  # rewards are multiplied by this, in evaluation only; auto as in cql
    reward_shift: float = 0.0  # and this is then added

    def __post_init__(self):
        check_positive(self, "top_fraction", "actor_lr")
        check_within(self, 0, 1, "top_fraction")
        super().__post_init__()


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """The actor and its optimiser."""
    networks: Networks = {"actor": init_actor(spec, hyper, rng)}
    return State(networks, adam_states(networks, ("actor",)))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """Cloning needs no noise."""


def actor_loss(networks: Networks, batch: Batch) -> tuple[Tensor, Metrics]:
    """``-log pi(a_data | s)``, (P,)."""
    loss_P = -data_log_prob(networks, batch).mean(-1)
    return loss_P, {"actor_loss": loss_P}


def update_critic(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """Cloning has no critic."""
    return {}


update_actor = cloning_step(actor_loss)


def update_target(state: State, hyper: Hyper) -> None:
    """Cloning has no target network."""


act = actor_action
q_value = None

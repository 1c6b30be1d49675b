"""Conservative implicit Q-learning: IQL's values, a clamped penalty on unlogged actions, softmax-weighted cloning.

V is an expectile of the critics over the logged actions, as in IQL (Kostrikov, Nair & Levine 2021, arXiv 2110.06169).
Negatives are actions that the log did not take in a state. If their mean Q is above that of the logged actions, the
difference is added to the critics' loss.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared import implicit
from prudent.algorithms.shared.losses import td_loss
from prudent.algorithms.shared.networks import Networks, actor_action, q_min
from prudent.algorithms.shared.settings import Implicit, own_first
from prudent.algorithms.shared.updates import State, actor_step, update_polyak
from prudent.config import check_choice, check_positive, check_within
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Spec

TITLE, POLICY, NEEDS = "CIQL", "gaussian", ()

NEGATIVES = ("uniform", "dataset")


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Implicit):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    alpha: float = 1.0  # weight of the penalty on negatives whose Q is above the logged actions'; 0 leaves the TD loss
    n_negatives: int = 10  # negative actions per state
    negatives: Literal["uniform", "dataset"] = "uniform"  # drawn from the action box, or from other rows of the batch
    expectile: float = 0.8  # V is this expectile of Q over the logged actions: 0.5 is the mean, near 1 the maximum
    beta: float = 1.0  # the cloning weights are a softmax over the batch of beta * max(advantage, 0)

    def __post_init__(self):
        implicit.check_expectile(self)
        check_positive(self, "n_negatives")
        check_within(self, 0, math.inf, "alpha", "beta")
        check_choice(self, "negatives", NEGATIVES)
        if self.negatives == "dataset" and self.batch_size < 2:
            raise ConfigError("negatives dataset takes actions of other rows: batch_size must be 2 or more")
        super().__post_init__()


@dataclass(frozen=True)
class Noise:
    """The noise of one step: ``uniform`` actions (P, N, B, A), or the ``row`` (P, N, B) each action is taken from."""

    uniform: Tensor | None
    row: Tensor | None


init = implicit.init


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> Noise:
    """Fresh noise for one step."""
    n, rows = hyper.n_negatives, hyper.batch_size
    if hyper.negatives == "uniform":
        return Noise(rng.uniform(-1, 1, n, rows, spec.action_size), None)
    # A row 1 to B - 1 further on, modulo B: never the row itself.
    distance_PNB = rng.integers(rows - 1, n, rows) + 1
    return Noise(None, (distance_PNB + torch.arange(rows, device=distance_PNB.device)) % rows)


def negative_actions(batch: Batch, noise: Noise) -> Tensor:
    """N actions per state that the log did not take there, (P, N, B, A)."""
    if noise.uniform is not None:
        return noise.uniform
    assert noise.row is not None
    index_PRA = noise.row.flatten(1).unsqueeze(-1).expand(-1, -1, batch.action.shape[-1])
    return batch.action.gather(1, index_PRA).unflatten(1, noise.row.shape[1:])


def penalty(networks: Networks, batch: Batch, noise: Noise, q_PEB: Tensor) -> Tensor:
    """``max(mean_{B,N} Q_e(s, a_neg) - mean_B Q_e(s, a), 0)``, (P, E); ``q_PEB`` are the logged actions' values.

    The means over batch and negatives are inside the clamp. So the penalty is 0 once logged actions have as high a Q as
    the negatives on average, even if they have not in single states.
    """
    q_PENB = nn.critic(networks["critic"], batch.observation, negative_actions(batch, noise))
    return (q_PENB.mean((-2, -1)) - q_PEB.mean(-1)).clamp(min=0)


def critic_loss(
    networks: Networks, batch: Batch, noise: Noise, hyper: Hyper, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """``sum_e [ mean (Q_e(s, a) - y)^2 + alpha penalty_e ]``, y from V unless it is given; loss (P,), metrics (P,)."""
    if y_PB is None:
        y_PB = implicit.target(networks, batch, hyper)
    q_PEB = nn.critic(networks["critic"], batch.observation, batch.action)
    td_P, metrics = td_loss(q_PEB, y_PB)
    penalty_PE = penalty(networks, batch, noise, q_PEB)
    loss_P = td_P + hyper.alpha * penalty_PE.sum(-1)
    return loss_P, metrics | {"critic_loss": loss_P, "penalty": penalty_PE.mean(-1)}


def with_noise(noise: Noise) -> implicit.CriticLoss:
    """:func:`critic_loss` with its noise filled in, in the form that ``shared/implicit.py`` calls."""
    return lambda networks, batch, hyper, y_PB=None: critic_loss(networks, batch, noise, hyper, y_PB)


def value_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """Expectile regression of V(s) towards ``min_e Qbar_e(s, a)``; loss (P,) and metrics (P,)."""
    return implicit.expectile_value_loss(networks, batch, implicit.logged_q(networks, batch), hyper)


def actor_loss(networks: Networks, batch: Batch, hyper: Hyper) -> tuple[Tensor, Metrics]:
    """``-sum_B w log pi(a|s)``, w the softmax over the batch of ``beta max(advantage, 0)``; loss (P,), metrics (P,)."""
    positive_PB = implicit.advantage(networks, batch).clamp(min=0)
    return implicit.weighted_cloning(networks, batch, (hyper.beta.unsqueeze(-1) * positive_PB).softmax(-1))


def update_critic(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of V, then one of the critics with the updated V."""
    return implicit.update_values(state, batch, hyper, value_loss, with_noise(noise))


update_actor = actor_step(actor_loss)


def update_supervised(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step before training (``value_init``): V and critics towards returns-to-go, the actor cloning."""
    return implicit.update_all_supervised(state, batch, hyper, with_noise(noise))


act, q_value, update_target = actor_action, q_min, update_polyak

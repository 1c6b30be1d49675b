"""CQL with a randomised ensemble (REDQ: Chen, Wang, Zhou & Ross 2021, arXiv 2101.05982).

Ten critics with layer normalisation. The target is the minimum over a random subset of them, the conservative penalty
applies to another random subset, every critic learns from the target, and the actor follows their mean. The target has
less noise than a minimum over all critics, but a step costs more.
"""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms import cql
from prudent.algorithms.shared import schedule
from prudent.algorithms.shared.losses import td_metrics
from prudent.algorithms.shared.networks import Networks
from prudent.algorithms.shared.settings import own_last
from prudent.algorithms.shared.updates import State, clone_soft_actor, supervised_step, update_soft_actor
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Params, Spec

TITLE, POLICY, NEEDS = "CQL-REDQ", "gaussian", ()


@own_last
@dataclass(frozen=True, kw_only=True)
class Config(cql.Config):
    """The settings of CQL, two of them with other defaults, and the size of the subsets."""

    n_critics: int = 10  # critics in the ensemble
    subset_size: int = 2  # critics drawn for each target, and again as many for the penalty
    layer_norm: bool = True  # layer normalisation in the critics

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.subset_size <= self.n_critics:
            raise ConfigError(f"subset_size must be 1 to n_critics ({self.n_critics}), got {self.subset_size}")


@dataclass(frozen=True)
class Noise(cql.Noise):
    """CQL's noise, and the critics of the target and of the penalty: int64 (P, subset_size), without repetition."""

    target_subset: Tensor | None = None
    penalty_subset: Tensor | None = None


init = cql.init


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> Noise:
    """Fresh noise for one step."""
    drawn = cql.draw(spec, hyper, rng)
    target_subset, penalty_subset = (
        rng.uniform(0.0, 1.0, hyper.n_critics).argsort(-1)[:, : hyper.subset_size] for _ in range(2)
    )
    cql_noise = {f.name: getattr(drawn, f.name) for f in fields(drawn)}
    return Noise(**cql_noise, target_subset=target_subset, penalty_subset=penalty_subset)


def critic_loss(
    networks: Networks, batch: Batch, noise: Noise, hyper: Hyper, step: int = 0, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """``mean_e (Q_e - y)^2 + weight * mean gap_e``, e over all critics, then over a random subset.

    Returns the loss (P,) and metrics (P,).
    """
    assert noise.target_subset is not None
    assert noise.penalty_subset is not None
    if y_PB is None:
        chosen = subset(networks["target_critic"], noise.target_subset)
        y_PB = cql.target({**networks, "target_critic": chosen}, batch, noise, hyper)
    q_PEB = nn.critic(networks["critic"], batch.observation, batch.action)
    td_PE = (q_PEB - y_PB.unsqueeze(1)).square().mean(-1)
    penalised = {**networks, "critic": subset(networks["critic"], noise.penalty_subset)}
    subset_noise = noise if noise.choice is None else replace(noise, choice=noise.choice[:, : hyper.subset_size])
    q_PeNB, log_density_PNB = cql.propose(penalised, batch, subset_noise, hyper)
    q_PeB = subset({"q": q_PEB}, noise.penalty_subset)["q"]
    gap_PeB, threshold_P, weight_P, gap_metrics = cql.penalty(networks, q_PeB, q_PeNB, log_density_PNB, hyper, step)
    loss_P = td_PE.mean(-1) + weight_P * (gap_PeB.mean((-2, -1)) - threshold_P)
    return loss_P, td_metrics(loss_P, td_PE, q_PEB, y_PB) | gap_metrics


def subset(params: Params, index_Pe: Tensor) -> Params:
    """The critics ``index_Pe`` (P, e) of each member, from parameters (P, E, ...)."""
    rows_P1 = torch.arange(len(index_Pe), device=index_Pe.device).unsqueeze(-1)
    return {name: value[rows_P1, index_Pe] for name, value in params.items()}


def q_mean(networks: Networks, observation: Tensor, action: Tensor) -> Tensor:
    """The mean Q over the ensemble, (P, B): what the actor follows."""
    return nn.critic(networks["critic"], observation, action).mean(1)


update_critic = cql.conservative_step(critic_loss)
update_supervised = supervised_step(critic_loss, clone_soft_actor)


def update_actor(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of the actor along the mean of the critics (cloning the data during the warm-up), then the temperature."""
    clone = schedule.clones(hyper, state.step)
    return update_soft_actor(state, batch, noise.actor, hyper, clone=clone, value=q_mean)


update_target = cql.update_target


act, q_value = cql.act, cql.q_value

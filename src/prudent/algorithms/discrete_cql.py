"""Discrete Conservative Q-Learning (Kumar, Zhou, Tucker & Levine 2020, arXiv 2006.04779): DQN with the CQL(H) gap.

    loss = sum_e [ mean TD_e + alpha * mean gap_e ],  gap_e = LSE_a Q_e(s, a) - Q_e(s, a_data)

The log-sum-exp runs over all allowed actions of a state, exactly: no proposals, no importance weights. Forbidden
actions enter neither it nor the target's maximum nor the policy. TD_e is half the squared error or, with
``n_quantiles`` above 1, the quantile loss of a distributional critic (QR-DQN, Dabney et al. 2017, arXiv 1710.10044),
whose mean is Q. Both have the mean return at their minimum. With ``huber_threshold`` they are Huber losses, which do
not: where errors exceed the threshold, the squared error's minimum moves from the mean towards the median.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared.losses import return_to_go
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.algorithms.shared.networks import Networks, copy, init_discrete_critic
from prudent.algorithms.shared.settings import Critic, own_first
from prudent.algorithms.shared.updates import State, adam_states, descend, update_polyak
from prudent.config import check_positive
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Next, Params, Spec

TITLE, POLICY, NEEDS = "Discrete CQL", "greedy", ()
FORMER_SETTINGS = {"huber_threshold": 1.0}


@own_first()
@dataclass(frozen=True, kw_only=True)
class Config(Critic):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    alpha: float = 1.0  # weight of the conservative gap; 0 is double DQN
    n_quantiles: int = 1  # quantiles of each action's return; 1 learns only its mean, 200 is usual
    huber_threshold: float | None = (
        None  # errors above this count linearly (Huber), which biases Q; none: no Huber loss
    )
    n_critics: int = 1  # critics in the ensemble; Q is their minimum

    def __post_init__(self):
        check_positive(self, "n_quantiles", "huber_threshold")
        if self.alpha < 0:
            raise ConfigError(f"alpha must be at least 0, got {self.alpha}")
        super().__post_init__()


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """Critics, target critics and their optimiser. The policy is greedy and has no network."""
    critic = init_discrete_critic(spec, hyper, rng, hyper.n_quantiles)
    if hyper.n_quantiles > 1:
        critic["quantile"] = torch.zeros_like(critic["b0"][..., :1]).repeat(1, 1, hyper.n_quantiles)
    networks: Networks = {"critic": critic, "target_critic": copy(critic)}
    return State(networks, adam_states(networks, ("critic",)))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> None:
    """Nothing is sampled: log-sum-exp and maximum run over every allowed action."""


# --- values -----------------------------------------------------------------------------------------------------------


def quantiles(critic: Params, observation: Tensor) -> Tensor:
    """The quantiles of each action's return, (P, E, B, A, K), of which Q is the mean; K is 1 for a plain critic.

    The network's A * K outputs have an offset (P, E, K) added, one per quantile for all actions together.
    """
    outputs = nn.mlp(critic, observation.unsqueeze(1))
    if "quantile" not in critic:
        return outputs.unsqueeze(-1)
    offset = critic["quantile"]
    return outputs.unflatten(-1, (-1, offset.shape[-1])) + offset[:, :, None, None]


def q_all(networks: Networks, observation: Tensor) -> Tensor:
    """The smallest Q over the ensemble of every action, (P, B, A)."""
    return quantiles(networks["critic"], observation).mean(-1).amin(1)


def q_value(networks: Networks, observation: Tensor, action: Tensor) -> Tensor:
    """The smallest Q over the ensemble of each action (P, B) int64, (P, B)."""
    return nn.value_of(q_all(networks, observation), action)


def act(
    networks: Networks,
    observation: Tensor,
    noise: Tensor | None = None,  # noqa: ARG001
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The allowed action of the largest Q, (P, B) int64, and its log-probability 0, (P, B); ``noise`` is ignored.

    If Q is NaN, the log-probability is NaN.
    """
    q_PBA = nn.allowed(q_all(networks, observation), mask)
    action_PB = q_PBA.argmax(-1)
    return action_PB, torch.where(nn.value_of(q_PBA, action_PB).isnan(), torch.nan, 0.0)


def _of_action(z_PEBAK: Tensor, action_PB: Tensor) -> Tensor:
    """The quantiles of each row's action, (P, E, B, K)."""
    index = action_PB[:, None, :, None, None].expand(-1, z_PEBAK.shape[1], -1, 1, z_PEBAK.shape[-1])
    return z_PEBAK.gather(3, index).squeeze(3)


# --- critics ----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def target(networks: Networks, batch: Batch, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) Zbar(s', a*)``, over several steps see :mod:`.multi_step`, (P, B, K).

    With a ``trace`` below 1, quantiles of several states are averaged one by one, which keeps their mean.
    """
    # Quantiles first: bootstrap broadcasts over axes to the left of (P, B).
    return bootstrap(batch, lambda after: next_quantiles(networks, after).movedim(-1, 0), hyper).movedim(0, -1)


def next_quantiles(networks: Networks, after: Next) -> Tensor:
    """``Zbar(s', a*)`` with ``a* = argmax_a min_e Q_e(s', a)``, (P, B, K).

    Double DQN (van Hasselt et al. 2015, arXiv 1509.06461): the critics choose among the allowed actions, the targets
    evaluate the choice. Zbar are the quantiles of the target critic with the smallest mean: ``min_e Qbar_e``.
    """
    action_PB, _ = act(networks, after.observation, None, after.mask)
    z_PEBK = _of_action(quantiles(networks["target_critic"], after.observation), action_PB)
    lowest_PB = z_PEBK.mean(-1).argmin(1)
    return z_PEBK.gather(1, lowest_PB[:, None, :, None].expand(-1, -1, -1, z_PEBK.shape[-1])).squeeze(1)


def conservative_gap(q_PEBA: Tensor, action_PB: Tensor, mask_PBA: Tensor | None) -> Tensor:
    """``LSE_a Q_e(s, a) - Q_e(s, a_data)`` over the allowed actions (eq. 4 with all actions summed), (P, E, B)."""
    mask = None if mask_PBA is None else mask_PBA.unsqueeze(1)
    q_data_PEB = nn.value_of(q_PEBA, action_PB.unsqueeze(1).expand(q_PEBA.shape[:-1]))
    return nn.allowed(q_PEBA, mask).logsumexp(-1) - q_data_PEB


def huber(difference: Tensor, threshold_P: Tensor) -> Tensor:
    """``d^2 / 2`` up to ``|d| = t``, ``t (|d| - t / 2)`` beyond: the slope is the difference (P, ...), clipped at t."""
    threshold = threshold_P.reshape(-1, *[1] * (difference.dim() - 1))
    size = difference.abs()
    clipped = size.minimum(threshold)
    return clipped * (size - 0.5 * clipped)


def td_loss(z_PEBK: Tensor, y_PBK: Tensor, threshold_P: Tensor | None) -> Tensor:
    """The loss of one critic's Q or, for several quantiles, of its quantiles, (P, E, B).

    Without a threshold: ``(y - z)^2 / 2``, or the quantile loss ``sum_i mean_j |tau_i - 1[y_j < z_i]| |y_j - z_i|``
    with ``tau_i = (i - 1/2) / K`` (1710.10044, eq. 8, kappa 0). With the threshold t: ``huber(y - z)``, or
    ``huber(y_j - z_i) / t`` in place of ``|y_j - z_i|`` (eq. 10 and algorithm 1 with kappa t). The squared error is
    the limit of a large t, the quantile loss that of a small t.
    """
    count = z_PEBK.shape[-1]
    if count == 1:
        difference = y_PBK.unsqueeze(1) - z_PEBK
        return (0.5 * difference.square() if threshold_P is None else huber(difference, threshold_P)).mean(-1)
    tau_K1 = ((torch.arange(count, dtype=z_PEBK.dtype, device=z_PEBK.device) + 0.5) / count).unsqueeze(-1)
    difference = y_PBK[:, None, :, None, :] - z_PEBK.unsqueeze(-1)
    weight = torch.where(difference < 0, 1 - tau_K1, tau_K1)
    if threshold_P is None:
        size = difference.abs()
    else:
        size = huber(difference, threshold_P) / threshold_P.reshape(-1, 1, 1, 1, 1)
    return (weight * size).mean(-1).sum(-1)


def critic_loss(networks: Networks, batch: Batch, hyper: Hyper, y_PBK: Tensor | None = None) -> tuple[Tensor, Metrics]:
    """``sum_e [mean TD_e + alpha mean gap_e]``, y from :func:`target` unless it is given.

    Returns the loss (P,) and metrics (P,).
    """
    if y_PBK is None:
        y_PBK = target(networks, batch, hyper)
    z_PEBAK = quantiles(networks["critic"], batch.observation)
    z_data_PEBK = _of_action(z_PEBAK, batch.action)
    td_PE = td_loss(z_data_PEBK, y_PBK, hyper.huber_threshold).mean(-1)
    gap_PE = conservative_gap(z_PEBAK.mean(-1), batch.action, batch.mask).mean(-1)
    loss_P = (td_PE + hyper.alpha.unsqueeze(-1) * gap_PE).sum(-1)
    return loss_P, {
        "critic_loss": loss_P,
        "td_error": td_PE.mean(-1),
        "cql_gap": gap_PE.mean(-1),
        "q_data": z_data_PEBK.mean((-3, -2, -1)),
        "target": y_PBK.mean((-2, -1)),
        "alpha": hyper.alpha,
    }


# --- updates ----------------------------------------------------------------------------------------------------------


def update_critic(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """A step of the critics."""
    return descend(state, "critic", lambda networks: critic_loss(networks, batch, hyper), hyper.critic_lr, hyper)


def update_supervised(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """A step before training (``value_init``): the critics' loss with the return-to-go for y."""
    y_PBK = return_to_go(batch).unsqueeze(-1)
    return descend(state, "critic", lambda networks: critic_loss(networks, batch, hyper, y_PBK), hyper.critic_lr, hyper)


def update_actor(state: State, batch: Batch, noise: None, hyper: Hyper) -> Metrics:  # noqa: ARG001
    """Nothing: the policy is greedy and has no network."""
    return {}


update_target = update_polyak

"""Conservative Q-Learning (Kumar, Zhou, Tucker & Levine 2020, arXiv 2006.04779).

Soft actor-critic whose critics are also pushed down at the policy's actions and up at the logged actions, so that they
do not overestimate the learned policy. With the default settings a step minimises, for each of the two critics,

    mean (Q(s, a) - y)^2 + 5 mean [ log sum_j exp(Q(s, a_j) - log p(a_j)) - Q(s, a) ]
    y = r + 0.99^dt (1 - terminated) min_e Qbar_e(s', a'),  a' ~ pi(.|s')

over the rows (s, a, r, s') of a batch, with 30 proposals a_j: 10 uniform ones, 10 of pi(.|s) and 10 of pi(.|s'). Then
it minimises ``mean [tau log pi(a|s) - min_e Q_e(s, a)]`` for the policy and ``log tau * (entropy + A)`` for the
temperature tau, A being the number of action features, and moves the target critics Qbar by 0.005. Shapes follow the
legend in :mod:`prudent.types`; random draws come in through ``noise``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from prudent import nn
from prudent.algorithms.shared import lagrange, schedule
from prudent.algorithms.shared.losses import init_temperature, td_metrics, temperature
from prudent.algorithms.shared.multi_step import bootstrap, repeated
from prudent.algorithms.shared.networks import Networks, actor_action, init_actor_critic, q_min
from prudent.algorithms.shared.sampled_gradient import sampled_values
from prudent.algorithms.shared.settings import SoftActorCritic, own_first
from prudent.algorithms.shared.updates import (
    State,
    Update,
    adam_states,
    clone_soft_actor,
    descend,
    supervised_step,
    update_polyak,
    update_soft_actor,
)
from prudent.config import check_choice, check_positive, check_within
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Next, Spec

TITLE, POLICY, NEEDS = "CQL", "gaussian", ()
BACKUPS = ("min", "entropy", "max", "soft")
GRADIENTS = ("exact", "sampled")
PROPOSALS = ("uniform", "policy", "next_policy")


@own_first(
    "temperature",
    "learn_temperature",
    "target_entropy",
    "temperature_lr",
    "bc_warmup_steps",
    "bc_weight",
    "actor_period",
    "target_period",
)
@dataclass(frozen=True, kw_only=True)
class Config(SoftActorCritic):
    """Own settings; ``shared/settings.py`` has the others. Members of a population may differ in float fields."""

    alpha: float = 5.0  # weight of the conservative gap, in units of the values; prudent data describe suggests one
    alpha_final: float | None = None  # anneal alpha linearly to this value; none keeps it constant
    alpha_anneal_steps: int = 0  # steps over which alpha reaches alpha_final
    lagrange: bool = False  # learn a multiplier of alpha so that the gap meets target_gap
    target_gap: float = 0.8  # the gap minus T log N (cql_gap_normalized) that the multiplier aims at
    lagrange_lr: float = 3e-4  # learning rate of the logarithm of the multiplier
    n_actions: int = 10  # actions drawn per proposal distribution and state
    proposals: tuple[str, ...] = PROPOSALS  # which distributions propose actions: uniform, policy, next_policy
    importance_sampling: bool = True  # subtract each proposal's log-density: CQL(H); off is like CQL(rho)
    cql_temperature: float = 1.0  # T of the log-sum-exp and of the soft backup
    gap_clip: tuple[float, float] | None = None  # clip each state's gap (cql_gap) to (min, max)
    gradient: Literal["exact", "sampled"] = "exact"  # through all proposals, or unbiased through a few sampled ones
    gradient_samples: int = 4  # proposals per state and critic that the sampled gradient goes through
    backup: Literal["min", "entropy", "max", "soft"] = "min"  # value of the next state in the target
    bc_warmup_steps: int = 0  # steps in which the actor clones the data instead of following the critic
    bc_weight: float | None = None  # afterwards, weight of (mode - logged action)^2 times mean |Q|; TD3+BC's is 0.4

    def __post_init__(self):
        check_choice(self, "backup", BACKUPS)
        check_choice(self, "gradient", GRADIENTS)
        check_positive(self, "n_actions", "cql_temperature", "lagrange_lr", "gradient_samples")
        check_within(self, 0, math.inf, "bc_warmup_steps", "alpha_anneal_steps", "bc_weight")
        if not self.alpha >= 0 or (self.alpha_final is not None and not self.alpha_final >= 0):
            raise ConfigError(f"alpha must not be negative, got {self.alpha} (alpha_final {self.alpha_final})")
        if (self.alpha_final is None) != (self.alpha_anneal_steps == 0):
            raise ConfigError("alpha_final and alpha_anneal_steps go together: give both or neither")
        named = set(self.proposals)
        if not named or named - set(PROPOSALS) or len(named) < len(self.proposals):
            raise ConfigError(f"proposals must be some of {', '.join(PROPOSALS)}, got {', '.join(self.proposals)!r}")
        if self.gap_clip is not None and not (len(self.gap_clip) == 2 and self.gap_clip[0] < self.gap_clip[1]):
            raise ConfigError(f"gap_clip must be (min, max) with min < max, got {self.gap_clip}")
        super().__post_init__()


@dataclass(frozen=True)
class Noise:
    """The random numbers of one step: standard normal, except ``uniform`` on [-1, 1] and ``choice`` on [0, 1)."""

    next_action: Tensor  # (P, B, A) for one a' per state, (P, N, B, A) with the max and soft backups
    actor: Tensor  # (P, B, A)
    uniform: Tensor | None = None  # (P, N, B, A)
    policy: Tensor | None = None  # (P, N, B, A)
    next_policy: Tensor | None = None  # (P, N, B, A)
    choice: Tensor | None = None  # (P, E, N', B): which N' proposals the sampled gradient goes through


def init(spec: Spec, hyper: Hyper, rng: MemberRng) -> State:
    """Actor, critics and their targets, temperature and the Lagrange multiplier, with their optimisers."""
    networks = init_actor_critic(spec, hyper, rng)
    networks["temperature"] = init_temperature(hyper)
    networks["lagrange"] = {"log": torch.zeros_like(hyper.alpha)}
    return State(networks, adam_states(networks, ("actor", "critic", "temperature", "lagrange")))


def draw(spec: Spec, hyper: Hyper, rng: MemberRng) -> Noise:
    """Fresh noise for one step."""
    one = (hyper.batch_size, spec.action_size)
    many = (hyper.n_actions, *one)
    return Noise(
        next_action=rng.normal(*(many if hyper.backup in ("max", "soft") else one)),
        actor=rng.normal(*one),
        uniform=rng.uniform(-1.0, 1.0, *many) if "uniform" in hyper.proposals else None,
        policy=rng.normal(*many) if "policy" in hyper.proposals else None,
        next_policy=rng.normal(*many) if "next_policy" in hyper.proposals else None,
        choice=rng.uniform(0.0, 1.0, hyper.n_critics, hyper.gradient_samples, hyper.batch_size)
        if hyper.gradient == "sampled"
        else None,
    )


# --- the mathematics --------------------------------------------------------------------------------------------------


def critic_loss(
    networks: Networks, batch: Batch, noise: Noise, hyper: Hyper, step: int = 0, y_PB: Tensor | None = None
) -> tuple[Tensor, Metrics]:
    """:func:`conservative_loss` with y from :func:`target` unless y is given, and actions from :func:`propose`."""
    if y_PB is None:
        y_PB = target(networks, batch, noise, hyper)
    return conservative_loss(networks, batch, y_PB, *propose(networks, batch, noise, hyper), hyper, step)


def conservative_loss(
    networks: Networks, batch: Batch, y_PB: Tensor, q_PENB: Tensor, log_density_PNB: Tensor, hyper: Hyper, step: int
) -> tuple[Tensor, Metrics]:
    """``sum_e [ mean (Q_e - y)^2 + weight * (mean gap_e - threshold) ]``, CQL(H): twice eq. 4 of the paper, so alpha is
    twice the paper's. The threshold is 0 without ``lagrange``. Returns the loss (P,) and metrics (P,)."""
    q_PEB = nn.critic(networks["critic"], batch.observation, batch.action)
    td_PE = (q_PEB - y_PB.unsqueeze(1)).square().mean(-1)
    gap_PEB, threshold_P, weight_P, gap_metrics = penalty(networks, q_PEB, q_PENB, log_density_PNB, hyper, step)
    penalised_PE = gap_PEB.mean(-1) - threshold_P.unsqueeze(-1)
    loss_P = (td_PE + weight_P.unsqueeze(-1) * penalised_PE).sum(-1)
    metrics = td_metrics(loss_P, td_PE, q_PEB, y_PB)
    return loss_P, metrics | gap_metrics


def penalty(
    networks: Networks, q_PEB: Tensor, q_PENB: Tensor, log_density_PNB: Tensor, hyper: Hyper, step: int
) -> tuple[Tensor, Tensor, Tensor, Metrics]:
    """The gap (P, E, B) that the critics pay for, the threshold (P,) subtracted from it, its weight (P,), and metrics.

    With ``lagrange`` it is the normalised gap beyond ``target_gap``, else the gap in its first convention.
    """
    gap_PEB, normalized_PEB = conservative_gap(q_PEB, q_PENB, log_density_PNB, hyper)
    weight_P = lagrange.penalty_weight(networks, hyper, step)
    metrics = {
        "cql_gap": gap_PEB.mean((-2, -1)),
        "cql_gap_normalized": normalized_PEB.mean((-2, -1)),
        "alpha": weight_P,
    } | proposal_values(q_PENB, hyper)
    if hyper.lagrange:
        return normalized_PEB, hyper.target_gap, weight_P, metrics
    return gap_PEB, torch.zeros_like(weight_P), weight_P, metrics


def proposal_values(q_PENB: Tensor, hyper: Hyper) -> Metrics:
    """The mean Q (P,) of the proposals of each source."""
    by_source = q_PENB.unflatten(2, (-1, hyper.n_actions)).mean((1, -2, -1))
    return {Q_METRICS[source]: by_source[:, k] for k, source in enumerate(ordered(hyper.proposals))}


@torch.no_grad()
def target(networks: Networks, batch: Batch, noise: Noise, hyper: Hyper) -> Tensor:
    """``y = r + gamma^dt (1 - terminated) V(s')``, over several steps see :mod:`.multi_step`, (P, B)."""
    return bootstrap(batch, lambda after: next_value(networks, after, noise, hyper), hyper)


def next_value(networks: Networks, after: Next, noise: Noise, hyper: Hyper) -> Tensor:
    """V(s') by ``backup``, (P, B).

    ``soft`` is that of soft Q-learning (Haarnoja et al. 2017, arXiv 1702.08165, eq. 10):
    ``T [ LSE_j( Qbar(s', a_j) / T - log pi(a_j|s') ) - log N ]``, a_j ~ pi(.|s').
    """
    mean, log_std = nn.tanh_gaussian(networks["actor"], after.observation)
    several = hyper.backup in ("max", "soft")
    if several:
        mean, log_std = mean.unsqueeze(1), log_std.unsqueeze(1)
    action, log_prob = nn.sample_tanh_gaussian(mean, log_std, repeated(noise.next_action, after.observation))
    q = nn.critic(networks["target_critic"], after.observation, action).amin(1)  # (P, B), or (P, N, B)
    if hyper.backup == "entropy":
        return q - temperature(networks).unsqueeze(-1) * log_prob
    if hyper.backup == "max":
        return q.amax(1)
    if hyper.backup == "soft":
        t_P1 = hyper.cql_temperature.unsqueeze(-1)
        return t_P1 * (torch.logsumexp(q / t_P1.unsqueeze(-1) - log_prob, dim=1) - math.log(hyper.n_actions))
    return q


def propose(networks: Networks, batch: Batch, noise: Noise, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Q-values (P, E, N, B) of all proposed actions and the proposals' log-densities (P, N, B).

    Actions come from the uniform distribution on [-1, 1]^A, from pi(.|s) and from pi(.|s'); all are valued at s, each
    with its log-density under the distribution and the state it was drawn from. No gradient reaches the actor.
    """
    actions, log_densities = [], []
    with torch.no_grad():
        if noise.uniform is not None:
            actions.append(noise.uniform)
            log_densities.append(torch.full_like(noise.uniform[..., 0], -noise.uniform.shape[-1] * math.log(2)))
        for draws, observation in ((noise.policy, batch.observation), (noise.next_policy, batch.next_observation)):
            if draws is not None:
                mean, log_std = nn.tanh_gaussian(networks["actor"], observation)
                action, log_prob = nn.sample_tanh_gaussian(mean.unsqueeze(1), log_std.unsqueeze(1), draws)
                actions.append(action)
                log_densities.append(log_prob)
    action_PNBA, log_density_PNB = torch.cat(actions, dim=1), torch.cat(log_densities, dim=1)
    if noise.choice is None:
        return nn.critic(networks["critic"], batch.observation, action_PNBA), log_density_PNB
    return sampled_values(networks, batch, action_PNBA, log_density_PNB, noise.choice, hyper), log_density_PNB


def conservative_gap(q_PEB: Tensor, q_PENB: Tensor, log_density_PNB: Tensor, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """``T LSE_j(Q_e(s, a_j) / T - log p_j) - Q_e(s, a_data)`` per critic and state, (P, E, B), in two conventions.

    The first omits ``T log N`` as the reference implementation does, which changes no gradient; the second subtracts
    it, so that a threshold means the same for every number of proposals. Without importance sampling the log-sum-exp
    runs over the unweighted proposals and the data action.
    """
    t_P111 = hyper.cql_temperature.reshape(-1, 1, 1, 1)
    if hyper.importance_sampling:
        logits_PENB = q_PENB / t_P111 - log_density_PNB.unsqueeze(1)
    else:
        logits_PENB = torch.cat([q_PENB, q_PEB.unsqueeze(2)], dim=2) / t_P111
    t_P11 = t_P111.squeeze(-1)
    gap_PEB = t_P11 * torch.logsumexp(logits_PENB, dim=2) - q_PEB
    if hyper.gap_clip is not None:
        gap_PEB = gap_PEB.clamp(*hyper.gap_clip)
    return gap_PEB, gap_PEB - t_P11 * math.log(logits_PENB.shape[2])


CriticLoss = Callable[[Networks, Batch, Any, Hyper, int], tuple[Tensor, Metrics]]
"""A critics' loss with the arguments of :func:`critic_loss`."""


# --- one step ---------------------------------------------------------------------------------------------------------


def conservative_step(loss: CriticLoss) -> Update:
    """``update_critic`` from the critics' loss: :func:`critic_loss`, or that of an algorithm which extends CQL."""

    def update_critic(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
        """A step of the critics, then of the Lagrange multiplier where it is learned, from the gap the critics had."""
        metrics = descend(
            state, "critic", lambda nets: loss(nets, batch, noise, hyper, state.step), hyper.critic_lr, hyper
        )
        if hyper.lagrange:
            metrics |= lagrange.update_multiplier(state, metrics["cql_gap_normalized"], hyper)
        return metrics

    return update_critic


update_critic = conservative_step(critic_loss)
update_supervised = supervised_step(critic_loss, clone_soft_actor)


def update_actor(state: State, batch: Batch, noise: Noise, hyper: Hyper) -> Metrics:
    """A step of the actor (cloning the data during the warm-up), then of the temperature."""
    return update_soft_actor(state, batch, noise.actor, hyper, clone=schedule.clones(hyper, state.step))


def ordered(proposals: tuple[str, ...]) -> list[str]:
    """The proposal sources in the order in which :func:`propose` lays them out."""
    return [source for source in PROPOSALS if source in proposals]


Q_METRICS = {"uniform": "q_random", "policy": "q_policy", "next_policy": "q_next_policy"}
act, q_value, update_target = actor_action, q_min, update_polyak

"""What three or more algorithms share: the training state, the tanh-Gaussian actor, Bellman pieces, first values.

Every algorithm file exports ``Config``, ``init``, ``draw``, ``update_critic``, ``update_actor``, ``update_target``,
``update``, ``act`` and ``q_value`` (None without a critic); see :mod:`prudent.algorithms`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from prudent import nn, optim
from prudent.algorithms import _schedule
from prudent.config import check_choice, check_positive, check_within
from prudent.errors import ConfigError
from prudent.rng import MemberRng
from prudent.types import Batch, Hyper, Metrics, Params, Spec

Networks = dict[str, Params]

VALUE_INITS = ("zero", "constant", "regression")


@dataclass
class State:
    """Everything that training changes: parameters by network, Adam's moments by network, steps taken."""

    networks: Networks
    optimizers: dict[str, optim.AdamState] = field(default_factory=dict)
    step: int = 0


def check_shared(config: Any) -> None:
    """Ranges of the settings that every algorithm has."""
    check_positive(config, "batch_size", "max_grad_norm", *(("actor_lr",) if hasattr(config, "actor_lr") else ()))
    check_positive(config, "reward_scale")
    if not 0 <= config.discount < 1:
        raise ConfigError(f"discount must lie within [0, 1), got {config.discount}")
    if not config.hidden or min(config.hidden) < 1:
        raise ConfigError(f"hidden must be one or more layer widths, got {config.hidden}")


def check_critic(config: Any) -> None:
    """Ranges of the settings that every algorithm with a critic has."""
    check_positive(config, "critic_lr", "n_critics", "target_period")
    check_within(config, 0, 1, "polyak")
    check_choice(config, "value_init", VALUE_INITS)


# --- networks ---------------------------------------------------------------------------------------------------------


def init_actor(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A tanh-Gaussian actor: S -> hidden -> mean and log standard deviation (2 A)."""
    return nn.init_mlp(
        rng, (spec.observation_size, *hyper.hidden, 2 * spec.action_size), orthogonal=hyper.orthogonal_init
    )


def init_critic(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """An ensemble of critics: S + A -> hidden -> 1, the output bias at zero so that values start there."""
    sizes = (spec.observation_size + spec.action_size, *hyper.hidden, 1)
    params = nn.init_mlp(rng, sizes, hyper.n_critics, layer_norm=hyper.layer_norm, orthogonal=hyper.orthogonal_init)
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_value(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A state-value network V: S -> hidden -> 1, its output bias at zero as that of the critics."""
    params = nn.init_mlp(rng, (spec.observation_size, *hyper.hidden, 1), orthogonal=hyper.orthogonal_init)
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_discrete_actor(spec: Spec, hyper: Hyper, rng: MemberRng) -> Params:
    """A categorical actor: S -> hidden -> a logit per action."""
    return nn.init_mlp(rng, (spec.observation_size, *hyper.hidden, spec.action_size), orthogonal=hyper.orthogonal_init)


def init_discrete_critic(spec: Spec, hyper: Hyper, rng: MemberRng, n_outputs: int = 1) -> Params:
    """An ensemble of critics over discrete actions: S -> hidden -> A (times ``n_outputs``), the output bias at zero."""
    sizes = (spec.observation_size, *hyper.hidden, spec.action_size * n_outputs)
    params = nn.init_mlp(rng, sizes, hyper.n_critics, layer_norm=hyper.layer_norm, orthogonal=hyper.orthogonal_init)
    params[f"b{len(hyper.hidden)}"].zero_()
    return params


def init_actor_critic(spec: Spec, hyper: Hyper, rng: MemberRng) -> Networks:
    """Actor, critics and the critics' target, for continuous or for discrete actions, whichever the data have."""
    critic = init_discrete_critic(spec, hyper, rng) if spec.discrete else init_critic(spec, hyper, rng)
    actor = init_discrete_actor(spec, hyper, rng) if spec.discrete else init_actor(spec, hyper, rng)
    return {"actor": actor, "critic": critic, "target_critic": copy(critic)}


def copy(params: Params) -> Params:
    """The same parameters in storage of their own: a target network."""
    return {name: p.clone() for name, p in params.items()}


def actor_action(networks: Networks, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Action (P, B, A) in [-1, 1] and its log-probability (P, B).

    ``noise`` (P, B, A) is standard normal for a sample; None gives the deterministic action ``tanh(mean)``.
    """
    mean, log_std = nn.tanh_gaussian(networks["actor"], observation)
    return nn.sample_tanh_gaussian(mean, log_std, torch.zeros_like(mean) if noise is None else noise)


def categorical_action(
    networks: Networks, observation: Tensor, noise: Tensor | None = None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Discrete action (P, B) int64 and its log-probability (P, B) under a categorical actor.

    ``noise`` (P, B, A) is uniform on [0, 1) for a sample; None gives the likeliest action. ``mask`` (P, B, A) bool says
    which actions are allowed; the others have probability exactly 0.
    """
    log_prob_PBA = nn.log_prob_categorical(nn.mlp(networks["actor"], observation), mask)
    action_PB = nn.sample_categorical(log_prob_PBA, noise)
    return action_PB, nn.value_of(log_prob_PBA, action_PB)


def state_value(networks: Networks, observation: Tensor) -> Tensor:
    """V(s), (P, B)."""
    return nn.mlp(networks["value"], observation).squeeze(-1)


def q_min(networks: Networks, observation: Tensor, action: Tensor) -> Tensor:
    """The smallest Q over the ensemble, (P, B)."""
    return nn.critic(networks["critic"], observation, action).amin(1)


Value = Callable[[Networks, Tensor, Tensor], Tensor]
"""What an actor maximises: networks, observation (P, B, S), action (P, B, A) -> (P, B)."""


# --- pieces of losses -------------------------------------------------------------------------------------------------


def temperature(networks: Networks) -> Tensor:
    """The entropy temperature tau, (P,)."""
    return networks["temperature"]["log"].exp()


def init_temperature(hyper: Hyper) -> Params:
    """The logarithm of the starting temperature, one number per member."""
    return {"log": hyper.temperature.log()}


def bootstrap(batch: Batch, value_PB: Tensor, hyper: Hyper) -> Tensor:
    """``r + gamma^dt (1 - terminated) V(s')``, (P, B): never through a termination, always through a truncation."""
    discount_P1 = hyper.discount.unsqueeze(-1)
    discount_PB = discount_P1 if batch.dt is None else discount_P1**batch.dt
    return batch.reward + discount_PB * torch.where(batch.terminated, 0.0, value_PB)


def td_loss(q_PEB: Tensor, y_PB: Tensor) -> tuple[Tensor, Metrics]:
    """``sum_e mean (Q_e - y)^2``, (P,), and its metrics."""
    td_PE = (q_PEB - y_PB.unsqueeze(1)).square().mean(-1)
    loss_P = td_PE.sum(-1)
    return loss_P, {
        "critic_loss": loss_P,
        "td_error": td_PE.mean(-1),
        "q_data": q_PEB.mean((-2, -1)),
        "target": y_PB.mean(-1),
    }


def bellman_loss(
    target: Callable[[Networks, Batch, Any, Hyper], Tensor],
    networks: Networks,
    batch: Batch,
    noise: Any,
    hyper: Hyper,
    y_PB: Tensor | None = None,
) -> tuple[Tensor, Metrics]:
    """:func:`td_loss` of the logged actions, y from the algorithm's ``target`` unless it is given."""
    if y_PB is None:
        y_PB = target(networks, batch, noise, hyper)
    return td_loss(nn.critic(networks["critic"], batch.observation, batch.action), y_PB)


def return_to_go(batch: Batch) -> Tensor:
    """The returns-to-go (P, B), which take the Bellman target's place in a supervised step."""
    assert batch.return_to_go is not None, "a supervised step needs a batch with return_to_go"
    return batch.return_to_go


def expectile_loss(q_PB: Tensor, v_PB: Tensor, expectile_P: Tensor) -> Tensor:
    """``mean |expectile - 1[q < v]| (q - v)^2``, (P,): least at that expectile of q (IQL, 2110.06169, eq. 5)."""
    difference_PB = q_PB - v_PB
    weight_PB = torch.where(difference_PB < 0, 1 - expectile_P.unsqueeze(-1), expectile_P.unsqueeze(-1))
    return (weight_PB * difference_PB.square()).mean(-1)


def data_log_prob(networks: Networks, batch: Batch) -> Tensor:
    """``log pi(a_data|s)`` under a tanh-Gaussian actor, (P, B)."""
    mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
    return nn.log_prob_tanh_gaussian(mean, log_std, batch.action)


def soft_actor_loss(
    networks: Networks, batch: Batch, noise: Tensor, clone: bool, value: Value = q_min
) -> tuple[Tensor, Metrics]:
    """``tau log pi(a|s) - min_E Q(s, a)``, a ~ pi(.|s) (SAC, 1812.05905, eq. 7); loss (P,).

    ``value`` may combine the critics otherwise. With ``clone`` the critic's term gives way to ``-log pi(a_data|s)``:
    behaviour cloning for a warm-up.
    """
    mean, log_std = nn.tanh_gaussian(networks["actor"], batch.observation)
    action, log_prob_PB = nn.sample_tanh_gaussian(mean, log_std, noise)
    if clone:
        score_PB = nn.log_prob_tanh_gaussian(mean, log_std, batch.action)
    else:
        score_PB = value(networks, batch.observation, action)
    tau_P1 = temperature(networks).detach().unsqueeze(-1)
    loss_P = (tau_P1 * log_prob_PB - score_PB).mean(-1)
    return loss_P, {"actor_loss": loss_P, "entropy": -log_prob_PB.mean(-1)}


def temperature_loss(networks: Networks, entropy_P: Tensor, target_entropy: Tensor | float) -> tuple[Tensor, Metrics]:
    """``-log_tau (log pi + target entropy)``, (P,): raises tau while the entropy is below its target."""
    loss_P = networks["temperature"]["log"] * (entropy_P - target_entropy)
    return loss_P, {"temperature_loss": loss_P, "temperature": temperature(networks)}


# --- updates ----------------------------------------------------------------------------------------------------------


def descend(
    state: State, name: str, loss: Callable[[Networks], tuple[Tensor, Metrics]], lr_P: Tensor, hyper: Hyper
) -> Metrics:
    """One Adam step on network ``name`` along the gradient of ``loss(networks)``."""
    found, metrics = optim.gradients(lambda leaves: loss({**state.networks, name: leaves}), state.networks[name])
    optim.adam_step(state.networks[name], found, state.optimizers[name], lr_P, hyper.max_grad_norm)
    return metrics


def update_soft_actor(
    state: State, batch: Batch, noise: Tensor, hyper: Hyper, clone: bool = False, value: Value = q_min
) -> Metrics:
    """A step of the actor, then one of the temperature where it is learned."""
    metrics = descend(
        state, "actor", lambda networks: soft_actor_loss(networks, batch, noise, clone, value), hyper.actor_lr, hyper
    )
    if hyper.learn_temperature:
        target = -float(batch.action.shape[-1]) if hyper.target_entropy is None else hyper.target_entropy
        entropy_P = metrics["entropy"]
        metrics |= descend(
            state,
            "temperature",
            lambda networks: temperature_loss(networks, entropy_P, target),
            hyper.temperature_lr,
            hyper,
        )
    return metrics


def actor_critic_step(state: State, batch: Batch, noise: Any, hyper: Hyper, update_critic, update_actor) -> Metrics:
    """Critics, then the actor with the updated critics and its temperature, then the targets, by their periods."""
    metrics = update_critic(state, batch, noise, hyper)
    if _schedule.acts(hyper, state.step):
        metrics |= update_actor(state, batch, noise, hyper)
    if _schedule.targets_follow(hyper, state.step):
        update_polyak(state, hyper)
    state.step += 1
    return metrics


def update_polyak(state: State, hyper: Hyper) -> None:
    """Every target network moves towards the network it is named after."""
    for name, params in state.networks.items():
        if name.startswith("target_"):
            optim.polyak(params, state.networks[name.removeprefix("target_")], hyper.polyak)


# --- first values -----------------------------------------------------------------------------------------------------


def initialise_values(
    state: State, mean_return_P: Tensor, supervised_steps: Iterator[Callable[[], Metrics]], hyper: Hyper
) -> Metrics:
    """Start the critics from Monte-Carlo returns instead of from zero (``value_init``).

    From zero, Q climbs with time constant ``1 / (polyak (1 - gamma))``: 20 000 steps at the defaults, so a shorter run
    has learned no values. ``constant`` sets the output bias of critics, and of a value network where there is one, to
    ``mean_return_P`` (P,), the data's mean return-to-go.
    ``regression`` then takes ``value_init_steps`` supervised steps, each a call of an item of ``supervised_steps``: the
    algorithm's own critic loss with the return-to-go in the Bellman target's place, and an actor that clones, so that
    learning starts from the behaviour and its values (supervised pre-training of both: Jelley et al. 2024, "Efficient
    Offline RL: The Critic is Critical"). Targets follow; Adam's moments start afresh. Returns the last step's metrics.
    """
    if hyper.value_init == "zero":
        return {}
    for name in ("critic", "value"):
        if name in state.networks:
            bias = state.networks[name][f"b{len(hyper.hidden)}"]
            bias += optim.per_member(mean_return_P, bias)
    metrics: Metrics = {}
    if hyper.value_init == "regression":
        for _ in range(hyper.value_init_steps):
            metrics = next(supervised_steps)()
    for name in state.networks:
        if name.startswith("target_"):
            state.networks[name] = copy(state.networks[name.removeprefix("target_")])
    state.optimizers |= adam_states(state.networks, list(state.optimizers))
    return metrics


def adam_states(networks: Networks, names: Sequence[str]) -> dict[str, optim.AdamState]:
    """Fresh optimiser states for the named networks."""
    return {name: optim.adam_init(networks[name]) for name in names}

"""The training state, and the steps that change it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from prudent.algorithms.shared import schedule
from prudent.algorithms.shared.losses import Value, soft_actor_loss, temperature_loss
from prudent.algorithms.shared.networks import Networks, copy, q_min
from prudent.nn import optim
from prudent.types import Batch, Hyper, Metrics


@dataclass
class State:
    """Everything that training changes: parameters by network, Adam's moments by network, steps taken."""

    networks: Networks
    optimizers: dict[str, optim.AdamState] = field(default_factory=dict)
    step: int = 0


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
    if schedule.acts(hyper, state.step):
        metrics |= update_actor(state, batch, noise, hyper)
    if schedule.targets_follow(hyper, state.step):
        update_polyak(state, hyper)
    state.step += 1
    return metrics


def update_polyak(state: State, hyper: Hyper) -> None:
    """Every target network moves towards the network it is named after."""
    for name, params in state.networks.items():
        if name.startswith("target_"):
            optim.polyak(params, state.networks[name.removeprefix("target_")], hyper.polyak)


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

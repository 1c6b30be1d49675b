"""The training state, the steps that change it, and functions that make an algorithm's update functions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from prudent.algorithms.shared.losses import Value, return_to_go, soft_actor_loss, temperature_loss
from prudent.algorithms.shared.networks import Networks, copy, q_min
from prudent.nn import optim
from prudent.types import Batch, Hyper, Metrics


@dataclass
class State:
    """Everything that training changes: parameters by network, Adam's state by network, number of steps taken."""

    networks: Networks
    optimizers: dict[str, optim.AdamState] = field(default_factory=dict)
    step: int = 0


Update = Callable[[State, Batch, Any, Hyper], Metrics]
"""``update_critic``, ``update_actor`` or ``update_supervised`` of an algorithm: batch, noise -> metrics (P,)."""


def descend(
    state: State, name: str, loss: Callable[[Networks], tuple[Tensor, Metrics]], lr_P: Tensor, hyper: Hyper
) -> Metrics:
    """One Adam step on network ``name`` along the gradient of ``loss(networks)``."""
    gradients, metrics = optim.gradients(lambda leaves: loss({**state.networks, name: leaves}), state.networks[name])
    optim.adam_step(state.networks[name], gradients, state.optimizers[name], lr_P, hyper.max_grad_norm)
    return metrics


def update_soft_actor(
    state: State, batch: Batch, noise: Tensor, hyper: Hyper, clone: bool = False, value: Value = q_min
) -> Metrics:
    """A step of a stochastic actor, then one of the temperature if it is learned.

    The loss has a cloning term where the algorithm has a ``bc_weight`` and it is set.
    """
    bc_weight_P = getattr(hyper, "bc_weight", None)
    metrics = descend(
        state,
        "actor",
        lambda networks: soft_actor_loss(networks, batch, noise, clone, value, bc_weight_P),
        hyper.actor_lr,
        hyper,
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


# --- update functions from losses -------------------------------------------------------------------------------------


def critic_step(loss: Callable[..., tuple[Tensor, Metrics]]) -> Update:
    """``update_critic`` from the critics' ``loss(networks, batch, noise, hyper)``."""

    def update_critic(state: State, batch: Batch, noise: Any, hyper: Hyper) -> Metrics:
        """A step of the critics."""
        return descend(state, "critic", lambda networks: loss(networks, batch, noise, hyper), hyper.critic_lr, hyper)

    return update_critic


def actor_step(loss: Callable[[Networks, Batch, Hyper], tuple[Tensor, Metrics]]) -> Update:
    """``update_actor`` from the actor's ``loss(networks, batch, hyper)``."""

    def update_actor(state: State, batch: Batch, noise: Any, hyper: Hyper) -> Metrics:  # noqa: ARG001
        """A step of the actor."""
        return descend(state, "actor", lambda networks: loss(networks, batch, hyper), hyper.actor_lr, hyper)

    return update_actor


def cloning_step(loss: Callable[[Networks, Batch], tuple[Tensor, Metrics]]) -> Update:
    """:func:`actor_step` for a loss that has no settings, ``loss(networks, batch)``."""
    return actor_step(lambda networks, batch, _hyper: loss(networks, batch))


def supervised_step(loss: Callable[..., tuple[Tensor, Metrics]], clone: Update) -> Update:
    """``update_supervised`` from the critics' ``loss(networks, batch, noise, hyper, y_PB=...)`` and a cloning step."""

    def update_supervised(state: State, batch: Batch, noise: Any, hyper: Hyper) -> Metrics:
        """A step before training (``value_init``): the critics' loss with y = return-to-go; the actor clones."""
        y_PB = return_to_go(batch)
        metrics = descend(
            state, "critic", lambda networks: loss(networks, batch, noise, hyper, y_PB=y_PB), hyper.critic_lr, hyper
        )
        return metrics | clone(state, batch, noise, hyper)

    return update_supervised


def clone_soft_actor(state: State, batch: Batch, noise: Any, hyper: Hyper) -> Metrics:
    """A step of a stochastic actor that clones the data, then one of its temperature."""
    return update_soft_actor(state, batch, noise.actor, hyper, clone=True)


# --- targets and first values -----------------------------------------------------------------------------------------


def update_polyak(state: State, hyper: Hyper) -> None:
    """Move every target network, such as ``target_critic``, towards its network."""
    for name, params in state.networks.items():
        if name.startswith("target_"):
            optim.polyak(params, state.networks[name.removeprefix("target_")], hyper.polyak)


def initialise_values(
    state: State, mean_return_P: Tensor, supervised_steps: Iterator[Callable[[], Metrics]], hyper: Hyper
) -> Metrics:
    """Start the critics from Monte-Carlo returns instead of from zero (``value_init``).

    From zero, Q rises with time constant ``1 / (polyak (1 - gamma))``: after 20 000 steps at the defaults it has come
    63 % of the way, and a shorter run predicts values too close to zero. ``constant`` sets the output bias of the
    critics, and of V if there is one, to ``mean_return_P`` (P,), the data's mean return-to-go. ``regression`` then also
    takes ``value_init_steps`` supervised steps; each item of ``supervised_steps`` is called once. In these the target
    is the return-to-go and the actor clones, so that training starts from the behaviour policy and its values (Jelley
    et al. 2024, "Efficient Offline RL: The Critic is Critical"). Then targets are copied and Adam's moments reset.
    Returns the metrics of the last step.
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
    """New optimiser states for the named networks."""
    return {name: optim.adam_init(networks[name]) for name in names}

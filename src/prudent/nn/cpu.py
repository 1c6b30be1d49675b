"""Stacked networks on the CPU, with forward and backward passes written by hand.

They compute what :func:`prudent.nn.plain_mlp` and :func:`prudent.nn.plain_critic` compute, one network at a time. The
calls do not depend on the number of networks, so a member alone equals itself in a population, bit for bit. This is
faster than automatic differentiation: one product per layer including bias and ReLU, gradients masked in place, no
gradient computed that is not used (of parameters in the actor's step, of inputs in the critics'), and no activation
stored where no gradient is needed.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prudent.nn import products
from prudent.types import Params

WORTH_IT = 1_000_000
"""Multiplications per network from which these passes are faster; with fewer, all networks are computed in one call."""
EPSILON = 1e-5
"""Epsilon of layer normalisation before the ReLU, PyTorch's default."""
EPSILON_AFTER = 1e-6
"""Epsilon of layer normalisation after the ReLU, as in ReBRAC's code: the default of Flax, with which it is written."""

LAYER = re.compile(r"(w|b|(scale|shift)(_after)?)\d+")
"""Names of a network's layer parameters. Its dictionary may hold others, such as quantile offsets."""

Saved = tuple[Tensor, ...]
"""What the backward pass needs of a hidden layer: its output; with layer normalisation also input, mean and 1/std."""


def covers(params: Params, rows: int) -> bool:
    """Whether to use these passes for ``rows`` rows per network: on a CPU, if there is enough to multiply."""
    weight = params["w0"]
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():  # pyright: ignore[reportPrivateImportUsage]
        return False
    per_row = sum(p.shape[-2] * p.shape[-1] for name, p in params.items() if re.fullmatch(r"w\d+", name))
    return rows * per_row >= WORTH_IT


def mlp(params: Params, x: Tensor) -> Tensor:
    """x (..., rows, in) -> (..., rows, out); the leading axes of x are those of the parameters or 1."""
    return _apply(params, x[(None,) * (params["w0"].dim() - x.dim())], None)


def critic(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Values (P, E, B) of an action (P, B, A) for each observation (P, B, S), or (P, E, N, B) of N.

    N actions are (P, N, B, A), or (P, E, N, B, A) if each critic has its net.
    """
    if action.dim() == 3:
        return mlp(params, torch.cat([observation, action], dim=-1).unsqueeze(1)).squeeze(-1)
    action = action if action.dim() == 5 else action.unsqueeze(1)
    return _apply(params, observation.unsqueeze(1), action).squeeze(-1).unflatten(-1, (action.shape[-3], -1))


def _apply(params: Params, x: Tensor, action: Tensor | None) -> Tensor:
    params = {name: value for name, value in params.items() if LAYER.fullmatch(name)}
    inputs = (x, action, *params.values())
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        return _Stack.apply(x, action, tuple(params), *params.values())  # pyright: ignore[reportReturnType]
    return _forward(params, x, action, None)


# --- the stack --------------------------------------------------------------------------------------------------------


class _Stack(torch.autograd.Function):
    """All networks of the stack, one after the other."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, action: Tensor | None, names: tuple[str, ...], *values: Tensor) -> Tensor:
        saved: list[Saved] = []
        y = _forward(dict(zip(names, values, strict=True)), x, action, saved)
        ctx.names, ctx.lengths = names, [len(layer) for layer in saved]
        ctx.save_for_backward(x, action, *values, *itertools.chain(*saved))
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, action, *stored = ctx.saved_tensors
        params = dict(zip(ctx.names, stored, strict=False))
        remaining = iter(stored[len(params) :])
        saved = [tuple(itertools.islice(remaining, length)) for length in ctx.lengths]
        needs_x, needs_action, _, *needs = ctx.needs_input_grad
        into = {name: torch.empty_like(value) for name, value in params.items()} if any(needs) else {}
        to_x = torch.zeros_like(x) if needs_x else None
        to_action = torch.zeros_like(action) if needs_action else None
        depth = sum(name[0] == "w" for name in params) - 1
        for k, index in enumerate(_networks(params)):
            net, net_into = _of(params, index), _of(into, index)
            first = _backward(net, saved[k * depth : (k + 1) * depth], gradient[index], net_into)
            net_x, net_action, net_to_x, net_to_action = (_at(t, index) for t in (x, action, to_x, to_action))
            if net_action is None:
                _plain_backward(net, net_x, first, net_into, net_to_x)
            else:
                _split_backward(net, net_x, net_action, first, net_into, net_to_x, net_to_action)
        to_params = (into[name] if needed else None for name, needed in zip(ctx.names, needs, strict=True))
        return to_x, to_action, None, *to_params


def _networks(params: Params) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, params["w0"].shape[:-2]))


def _of(params: Params, index: tuple[int, ...]) -> Params:
    """One network's parameters."""
    return {name: value[index] for name, value in params.items()}


def _at(t: Tensor | None, index: tuple[int, ...]) -> Any:
    """One network's input: all networks share an axis of length 1."""
    return None if t is None else t[tuple(i if n > 1 else 0 for i, n in zip(index, t.shape, strict=False))]


def _forward(params: Params, x: Tensor, action: Tensor | None, saved: list[Saved] | None) -> Tensor:
    """The stack's output (..., rows, out); appends every hidden layer to ``saved``, unless that is None."""
    outputs = []
    for index in _networks(params):
        net, net_x, net_action = _of(params, index), _at(x, index), _at(action, index)
        hidden = _plain_first(net, net_x) if net_action is None else _split_first(net, net_x, net_action)
        outputs.append(_rest(net, hidden, saved))
    return torch.stack(outputs).unflatten(0, params["w0"].shape[:-2])


# --- one network ------------------------------------------------------------------------------------------------------


def _rectified(net: Params, layer: int) -> bool:
    """Whether ReLU directly follows the layer's product: not in the last layer, nor with layer normalisation."""
    return f"w{layer + 1}" in net and f"scale{layer}" not in net


def _plain_first(net: Params, x: Tensor) -> Tensor:
    return products.forward(x, net["w0"], net["b0"], _rectified(net, 0))


def _split_first(net: Params, x: Tensor, action: Tensor) -> Tensor:
    """The first layer (N B, out) for actions (N, B, A) of states x (B, S); the part of x is computed once per state."""
    size = x.shape[-1]
    hidden = products.forward(action.flatten(0, 1), net["w0"][size:], None)
    hidden.unflatten(0, action.shape[:2]).add_(products.forward(x, net["w0"][:size], net["b0"]))
    return hidden.relu_() if _rectified(net, 0) else hidden


def _rest(net: Params, hidden: Tensor, saved: list[Saved] | None) -> Tensor:
    """The network's output from the first layer's output."""
    i = 0
    while f"w{i + 1}" in net:
        layer: Saved = (hidden,)
        if f"scale{i}" in net:
            normalised, mean, rate = torch.native_layer_norm(
                hidden, hidden.shape[-1:], net[f"scale{i}"], net[f"shift{i}"], EPSILON
            )
            layer = (normalised.relu_(), hidden, mean, rate)
        elif f"scale_after{i}" in net:
            normalised, mean, rate = torch.native_layer_norm(
                hidden, hidden.shape[-1:], net[f"scale_after{i}"], net[f"shift_after{i}"], EPSILON_AFTER
            )
            layer = (normalised, hidden, mean, rate)
        if saved is not None:
            saved.append(layer)
        i += 1
        hidden = products.forward(layer[0], net[f"w{i}"], net[f"b{i}"], _rectified(net, i))
    return hidden


def _backward(net: Params, saved: list[Saved], gradient: Tensor, into: Params) -> Tensor:
    """The gradient of the first layer's product from that of the output; fills ``into`` unless it is empty."""
    for i in range(len(saved), 0, -1):
        hidden, *before = saved[i - 1]
        if into:
            into[f"w{i}"].copy_(products.to_weight(hidden, gradient))
            torch.sum(gradient, 0, out=into[f"b{i}"])
        gradient = products.to_input(gradient, net[f"w{i}"])
        if before and f"scale_after{i - 1}" in net:
            names = f"scale_after{i - 1}", f"shift_after{i - 1}"
            gradient, hidden = _normalisation_backward(net, names, before, gradient, into), before[0]
        torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)
        if before and f"scale{i - 1}" in net:
            gradient = _normalisation_backward(net, (f"scale{i - 1}", f"shift{i - 1}"), before, gradient, into)
    return gradient


def _normalisation_backward(
    net: Params, names: tuple[str, str], saved: list[Tensor], gradient: Tensor, into: Params
) -> Tensor:
    """The gradient of a normalised layer's input, of which ``saved`` has input, mean and 1/std; may fill ``into``."""
    scale, shift = names
    inputs, mean, rate = saved
    gradient, to_scale, to_shift = torch.ops.aten.native_layer_norm_backward(
        gradient, inputs, inputs.shape[-1:], mean, rate, net[scale], net[shift], [True, bool(into), bool(into)]
    )
    if into:
        into[scale].copy_(to_scale)
        into[shift].copy_(to_shift)
    return gradient


def _plain_backward(net: Params, x: Tensor, gradient: Tensor, into: Params, to_x: Tensor | None) -> None:
    if into:
        into["w0"].copy_(products.to_weight(x, gradient))
        torch.sum(gradient, 0, out=into["b0"])
    if to_x is not None:
        to_x += products.to_input(gradient, net["w0"])


def _split_backward(
    net: Params,
    x: Tensor,
    action: Tensor,
    gradient: Tensor,
    into: Params,
    to_x: Tensor | None,
    to_action: Tensor | None,
) -> None:
    size = x.shape[-1]
    per_state = gradient.unflatten(0, action.shape[:2]).sum(0) if into or to_x is not None else None
    if into:
        assert per_state is not None
        into["w0"][:size] = products.to_weight(x, per_state)
        into["w0"][size:] = products.to_weight(action.flatten(0, 1), gradient)
        torch.sum(per_state, 0, out=into["b0"])
    if to_x is not None:
        assert per_state is not None
        to_x += products.to_input(per_state, net["w0"][:size])
    if to_action is not None:
        to_action += products.to_input(gradient, net["w0"][size:]).unflatten(0, action.shape[:2])

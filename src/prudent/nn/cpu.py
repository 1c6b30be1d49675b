"""Stacked networks on the CPU, forwards and backwards by hand.

What :func:`prudent.nn.mlp` and :func:`prudent.nn.critic` compute, network by network with the same calls whatever the
company, so that a member alone equals itself in a population bit for bit. Against automatic differentiation this saves
copies: one product per layer with bias and rectifier inside, gradients masked in place, nothing computed that no one
asked for (no parameter gradients in the actor's step, no input gradients in the critics'), and without a gradient no
activation is kept.
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
"""Multiplications of one network from which these passes are the faster ones; below, all networks go in one call."""
EPSILON = 1e-5
"""Of layer normalisation, as in :func:`torch.nn.functional.layer_norm`."""

LAYER = re.compile(r"(w|b|scale|shift)\d+")
"""Names of a network's parameters; a dictionary may hold others beside them, such as the quantiles of its outputs."""

Kept = tuple[Tensor, ...]
"""What the backward pass needs of a hidden layer: its output; if normalised also the input, its mean, 1/deviation."""


def covers(params: Params, rows: int) -> bool:
    """Whether these passes are to be used for ``rows`` rows per network: on a CPU, with enough to multiply."""
    weight = params["w0"]
    if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
        return False
    if torch.jit.is_tracing() or torch.compiler.is_compiling():  # pyright: ignore[reportPrivateImportUsage]
        return False
    per_row = sum(p.shape[-2] * p.shape[-1] for name, p in params.items() if re.fullmatch(r"w\d+", name))
    return rows * per_row >= WORTH_IT


def mlp(params: Params, x: Tensor) -> Tensor:
    """x (..., rows, in), its leading axes those of the parameters or 1 -> (..., rows, out)."""
    return _apply(params, x[(None,) * (params["w0"].dim() - x.dim())], None)


def critic(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Values (P, E, B) of an action (P, B, A) for each observation (P, B, S), or (P, E, N, B) of N.

    N actions are (P, N, B, A), or (P, E, N, B, A) with each critic's own.
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
    """Every network of the stack, one after the other."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, action: Tensor | None, names: tuple[str, ...], *values: Tensor) -> Tensor:
        kept: list[Kept] = []
        y = _forward(dict(zip(names, values, strict=True)), x, action, kept)
        ctx.names, ctx.lengths = names, [len(layer) for layer in kept]
        ctx.save_for_backward(x, action, *values, *itertools.chain(*kept))
        return y

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, action, *saved = ctx.saved_tensors
        params = dict(zip(ctx.names, saved, strict=False))
        remaining = iter(saved[len(params) :])
        kept = [tuple(itertools.islice(remaining, length)) for length in ctx.lengths]
        needs_x, needs_action, _, *needs = ctx.needs_input_grad
        into = {name: torch.empty_like(value) for name, value in params.items()} if any(needs) else {}
        to_x = torch.zeros_like(x) if needs_x else None
        to_action = torch.zeros_like(action) if needs_action else None
        depth = sum(name[0] == "w" for name in params) - 1
        for k, index in enumerate(_networks(params)):
            own, own_into = _of(params, index), _of(into, index)
            first = _backward(own, kept[k * depth : (k + 1) * depth], gradient[index], own_into)
            own_x, own_action, own_to_x, own_to_action = (_at(t, index) for t in (x, action, to_x, to_action))
            if own_action is None:
                _plain_backward(own, own_x, first, own_into, own_to_x)
            else:
                _split_backward(own, own_x, own_action, first, own_into, own_to_x, own_to_action)
        found = (into[name] if needed else None for name, needed in zip(ctx.names, needs, strict=True))
        return to_x, to_action, None, *found


def _networks(params: Params) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, params["w0"].shape[:-2]))


def _of(params: Params, index: tuple[int, ...]) -> Params:
    """One network's parameters."""
    return {name: value[index] for name, value in params.items()}


def _at(t: Tensor | None, index: tuple[int, ...]) -> Any:
    """One network's input: an axis of length 1 is shared by all networks along it."""
    return None if t is None else t[tuple(i if n > 1 else 0 for i, n in zip(index, t.shape, strict=False))]


def _forward(params: Params, x: Tensor, action: Tensor | None, kept: list[Kept] | None) -> Tensor:
    """The stack's output (..., rows, out); appends to ``kept``, if given, network by network, layer by layer."""
    outputs = []
    for index in _networks(params):
        own, own_x, own_action = _of(params, index), _at(x, index), _at(action, index)
        hidden = _plain_first(own, own_x) if own_action is None else _split_first(own, own_x, own_action)
        outputs.append(_rest(own, hidden, kept))
    return torch.stack(outputs).unflatten(0, params["w0"].shape[:-2])


# --- one network ------------------------------------------------------------------------------------------------------


def _rectified(own: Params, layer: int) -> bool:
    """Whether the layer's product is followed by the rectifier at once: not the last one, nor a normalised one."""
    return f"w{layer + 1}" in own and f"scale{layer}" not in own


def _plain_first(own: Params, x: Tensor) -> Tensor:
    return products.forward(x, own["w0"], own["b0"], _rectified(own, 0))


def _split_first(own: Params, x: Tensor, action: Tensor) -> Tensor:
    """The first layer (N B, out) for actions (N, B, A) of states x (B, S), whose share is computed once per state."""
    size = x.shape[-1]
    hidden = products.forward(action.flatten(0, 1), own["w0"][size:], None)
    hidden.unflatten(0, action.shape[:2]).add_(products.forward(x, own["w0"][:size], own["b0"]))
    return hidden.relu_() if _rectified(own, 0) else hidden


def _rest(own: Params, hidden: Tensor, kept: list[Kept] | None) -> Tensor:
    """The network from the first layer's output on."""
    i = 0
    while f"w{i + 1}" in own:
        layer: Kept = (hidden,)
        if f"scale{i}" in own:
            normalised, mean, rate = torch.native_layer_norm(
                hidden, hidden.shape[-1:], own[f"scale{i}"], own[f"shift{i}"], EPSILON
            )
            layer = (normalised.relu_(), hidden, mean, rate)
        if kept is not None:
            kept.append(layer)
        i += 1
        hidden = products.forward(layer[0], own[f"w{i}"], own[f"b{i}"], _rectified(own, i))
    return hidden


def _backward(own: Params, kept: list[Kept], gradient: Tensor, into: Params) -> Tensor:
    """From the output's gradient to that of the first layer's product; fills ``into`` unless it is empty."""
    for i in range(len(kept), 0, -1):
        hidden, *before = kept[i - 1]
        if into:
            into[f"w{i}"].copy_(products.to_weight(hidden, gradient))
            torch.sum(gradient, 0, out=into[f"b{i}"])
        gradient = products.to_input(gradient, own[f"w{i}"])
        torch.ops.aten.threshold_backward.grad_input(gradient, hidden, 0, grad_input=gradient)
        if before:
            shift, scale = f"shift{i - 1}", f"scale{i - 1}"
            gradient, to_scale, to_shift = torch.ops.aten.native_layer_norm_backward(
                gradient,
                before[0],
                hidden.shape[-1:],
                *before[1:],
                own[scale],
                own[shift],
                [True, bool(into), bool(into)],
            )
            if into:
                into[scale].copy_(to_scale)
                into[shift].copy_(to_shift)
    return gradient


def _plain_backward(own: Params, x: Tensor, gradient: Tensor, into: Params, to_x: Tensor | None) -> None:
    if into:
        into["w0"].copy_(products.to_weight(x, gradient))
        torch.sum(gradient, 0, out=into["b0"])
    if to_x is not None:
        to_x += products.to_input(gradient, own["w0"])


def _split_backward(
    own: Params,
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
        to_x += products.to_input(per_state, own["w0"][:size])
    if to_action is not None:
        to_action += products.to_input(gradient, own["w0"][size:]).unflatten(0, action.shape[:2])

"""Networks as pure functions over stacked parameters.

A network is a dictionary ``w0, b0, w1, b1, ...``: weights (..., in, out), biases (..., out), where ``...`` is (P,) for
an actor and (P, E) for an ensemble of critics. Hidden activations are ReLU. With layer normalisation each hidden layer
also has ``scale`` and ``shift`` (..., out) if it stands before the ReLU, ``scale_after`` and ``shift_after`` if after.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from prudent.nn import cpu
from prudent.nn.rng import MemberRng
from prudent.types import Params


def init_mlp(
    rng: MemberRng,
    sizes: Sequence[int],
    ensemble: int | None = None,
    *,
    layer_norm: bool = False,
    after_relu: bool = False,
    orthogonal: bool = False,
) -> Params:
    """Fresh parameters for layers of the given sizes.

    ``layer_norm`` normalises each hidden layer before its ReLU, with ``after_relu`` after it. Weights and biases are
    uniform on +-1/sqrt(in), PyTorch's default for linear layers; ``orthogonal`` draws orthogonal weights and zero
    biases instead.
    """
    lead = () if ensemble is None else (ensemble,)
    params: Params = {}
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        if orthogonal:
            weight = rng.normal(*lead, max(n_in, n_out), min(n_in, n_out))
            q, r = torch.linalg.qr(weight)
            q = q * torch.diagonal(r, dim1=-2, dim2=-1).sign().unsqueeze(-2)
            params[f"w{i}"] = (q if n_in >= n_out else q.mT).contiguous()
            params[f"b{i}"] = torch.zeros_like(params[f"w{i}"][..., 0, :])
        else:
            bound = 1 / math.sqrt(n_in)
            params[f"w{i}"] = rng.uniform(-bound, bound, *lead, n_in, n_out)
            params[f"b{i}"] = rng.uniform(-bound, bound, *lead, n_out)
        if layer_norm and i < len(sizes) - 2:
            where = "_after" if after_relu else ""
            params[f"scale{where}{i}"] = torch.ones_like(params[f"b{i}"])
            params[f"shift{where}{i}"] = torch.zeros_like(params[f"b{i}"])
    return params


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight + bias`` for M stacked matrices: x (M, rows, in), weight (M, in, out), bias (M, out)."""
    if len(weight) == 1 and 1 in weight.shape[1:] and x.device.type == "cpu":
        # PyTorch computes a single product with a vector by another routine than batched ones, with other last bits.
        # So the product is computed twice as a batch and half of it kept: a member alone then equals itself in a
        # population, bit for bit. The bias goes into the product as below: added afterwards it would round differently.
        pair, matrix = x.expand(2, -1, -1), weight.expand(2, -1, -1)
        y = torch.bmm(pair, matrix) if bias is None else torch.baddbmm(bias.expand(2, -1).unsqueeze(1), pair, matrix)
        return y[:1]
    return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)


def mlp(params: Params, x: Tensor) -> Tensor:
    """x (..., rows, in) -> (..., rows, out)."""
    return cpu.mlp(params, x) if cpu.covers(params, x.shape[-2]) else plain_mlp(params, x)


def plain_mlp(params: Params, x: Tensor) -> Tensor:
    """The same as :func:`mlp`, with PyTorch's automatic differentiation."""
    lead, flat = params["w0"].shape[:-2], _flatten(params)
    product = linear(_in_each(x, lead), flat["w0"], flat["b0"])
    return _from_first_layer(flat, product).unflatten(0, lead)


def _flatten(params: Params) -> Params:
    """Parameters of a stack's M networks along one axis.

    Hidden layers stay flat as well: autograd would copy a layer if an in-place ReLU ran on an unflattened view of it.
    """
    last = params["w0"].dim() - 3
    return {name: value.flatten(0, last) for name, value in params.items() if cpu.LAYER.fullmatch(name)}


def _in_each(x: Tensor, lead: torch.Size) -> Tensor:
    """x (..., rows, in) for each network of a stack (lead), as (M, rows, in)."""
    return x.expand(*lead, *x.shape[-2:]).flatten(0, -3)


def _from_first_layer(params: Params, product: Tensor) -> Tensor:
    """Output (M, rows, out) of M networks from the first layer's product (M, ..., width), which is overwritten."""
    i = 0
    while f"w{i + 1}" in params:
        if f"scale{i}" in params:
            product = functional.layer_norm(product, product.shape[-1:], eps=cpu.EPSILON)
            product = _affine(params, ("scale", "shift"), i, product)
        # In place: nothing needs the value before the activation, and a new buffer costs more time than the ReLU.
        hidden = product.relu_()
        if f"scale_after{i}" in params:
            hidden = functional.layer_norm(hidden, hidden.shape[-1:], eps=cpu.EPSILON_AFTER)
            hidden = _affine(params, ("scale_after", "shift_after"), i, hidden)
        i += 1
        product = linear(hidden.flatten(1, -2), params[f"w{i}"], params[f"b{i}"])
    return product.flatten(1, -2)


def _affine(params: Params, names: tuple[str, str], layer: int, product: Tensor) -> Tensor:
    scale, shift = (_beside(params[f"{name}{layer}"], product) for name in names)
    return torch.addcmul(shift, product, scale)


def _beside(value: Tensor, product: Tensor) -> Tensor:
    """(M, width) as (M, 1, ..., width), to broadcast against ``product``."""
    return value.reshape(len(value), *[1] * (product.dim() - 2), -1)


def critic(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """Q-values of every critic in the ensemble.

    ``observation`` (P, B, S). With ``action`` (P, B, A) the result is (P, E, B); with ``action`` (P, N, B, A), N
    actions per state, it is (P, E, N, B); with (P, E, N, B, A) each critic has its own actions.
    """
    covered = cpu.covers(params, math.prod(action.shape[-3:-1] if action.dim() > 3 else action.shape[-2:-1]))
    return (cpu.critic if covered else plain_critic)(params, observation, action)


def plain_critic(params: Params, observation: Tensor, action: Tensor) -> Tensor:
    """The same as :func:`critic`, with automatic differentiation; layer 1 computes the state's part once per state."""
    lead, flat, state_size = params["w0"].shape[:-2], _flatten(params), observation.shape[-1]
    of_state, of_action = flat["w0"][:, :state_size], flat["w0"][:, state_size:]
    from_state_MBH = linear(_in_each(observation.unsqueeze(1), lead), of_state, flat["b0"])
    rows = action.flatten(2, 3) if action.dim() == 5 else action.flatten(1, -2).unsqueeze(1)
    from_action = linear(_in_each(rows, lead), of_action, None)
    if action.dim() == 3:
        return _from_first_layer(flat, from_state_MBH + from_action).squeeze(-1).unflatten(0, lead)
    n = action.shape[-3]
    product_MNBH = from_action.unflatten(1, (n, -1)) + from_state_MBH.unsqueeze(1)
    return _from_first_layer(flat, product_MNBH).squeeze(-1).unflatten(1, (n, -1)).unflatten(0, lead)

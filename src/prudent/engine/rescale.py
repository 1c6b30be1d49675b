"""A trained population on other scales: the same policy and the same values, with other statistics.

A network's first layer is linear, and its first inputs are the observation's features. So new observation statistics
can be made up for in its weights, and a new reward scale in the last layer of the networks that predict values.
"""

from dataclasses import replace

import torch
from torch import Tensor

from prudent.algorithms.shared.networks import Networks
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.nn.optim import per_member
from prudent.types import Params


def _change(old: Scaling, new: Scaling) -> tuple[Tensor, Tensor]:
    """``ratio`` and ``shift`` (S,) float64 on the CPU: observations in old units are ``ratio * new + shift``."""
    (old_mean, old_std), (new_mean, new_std) = (_statistics(scaling) for scaling in (old, new))
    return new_std / old_std, (new_mean - old_mean) / old_std


def _statistics(scaling: Scaling) -> tuple[Tensor, Tensor]:
    """Mean and divisor in the log's units, the offset included."""
    mean, std = scaling.observation_mean.cpu().double(), scaling.observation_std.cpu().double()
    return (mean if scaling.observation_offset is None else mean + scaling.observation_offset), std


@torch.no_grad()
def use_scaling(population: Population, scaling: Scaling) -> None:
    """Give a population the observation statistics of ``scaling``; its policies and values stay what they are.

    The first layers take the change, and so do Adam's moments: the mean exactly, the mean square as far as it follows
    from the divisors. Action bounds and names stay. The range that acting keeps to is the old one and the new one
    together.
    """
    old = population.scaling.to("cpu")
    new = scaling.to("cpu")
    ratio, shift = _change(old, new)
    for name, params in population.state.networks.items():
        if "w0" in params:  # a temperature or a multiplier is a number, which sees no observation
            _absorb(params, ratio, shift)
            if name in population.state.optimizers:
                moments = population.state.optimizers[name]
                _absorb_gradient(moments["mean"], ratio, shift)
                _divide(moments["square"], ratio.square())
    if old.observation_range is None or new.observation_range is None:
        observation_range = None
    else:
        before = (old.observation_range.double() - shift) / ratio
        joined = torch.stack([before.float(), new.observation_range])
        observation_range = torch.stack([joined[:, 0].amin(0), joined[:, 1].amax(0)])
    changed = replace(
        old,
        observation_mean=new.observation_mean,
        observation_std=new.observation_std,
        observation_offset=new.observation_offset,
        observation_range=observation_range,
    )
    population.scaling = changed.to(population.device)


def _absorb(params: Params, ratio: Tensor, shift: Tensor) -> None:
    """First weights (..., in, out) and bias (..., out) for observations in the new units."""
    rows = _rows(params["w0"], len(ratio))
    params["b0"] += (rows * shift.unsqueeze(-1)).sum(-2).to(params["b0"])
    _set_rows(params["w0"], rows * ratio.unsqueeze(-1))


def _absorb_gradient(mean: Params, ratio: Tensor, shift: Tensor) -> None:
    """The gradient of the new weights from that of the old ones: ``(g_w - shift g_b) / ratio``."""
    of_bias = mean["b0"].cpu().double().unsqueeze(-2)
    _set_rows(mean["w0"], (_rows(mean["w0"], len(ratio)) - shift.unsqueeze(-1) * of_bias) / ratio.unsqueeze(-1))


def _divide(square: Params, divisor: Tensor) -> None:
    _set_rows(square["w0"], _rows(square["w0"], len(divisor)) / divisor.unsqueeze(-1))


def _rows(weight: Tensor, count: int) -> Tensor:
    """The weights of the first ``count`` inputs, float64 on the CPU: some devices have no float64."""
    return weight[..., :count, :].cpu().double()


def _set_rows(weight: Tensor, rows: Tensor) -> None:
    weight[..., : rows.shape[-2], :] = rows.to(weight)


@torch.no_grad()
def scale_values(networks: Networks, factor_P: Tensor) -> None:
    """Multiply every value that critics and state values predict by ``factor_P`` (P,)."""
    for name, params in networks.items():
        if "w0" in params and any(word in name for word in ("critic", "value")):
            last = max(int(key[1:]) for key in params if key[0] == "w" and key[1:].isdecimal())
            for key in (f"w{last}", f"b{last}"):
                params[key] *= per_member(factor_P.to(params[key]), params[key])

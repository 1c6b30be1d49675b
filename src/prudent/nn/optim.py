"""Adam with one learning rate per member, clipping per member, Polyak averaging; all in place, all on the device."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from prudent.types import Metrics, Params

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

AdamState = dict[str, Any]
"""``mean`` and ``square`` (Params: running moments) and ``count`` (0-dim float64: steps taken)."""


def adam_init(params: Params) -> AdamState:
    """Zero moments for ``params``."""
    device = next(iter(params.values())).device
    return {
        "mean": {name: torch.zeros_like(p) for name, p in params.items()},
        "square": {name: torch.zeros_like(p) for name, p in params.items()},
        "count": torch.zeros((), dtype=torch.float64, device=count_device(device)),
    }


def count_device(device: torch.device) -> torch.device:
    """The device of the step count: that of the parameters, so that a CUDA graph can count, or the CPU for mps, which
    has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


@torch.no_grad()
def adam_step(
    params: Params, gradients: Params, state: AdamState, lr_P: Tensor, max_norm_P: Tensor | None = None
) -> None:
    """One step of Adam (Kingma & Ba 2015, arXiv 1412.6980), changing ``params`` and ``state`` in place.

    ``lr_P`` (P,) is each member's learning rate; ``max_norm_P`` (P,) clips each member's gradient to its own norm.
    """
    if max_norm_P is not None:
        gradients = clip_by_norm(gradients, max_norm_P)
    state["count"] += 1
    # PyTorch's fused routine wants parameters and count on one device, which mps cannot give.
    fused = lr_P.device.type != "mps" and all(p.is_contiguous() for p in params.values())
    (_fused_step if fused else plain_step)(params, gradients, state, lr_P)


def _fused_step(params: Params, gradients: Params, state: AdamState, lr_P: Tensor) -> None:
    """:func:`plain_step` in one pass over memory, member by member, because the routine takes one learning rate."""
    # The routine reads memory in order, so a transposed or expanded gradient must be copied.
    contiguous = {name: gradients[name].contiguous() for name in params}
    count = state["count"].float()
    for p, lr in enumerate(lr_P):
        torch._fused_adam_(  # pyright: ignore[reportPrivateImportUsage]
            [value[p] for value in params.values()],
            [contiguous[name][p] for name in params],
            [state["mean"][name][p] for name in params],
            [state["square"][name][p] for name in params],
            [],
            [count] * len(params),
            lr=lr,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


def plain_step(params: Params, gradients: Params, state: AdamState, lr_P: Tensor) -> None:
    """Adam's update in plain PyTorch; ``state`` already counts this step."""
    count = float(state["count"])
    correction = math.sqrt(1 - BETA2**count)
    rate_P = lr_P / (1 - BETA1**count)
    for name, parameter in params.items():
        gradient, mean, square = gradients[name], state["mean"][name], state["square"][name]
        mean.lerp_(gradient, 1 - BETA1)
        square.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        denominator = (square.sqrt() / correction).add_(EPSILON).div_(per_member(rate_P, parameter))
        parameter.addcdiv_(mean, denominator, value=-1.0)


def clip_by_norm(gradients: Params, max_norm_P: Tensor) -> Params:
    """Each member's gradient, scaled down where its norm over all parameters exceeds the member's limit."""
    # Stacked on the right: a sum over the first axis would round differently for another P.
    square_PT = torch.stack([g.reshape(len(g), -1).square().sum(-1) for g in gradients.values()], dim=-1)
    norm_P = square_PT.sum(-1).sqrt()
    scale_P = (max_norm_P / (norm_P + 1e-6)).clamp(max=1.0)
    return {name: g * per_member(scale_P, g) for name, g in gradients.items()}


@torch.no_grad()
def polyak(target: Params, online: Params, rate_P: Tensor) -> None:
    """``target += rate * (online - target)``, in place."""
    values = list(target.values())
    rates = [per_member(rate_P, v) for v in values]
    torch._foreach_lerp_(values, [online[n] for n in target], rates)  # pyright: ignore[reportPrivateImportUsage]


def per_member(value_P: Tensor, like: Tensor) -> Tensor:
    """(P,) as (P, 1, ..., 1), to broadcast against ``like``."""
    return value_P.reshape(-1, *[1] * (like.dim() - 1))


def gradients(loss: Callable[[Params], tuple[Tensor, Metrics]], params: Params) -> tuple[Params, Metrics]:
    """Gradient of each member's own loss with respect to ``params``, and the loss's metrics.

    ``loss`` maps parameters to a loss (P,) and metrics. Summing over P before differentiating keeps members apart:
    no parameter of one enters the loss of another.
    """
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    with torch.enable_grad():
        loss_P, metrics = loss(leaves)
        values = torch.autograd.grad(loss_P.sum(), list(leaves.values()))
    return dict(zip(leaves, values, strict=True)), {name: m.detach() for name, m in metrics.items()}

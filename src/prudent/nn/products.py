"""Matrix products on the CPU, by the faster of PyTorch's two libraries.

PyTorch multiplies float32 matrices with MKL, which is slow on processors that are not Intel's: on an AMD EPYC with
AVX-512 one core did 90 GFLOP/s with MKL and 210 with oneDNN. So oneDNN computes the larger products there. The choice
depends on processor and shapes only, never on a measurement: a run gives the same bits each time.
"""

import functools
import platform
from pathlib import Path

import torch
from torch import Tensor

WORTH_IT = 2_000_000
"""Multiplications from which oneDNN is faster: each call has a fixed cost of about 30 microseconds."""


@functools.cache
def prefers_onednn() -> bool:
    """Whether this machine has oneDNN and a processor on which MKL is slow."""
    if platform.machine().lower() not in ("x86_64", "amd64") or not torch.backends.mkldnn.is_available():
        return False
    return hasattr(torch.ops.mkldnn, "_linear_pointwise") and "AuthenticAMD" in processor()[0]


def processor() -> tuple[str, str]:
    """The processor's maker and its model, as the operating system names them."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        fields = {}
    model = platform.processor()
    return fields.get("vendor_id", model), fields.get("model name", model or platform.machine())


def _by_onednn(left: Tensor, right: Tensor) -> bool:
    """Whether oneDNN multiplies ``left`` (rows, inner) by ``right`` (inner, columns)."""
    (rows, inner), columns = left.shape, right.shape[1]
    large = rows * inner * columns >= WORTH_IT and min(rows, columns) > 1
    return large and left.dtype == torch.float32 and prefers_onednn()


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool = False) -> Tensor:
    """``x @ weight + bias``, at least 0 where ``relu``: x (rows, in), weight (in, out), bias (out)."""
    if _by_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight.T, bias, "relu" if relu else "none", [], "")
    y = torch.mm(x, weight) if bias is None else torch.addmm(bias, x, weight)
    return y.relu_() if relu else y


def to_input(gradient: Tensor, weight: Tensor) -> Tensor:
    """``gradient @ weight.T``: from the output's gradient (rows, out) to the input's (rows, in)."""
    if _by_onednn(gradient, weight.T):
        return torch.ops.mkldnn._linear_pointwise(gradient, weight, None, "none", [], "")
    return torch.mm(gradient, weight.T)


def to_weight(x: Tensor, gradient: Tensor) -> Tensor:
    """``x.T @ gradient``: the weight's gradient (in, out) from input (rows, in) and output's gradient (rows, out)."""
    if _by_onednn(x.T, gradient):
        return torch.ops.mkldnn._linear_pointwise(x.T, gradient.T, None, "none", [], "")
    return torch.mm(x.T, gradient)

"""What a process is prepared with before it trains."""

import pytest
import torch

from prudent.engine.options import Options
from prudent.engine.process import prepare_process


@pytest.fixture
def precision(monkeypatch):
    """What CUDA's products are told, on a machine that says it has a device; put back afterwards."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    before = torch.backends.cuda.matmul.fp32_precision
    yield lambda: torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = before


def test_tf32_is_a_switch(precision):
    assert prepare_process(Options(device="cuda")).type == "cuda"
    assert precision() == "tf32"
    prepare_process(Options(device="cuda:0", tf32=False))
    assert precision() == "ieee"


def test_on_the_cpu_precision_is_left_alone(precision):
    before = precision()
    prepare_process(Options(device="cpu", tf32=False))
    assert precision() == before

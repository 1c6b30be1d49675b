"""Device, threads, precision and memory allocator of this process."""

import ctypes
import sys

import torch

from prudent.engine.options import Options
from prudent.errors import ConfigError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for this process; False with another C library.

    A training step allocates the same buffers of several MB in every step. By default glibc returns each to the system
    and requests it again, and the kernel clears every page: a quarter to a third of a step's time on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = {_M_MMAP_THRESHOLD: 1 << 30, _M_TRIM_THRESHOLD: (1 << 31) - 1, _M_TOP_PAD: 64 << 20}
    return all(mallopt(option, value) == 1 for option, value in settings.items())


def choose_device(name: str) -> torch.device:
    """The device called ``name``; auto is cuda where there is one, else cpu. mps is untested, so auto never takes it.

    Raises:
        ConfigError: there is no such device on this machine.
    """
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if name == "auto":
        return torch.device("cuda" if count["cuda"] else "cpu")
    kind, _, index = name.partition(":")
    if kind not in count or not (index.isdecimal() or name == kind):
        raise ConfigError(f"device must be auto, cpu, cuda (or cuda:1, ...) or mps, got {name!r}")
    if int(index or 0) >= count[kind]:
        available = ", ".join(kind for kind, devices in count.items() if devices)
        raise ConfigError(f"device {name!r} is not available here; available: {available}")
    return torch.device(name)


def prepare_process(options: Options) -> torch.device:
    """Set threads, allocator and precision of this process; returns the device to train on.

    Raises:
        ConfigError: there is no such device on this machine.
    """
    device = choose_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32" if options.tf32 else "ieee"
    keep_freed_memory()
    return device

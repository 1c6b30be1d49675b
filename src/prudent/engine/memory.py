"""Memory: what this machine has, and what networks and batches are going to take.

Linux promises memory that it does not have, and ends the process when it is used. So large requests are reckoned first.
The figures are lower ends: what is refused cannot work, what passes may still be too much.
"""

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from prudent.algorithms.shared.multi_step import values_every_state
from prudent.errors import ConfigError
from prudent.files import human_bytes
from prudent.types import Hyper, Spec, flatten

SMALL = 256 << 20
"""Bytes that are never reckoned against what is free."""

_NUMBER, _MOST_WIDTH, _ENDLESS = 4, 1 << 40, 1 << 63
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device | str = "cpu") -> int | None:
    """Bytes that this process can still take on a device: what the machine, its container and ``ulimit -v`` leave.

    None where the system does not say.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    bounds = [_of_machine(), _of_container(), _of_process()]
    return min((bound for bound in bounds if bound is not None), default=None)


def check(needed: int, what: str, advice: str, device: torch.device | str = "cpu") -> None:
    """Refuse what does not fit into memory. ``what`` takes it, in the plural; ``advice`` says what to change.

    Raises:
        ConfigError: it does not; the line has both figures.
    """
    if needed <= SMALL:
        return
    free = free_bytes(device)
    if free is not None and needed > free:
        place = "this machine" if torch.device(device).type == "cpu" else str(device)
        raise ConfigError(
            f"{what} take {human_bytes(needed)}, {place} has {human_bytes(max(free, 0))} of memory free: {advice}"
        )


def check_networks(algorithm: ModuleType, configs: Sequence[Any], spec: Spec, device: torch.device) -> None:
    """Refuse networks that do not fit into memory, with their targets, their gradients and Adam's moments.

    Raises:
        ConfigError: they do not.
    """
    config, count = configs[0], len(configs)
    widths = " x ".join(map(str, config.hidden[:4])) + (" x ..." if len(config.hidden) > 4 else "")
    members = f" for {count} members" if count > 1 else ""
    check(
        count * _network_bytes(algorithm, config, spec),
        f"networks of {widths}{members} with their moments",
        "take narrower layers (hidden), fewer critics or fewer members",
        device,
    )


def _network_bytes(algorithm: ModuleType, config: Any, spec: Spec) -> int:
    """Bytes of one member's state and gradients. The networks are made without their numbers to find out."""
    counts = (*config.hidden, getattr(config, "n_critics", 1), getattr(config, "n_quantiles", 1))
    if max(counts) > _MOST_WIDTH:
        return _ENDLESS
    # Orthogonal weights have the same shapes, and finding their factors takes seconds.
    plain = replace(config, orthogonal_init=False)
    try:
        with torch.no_grad():
            state = algorithm.init(spec, Hyper([plain], "meta"), _Shapes())
    except RuntimeError:  # more numbers than any tensor can have
        return _ENDLESS
    sizes = {name: t.numel() * t.element_size() for name, t in flatten(state.optimizers).items()}
    gradients = sum(size for name, size in sizes.items() if ".mean." in name)
    return gradients + sum(sizes.values()) + sum(t.numel() * _NUMBER for t in flatten(state.networks).values())


class _Shapes:
    """In place of a :class:`prudent.nn.rng.MemberRng` of one member: tensors of the same shapes without numbers."""

    def normal(self, *shape: int) -> Tensor:
        return torch.empty((1, *shape), device="meta")

    def uniform(self, _low: float, _high: float, *shape: int) -> Tensor:
        return self.normal(*shape)


def check_batch(configs: Sequence[Any], spec: Spec, device: torch.device) -> None:
    """Refuse batches that do not fit into memory: their rows and windows, and the layers and proposals that
    are kept for them.

    Raises:
        ConfigError: they do not.
    """
    config: Any = configs[0]
    batch, critics = config.batch_size, getattr(config, "n_critics", 0)
    proposals = getattr(config, "n_actions", 0) * len(getattr(config, "proposals", ()))
    through = proposals if getattr(config, "gradient", "exact") == "exact" else config.gradient_samples
    quantiles = getattr(config, "n_quantiles", 1)
    layers = (critics * (1 + through) + 1) * sum(config.hidden)
    # Every discrete action has an output. A step holds each at least three times, of several critics twice (measured).
    outputs = max(3, 2 * critics) * spec.action_size * quantiles if spec.discrete else critics * (1 + proposals)
    # The quantile loss compares each quantile with each one of the target.
    outputs += critics * quantiles * quantiles if quantiles > 1 else 0
    actions = spec.action_size * (0 if spec.discrete else 2 + proposals)
    steps, every_state = getattr(config, "n_steps", 1), values_every_state(configs)
    # A window has the rewards of its steps, and the next states of all of them or of its last one.
    window = steps + (steps if every_state else 1) * spec.observation_size if steps > 1 else 0
    # The states before the last one are valued at once, with two layers of one network at a time, before the layers
    # above are there.
    at_once = max(map(sum, itertools.pairwise(config.hidden)), default=0) if every_state else 0
    count, rows = len(configs), actions + 2 * spec.observation_size + window
    numbers = batch * (count * rows + max(count * (layers + outputs), (steps - 1) * at_once))
    named = [f"batches of {batch} rows"]
    named += [f"{spec.action_size} actions"] * (spec.discrete and spec.action_size > 1_000)
    named += [f"{proposals} proposals"] * (proposals > 0) + [f"{critics} critics"] * (critics > 2)
    named += [f"windows of {steps} steps"] * (steps > 1) + [f"{quantiles} quantiles"] * (quantiles > 1)
    named += [f"{len(configs)} members"] * (len(configs) > 1)
    what = named[0] + (f" with {', '.join(named[1:])}" if named[1:] else "")
    wide = ("n_steps",) if steps > 1 else ()
    names = [name for name in ("batch_size", *wide, "n_actions", "n_quantiles", "n_critics") if hasattr(config, name)]
    fewer = ", or data with fewer actions" if spec.discrete else ""
    check(numbers * _NUMBER, what, f"take less of {', '.join(names)}, hidden or members{fewer}", device)


# --- what the system says ---------------------------------------------------------------------------------------------


def _of_machine() -> int | None:
    """Memory that is free or can be freed at once (Linux), or all there is (macOS)."""
    free = _figure(Path("/proc/meminfo"), "MemAvailable:")
    if free is not None:
        return free << 10
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # Windows
        return None


def _of_container() -> int | None:
    """What the control group leaves; pages of files can be freed."""
    try:
        most, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # there is none, or it has no limit ("max")
        return None
    return most - used + (_figure(_CGROUP / "memory.stat", "file") or 0)


def _of_process() -> int | None:
    """What ``ulimit -v`` leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return limit - ((_figure(Path("/proc/self/status"), "VmSize:") or 0) << 10)


def _figure(path: Path, name: str) -> int | None:
    """The number after ``name`` in a file of lines, or None."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
        return next((int(line[1]) for line in lines if len(line) > 1 and line[0] == name), None)
    except (OSError, ValueError):
        return None

"""The workload's step on a GPU: its time, one by one and recorded, and how far that is from the minimum.

The minimum is counted, which needs no GPU: operations that start a kernel (some start several, so there are at least as
many kernels), floating-point operations, and the bytes that these operations read and write. Times need a GPU; without
one they are not measured, and a message says so.

    python -m benchmarks.gpu [--members 1 16] [--rounds 7] [--steps 200]
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import passes, work
from benchmarks.harness import RESULTS, Measure, Settings, column, machine, rounded, shown, take_turns
from prudent.algorithms import cql
from prudent.engine.cuda_graphs import MAX_STEPS, Steps
from prudent.engine.options import Options
from prudent.engine.process import prepare_process

PRECISIONS = {"ieee": False, "tf32": True}
WAYS = ("one by one", "recorded")
KERNELS = 15
"""Number of operations in the breakdown."""


# --- what a step needs ------------------------------------------------------------------------------------------------


class Traffic(TorchDispatchMode):
    """Counts operations that start a kernel, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.bytes = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        name = func._schema.name
        if is_view or "empty" in name or name in ("aten::detach", "aten::_unsafe_view"):
            return found
        self.operations += 1
        outputs = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
        if not outputs:  # some operations that change their arguments return nothing
            written = [v for v, a in zip(args, func._schema.arguments, strict=False) if a.is_write]
            outputs = [leaf for leaf in tree_leaves(written) if isinstance(leaf, Tensor)]
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in ("aten::index", "aten::gather"):
            # They read the chosen rows only, not the whole dataset.
            inputs = [*outputs, *inputs[1:]]
        self.bytes += sum(map(_bytes, (*inputs, *outputs)))
        return found


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor; elements that broadcasting repeats count once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@dataclass(frozen=True)
class Needs:
    """Of one step of all members: operations that start a kernel, floating-point operations, bytes read and written."""

    operations: int
    flops: int
    bytes: int


def needs(config: cql.Config, members: int) -> Needs:
    """Count on the CPU, with the passes that a GPU uses.

    As on a GPU, Adam is one operation for each network of each member.
    """
    population, data = work.prepared(config, members)
    with passes.replaced(passes.WAYS["plain"][:1]):
        population.step(data)
        with FlopCounterMode(display=False) as arithmetic:
            population.step(data)
        with Traffic() as traffic:
            population.step(data)
    return Needs(traffic.operations, arithmetic.get_total_flops(), traffic.bytes)


# --- what it takes ----------------------------------------------------------------------------------------------------


def timed(function: Any, device: torch.device) -> Measure:
    """Measures milliseconds of wall time per call; waits until the device has finished."""

    def measure(calls: int) -> float:
        _wait(device)
        began = time.perf_counter()
        for _ in range(calls):
            function()
        _wait(device)
        return 1000 * (time.perf_counter() - began) / calls

    return measure


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_of(config: cql.Config, members: int, device: torch.device, way: str, tf32: bool, count: int) -> Measure:
    """Milliseconds per step of ``count`` steps in a row."""
    population, data = work.prepared(config, members, str(device))
    said: list[str] = []
    taken = Steps(population, data, said.append)
    taken.can_record = taken.can_record and way == "recorded"

    def run() -> None:
        prepare_process(Options(device=str(device), tf32=tf32))
        until = population.state.step + count
        while (step := population.state.step) < until:
            taken.take(until - step)
        if said:
            raise SystemExit(said[0])

    measure = timed(run, device)
    return lambda calls: measure(calls) / count


def rates(device: torch.device, small: bool) -> dict[str, float]:
    """The measured rates of the device: TFLOP/s of the workload's products by precision, TB/s of a copy."""
    rows, size = (64, 1 << 10) if small else (7936, 1 << 26)
    left, right = torch.randn(2, rows, 256, device=device), torch.randn(2, 256, 256, device=device)
    flops, large = 2 * 2 * rows * 256 * 256, torch.randn(size, device=device)
    found = {}
    for name, tf32 in PRECISIONS.items():
        prepare_process(Options(device=str(device), tf32=tf32))
        measure = timed(lambda: torch.bmm(left, right), device)
        measure(20)
        found[f"products_{name}"] = flops / measure(100) / 1e9
    copy = timed(large.clone, device)
    copy(5)
    return found | {"copy": 2 * large.nbytes / copy(20) / 1e9}


def breakdown(config: cql.Config, members: int, device: torch.device, steps: int) -> list[dict[str, Any]]:
    """The operations that take most of the device's time in steps taken one by one: microseconds and calls a step."""
    population, data = work.prepared(config, members, str(device))
    for _ in range(5):
        population.step(data)
    _wait(device)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds) as found:
        for _ in range(steps):
            population.step(data)
        _wait(device)
    time_of = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    # The profile has operations and kernels; device time belongs to the kernels.
    own = [event for event in found.key_averages() if device.type == "cpu" or event.device_type == DeviceType.CUDA]
    events = sorted(own, key=lambda event: -getattr(event, time_of))[:KERNELS]
    return [{"operation": e.key, "us": getattr(e, time_of) / steps, "calls": e.count / steps} for e in events]


def measure(
    device: torch.device, members: Sequence[int], settings: Settings, steps: int
) -> tuple[dict[str, Any], list[str]]:
    """Measure everything in turn; returns the figures, and lines of text."""
    small = {"hidden": (64, 64), "n_actions": 2} if settings.small else {}
    found: dict[str, Any] = {"rates": rates(device, settings.small)}
    lines = [
        f"  {name}: {value:.3g} {'TB/s' if name == 'copy' else 'TFLOP/s'}" for name, value in found["rates"].items()
    ]
    for size in members:
        for gradient in cql.GRADIENTS:
            config = cql.Config(gradient=gradient, **small)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            measures = {
                f"{way}, {precision}": steps_of(config, size, device, way, tf32, steps)
                for way in WAYS
                for precision, tf32 in PRECISIONS.items()
            }
            turns = take_turns(measures, settings, calls=1)
            spreads = {name: column(turns, name) for name in measures}
            found[f"{size} {gradient}"] = {
                "ms": spreads,
                "rounds": turns,
                "breakdown": breakdown(config, size, device, 2 if settings.small else 20),
                "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            }
            lines += [
                f"  {size} members, {gradient}, {name:<20} {shown(ms, '.3f'):>26} ms a step, "
                f"a million in {ms['median'] * 1e6 / 60_000:.1f} minutes"
                for name, ms in spreads.items()
            ]
    return found, lines


def main(words: Sequence[str] | None = None) -> int:
    """Count, measure if there is a GPU, print, and write a file under ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 16], help="sizes of populations (default: 1 16)")
    parser.add_argument("--rounds", type=int, default=7, help="turns that count (default: 7)")
    parser.add_argument("--steps", type=int, default=200, help=f"in a turn, a multiple of {MAX_STEPS} (default: 200)")
    arguments = parser.parse_args(words)
    if arguments.steps < MAX_STEPS or arguments.steps % MAX_STEPS or arguments.rounds < 1 or min(arguments.members) < 1:
        parser.error(f"--members and --rounds must be 1 or more, --steps a multiple of {MAX_STEPS}")
    for size in arguments.members:
        for gradient in cql.GRADIENTS:
            found = needs(cql.Config(gradient=gradient), size)
            print(
                f"{size} members, {gradient}: {found.operations} operations that start a kernel, "
                f"{found.flops / 1e9:.2f} GFLOP, {found.bytes / 1e6:.0f} MB read and written"
            )
    if not torch.cuda.is_available():
        print("times are not measured: there is no CUDA device here")
        return 0
    device = torch.device("cuda")
    figures, lines = measure(device, arguments.members, Settings(arguments.rounds), arguments.steps)
    print("\n".join(lines))
    path = RESULTS / "gpu.json"
    named = {"device": torch.cuda.get_device_name(device), **machine()}
    path.write_text(json.dumps(rounded({"environment": named, **figures}), indent=1) + "\n", encoding="utf-8")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

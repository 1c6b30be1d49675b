"""What a CQL training step costs, in units of the matrix products that it cannot do without.

The work item: 17 observation and 6 action features, batch 256, 10 actions per proposal distribution (30 proposals and
the data action), 2 critics of 2 x 256, one member, float32, CPU. Its critics' hidden layer needs six products of
(7936 x 256) by (256 x 256): forward, gradient of the input and gradient of the weight, for each of two critics. A step
is everything that training does: sampling the batch, the noise, critics, actor, temperature, targets.

Step and products are timed in turn, round after round, in one process: on a machine that others use, absolute times
move by a factor of two within minutes, and only the ratio means something. With one thread the clock is the process's
own, which stands still while others have the core; with more it is the clock on the wall. Nothing here passes or fails.

The products are those of ``torch.mm``. Where :mod:`prudent.kernels.products` has a faster library, the same products
by that one are timed too: that is how far down a step could go. ``--plain`` also times the step without the fast
passes, as the plain functions of :mod:`prudent.nn` and :mod:`prudent.optim` compute it; ``--mkl`` with the fast passes
but every product by ``torch.mm``.

    python benchmarks/cql_step.py [--rounds 9] [--steps 10] [--threads 1] [--gradient exact] [--plain] [--mkl]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from prudent import loop, optim, runs
from prudent.algorithms import cql
from prudent.data import Dataset
from prudent.kernels import cpu, products
from prudent.members import grid
from prudent.population import Population
from prudent.scaling import Scaling

OBSERVATION, ACTION, ROWS = 17, 6, 20_000
LABELS = {
    "products": "six matrix products, torch.mm",
    "fast_products": "six matrix products, oneDNN",
    "step": "full CQL step",
    "plain_step": "full CQL step, plain passes",
    "mkl_step": "full CQL step, all products by torch.mm",
}
RESULTS = Path(__file__).resolve().parent / "results"


def work_item(config: cql.Config) -> Callable[[], object]:
    """A function that makes one training step of one member on random data."""
    generator = np.random.default_rng(0)
    dataset = Dataset.from_columns(
        observation=generator.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
        action=generator.uniform(-1, 1, size=(ROWS, ACTION)).astype(np.float32),
        reward=generator.normal(size=ROWS).astype(np.float32),
        next_observation=generator.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
        terminated=generator.random(ROWS) < 0.01,
        truncated=np.arange(1, ROWS + 1) % 1000 == 0,
        action_low=-1.0,
        action_high=1.0,
        name="random",
    )
    scaling = Scaling.fit(dataset, config.normalize_observations)
    population = Population("cql", grid(config, {}, [0]), dataset.spec, scaling, torch.device("cpu"))
    data, _ = population.prepare(dataset)
    return lambda: population.step(data)


def six_products(config: cql.Config) -> dict[str, Callable[[], object]]:
    """Functions that multiply what the exact critic passes have to multiply, and nothing else, by library."""
    width = config.hidden[0]
    rows = config.batch_size * (len(config.proposals) * config.n_actions + 1)
    hidden, gradient, weight = torch.randn(rows, width), torch.randn(rows, width), torch.randn(width, width)
    forward, back, weights = torch.empty(rows, width), torch.empty(rows, width), torch.empty(width, width)

    def by_torch() -> None:
        for _ in range(2):
            torch.mm(hidden, weight, out=forward)
            torch.mm(gradient, weight.T, out=back)
            torch.mm(hidden.T, gradient, out=weights)

    def by_kernels() -> None:
        for _ in range(2):
            products.forward(hidden, weight, None)
            products.to_input(gradient, weight)
            products.to_weight(hidden, gradient)

    return {"products": by_torch, **({"fast_products": by_kernels} if products.prefers_onednn() else {})}


@contextmanager
def replaced(*changes: tuple[object, str, object]) -> Iterator[None]:
    """Attributes of modules put in place of others for a while."""
    before = [getattr(module, name) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(changes, before, strict=True):
            setattr(module, name, value)


def plainly(step: Callable[[], object]) -> Callable[[], object]:
    """``step`` without the fast passes."""
    plain = ((cpu, "covers", lambda *_: False), (optim, "_fused_step", optim.plain_step))
    return lambda: _within(plain, step)


def by_torch_alone(step: Callable[[], object]) -> Callable[[], object]:
    """``step`` with every product by ``torch.mm``."""
    return lambda: _within(((products, "prefers_onednn", lambda: False),), step)


def _within(changes: tuple[tuple[object, str, object], ...], step: Callable[[], object]) -> None:
    with replaced(*changes):
        step()


def milliseconds(function: Callable[[], object], times: int) -> float:
    """Mean time of one call."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    for _ in range(times):
        function()
    return 1000 * (clock() - began) / times


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(timed: dict[str, Callable[[], object]], rounds: int, steps: int) -> dict[str, object]:
    """``rounds`` turns of all functions, each the mean of ``steps`` calls, after one turn that does not count.

    Ratios are to ``products``, turn by turn.
    """
    turns = [{name: milliseconds(call, steps) for name, call in timed.items()} for _ in range(rounds + 1)][1:]
    return {
        **{f"{name}_ms": spread([turn[name] for turn in turns]) for name in timed},
        **{f"{n}_over_products": spread([t[n] / t["products"] for t in turns]) for n in timed if n != "products"},
        "rounds": [{f"{name}_ms": value for name, value in turn.items()} for turn in turns],
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write a file under ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="pairs of measurements, 5 or more (default: 9)")
    parser.add_argument("--steps", type=int, default=10, help="steps per measurement (default: 10)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--gradient", choices=("exact", "sampled"), default="exact", help="of the log-sum-exp")
    parser.add_argument("--plain", action="store_true", help="also the step without the fast passes")
    parser.add_argument("--mkl", action="store_true", help="also the step with every product by torch.mm")
    arguments = parser.parse_args(words)
    if arguments.rounds < 5 or arguments.steps < 1:
        parser.error("--rounds must be 5 or more and --steps 1 or more")
    # The same process settings as a training run: threads, and an allocator that keeps what it has.
    device = loop.prepare_process(loop.Options(device="cpu", threads=arguments.threads))
    config = cql.Config(gradient=arguments.gradient)
    step = work_item(config)
    timed = {**six_products(config), "step": step}
    timed |= {"plain_step": plainly(step)} if arguments.plain else {}
    timed |= {"mkl_step": by_torch_alone(step)} if arguments.mkl else {}
    found = {
        "benchmark": "cql_step",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "work_item": f"S {OBSERVATION} A {ACTION} B {config.batch_size} N {config.n_actions} E {config.n_critics} "
        f"{'x'.join(map(str, config.hidden))}, gradient {config.gradient}",
        "steps_per_measurement": arguments.steps,
        "environment": {**runs.environment(device), "machine": platform.machine()},
        "clock": "process" if torch.get_num_threads() == 1 else "wall",
        **measure(timed, arguments.rounds, arguments.steps),
    }
    name = f"cql_step-{arguments.gradient}-{torch.get_num_threads()}-threads.json"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['work_item']}; {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{found['environment']['processor']}; {arguments.rounds} rounds of {arguments.steps}, median (range)")
    for part in timed:
        figures, ratio = found[f"{part}_ms"], found.get(f"{part}_over_products")
        shown = f"  {LABELS[part]:<38} {figures['median']:7.2f} ms  ({figures['min']:.2f} to {figures['max']:.2f})"
        if ratio is not None:
            shown += f"; over products {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        print(shown)
    print(f"written to {RESULTS / name}")


if __name__ == "__main__":
    main()

"""What a CQL training step costs, in units of the matrix products that it cannot do without.

The work item: 17 observation and 6 action features, batch 256, 10 actions per proposal distribution (30 proposals and
the data action), 2 critics of 2 x 256, one member, float32, CPU. Its critics' hidden layer needs six products of
(7936 x 256) by (256 x 256): forward, gradient of the input and gradient of the weight, for each of two critics. A step
is everything that training does: sampling the batch, the noise, critics, actor, temperature, targets.

Step and products are timed in turn, round after round, in one process: on a machine that others use, absolute times
move by a factor of two within minutes, and only the ratio means something. Nothing here passes or fails.

    python benchmarks/cql_step.py [--rounds 9] [--steps 10] [--threads 1] [--gradient exact]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from prudent import loop, runs
from prudent.algorithms import cql
from prudent.data import Dataset
from prudent.members import grid
from prudent.population import Population
from prudent.scaling import Scaling

OBSERVATION, ACTION, ROWS = 17, 6, 20_000
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


def six_products(config: cql.Config) -> Callable[[], object]:
    """A function that multiplies what the exact critic passes have to multiply, and nothing else."""
    width = config.hidden[0]
    rows = config.batch_size * (len(config.proposals) * config.n_actions + 1)
    hidden, gradient, weight = torch.randn(rows, width), torch.randn(rows, width), torch.randn(width, width)
    forward, back, weights = torch.empty(rows, width), torch.empty(rows, width), torch.empty(width, width)

    def multiply() -> None:
        for _ in range(2):
            torch.mm(hidden, weight, out=forward)
            torch.mm(gradient, weight.T, out=back)
            torch.mm(hidden.T, gradient, out=weights)

    return multiply


def milliseconds(function: Callable[[], object], times: int) -> float:
    """Mean time of one call."""
    began = time.perf_counter()
    for _ in range(times):
        function()
    return 1000 * (time.perf_counter() - began) / times


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(config: cql.Config, rounds: int, steps: int) -> dict[str, object]:
    """``rounds`` pairs of (products, step), each the mean of ``steps`` calls, after one pair that does not count."""
    step, products = work_item(config), six_products(config)
    pairs = [(milliseconds(products, steps), milliseconds(step, steps)) for _ in range(rounds + 1)][1:]
    return {
        "products_ms": spread([p for p, _ in pairs]),
        "step_ms": spread([s for _, s in pairs]),
        "step_over_products": spread([s / p for p, s in pairs]),
        "rounds": [{"products_ms": p, "step_ms": s} for p, s in pairs],
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write a file under ``benchmarks/results/``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="pairs of measurements, 5 or more (default: 9)")
    parser.add_argument("--steps", type=int, default=10, help="steps per measurement (default: 10)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--gradient", choices=("exact", "sampled"), default="exact", help="of the log-sum-exp")
    arguments = parser.parse_args(words)
    if arguments.rounds < 5 or arguments.steps < 1:
        parser.error("--rounds must be 5 or more and --steps 1 or more")
    # The same process settings as a training run: threads, and an allocator that keeps what it has.
    device = loop.prepare_process(loop.Options(device="cpu", threads=arguments.threads))
    config = cql.Config(gradient=arguments.gradient)
    found = {
        "benchmark": "cql_step",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "work_item": f"S {OBSERVATION} A {ACTION} B {config.batch_size} N {config.n_actions} E {config.n_critics} "
        f"{'x'.join(map(str, config.hidden))}, gradient {config.gradient}",
        "steps_per_measurement": arguments.steps,
        "environment": {**runs.environment(device), "machine": platform.machine()},
        **measure(config, arguments.rounds, arguments.steps),
    }
    name = f"cql_step-{arguments.gradient}-{torch.get_num_threads()}-threads.json"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['work_item']}; {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{found['environment']['processor']}; {arguments.rounds} rounds of {arguments.steps}, median (range)")
    for label, key, unit in (
        ("six matrix products", "products_ms", " ms"),
        ("full CQL step", "step_ms", " ms"),
        ("step / products", "step_over_products", ""),
    ):
        figures = found[key]
        print(f"  {label:<20} {figures['median']:7.2f}{unit}  ({figures['min']:.2f} to {figures['max']:.2f})")
    print(f"written to {RESULTS / name}")


if __name__ == "__main__":
    main()

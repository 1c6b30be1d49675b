"""The one training loop, for every algorithm: draw a batch, make a step, tell an observer.

:mod:`prudent.train` runs it in a folder, the estimators run it bare.
"""

import math
from dataclasses import dataclass

import torch

from prudent.allocator import keep_freed_memory
from prudent.data import Dataset
from prudent.errors import ConfigError
from prudent.files import human
from prudent.population import Population
from prudent.steps import Steps
from prudent.training_data import TrainingData
from prudent.types import Metrics, Totals


@dataclass(frozen=True)
class Options:
    """How to train, apart from the algorithm's own settings."""

    steps: int = 100_000  # gradient steps in all
    env: str | None = None  # Gymnasium id to evaluate in; none evaluates nowhere
    log_every: int = 1_000  # steps between lines of metrics
    eval_every: int = 5_000  # steps between evaluations
    eval_episodes: int = 10  # episodes per evaluation and member
    checkpoint_every: int = 5_000  # steps between checkpoints; the best evaluation so far saves one too
    keep: int = 3  # newest checkpoints to keep; the one with the best evaluation stays too
    max_minutes: float | None = None  # save and stop after this time, to be resumed; none never stops
    divergence_factor: float | None = 100.0  # |Q| beyond this times r_max / (1 - discount) has diverged; none: NaN only
    rollbacks: int = 0  # how often a diverged member is set back and goes on with half the step size, before it stops
    video: bool = False  # record a GIF of the first member at each evaluation
    device: str = "auto"  # auto, cpu, cuda or mps
    threads: int | None = None  # CPU threads; none leaves it to PyTorch
    tf32: bool = True  # let CUDA round the factors of float32 products to 10 bits (TF32), several times as fast

    def __post_init__(self):
        for name in ("steps", "log_every", "eval_every", "eval_episodes", "checkpoint_every", "keep", "threads"):
            value = getattr(self, name)
            if name == "threads" and value is None:
                continue
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number, 1 or more, got {value!r}")
        if not isinstance(self.rollbacks, int) or self.rollbacks < 0:
            raise ConfigError(f"rollbacks must be a whole number, 0 or more, got {self.rollbacks!r}")
        if self.divergence_factor is not None and not self.divergence_factor > 0:
            raise ConfigError(f"divergence_factor must be above 0, got {self.divergence_factor:g}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ConfigError(f"max_minutes must be above 0, got {self.max_minutes:g}")
        if not isinstance(self.tf32, bool):
            raise ConfigError(f"tf32 must be True or False, got {self.tf32!r}")
        if self.video and self.env is None:
            raise ConfigError("video needs an environment to film: give env")


def choose_device(name: str) -> torch.device:
    """The device called ``name``; auto is cuda where there is one, else cpu.

    mps is untested, so it has to be asked for.

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
        there = ", ".join(kind for kind, found in count.items() if found)
        raise ConfigError(f"device {name!r} is not available here; available: {there}")
    return torch.device(name)


def prepare_process(options: Options) -> torch.device:
    """Threads, allocator and precision of this process, and the device to train on.

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


class Observer:
    """What happens around the steps; this one only adds metrics up."""

    def __init__(self) -> None:
        self.totals = Totals()

    def say(self, told: str) -> None:
        """Something for people: what lies where and takes how much memory, and how steps are taken."""

    def began(self, metrics: Metrics) -> None:
        """Before the first step; ``metrics`` are those of the first values, if any were fitted."""

    def due(self, step: int) -> float:  # noqa: ARG002
        """The first step after ``step`` behind which :meth:`stepped` must be called."""
        return math.inf

    def stepped(self, step: int, totals: Totals) -> None:  # noqa: ARG002 - for those who do more
        """After one or several steps, the last of them the one with the number ``step``."""
        self.totals.add(totals)


def memory_line(population: Population, data: TrainingData) -> str:
    """What lies where and takes how much memory, one line."""
    networks = sum(tensor.nbytes for tensor in population.tensors().values())
    return f"memory: {data.memory()}; networks and optimisers {human(networks)} on {population.device}"


def fit(population: Population, dataset: Dataset, steps: int, observer: Observer) -> None:
    """Train ``population`` until it has made ``steps`` steps in all, telling ``observer`` of each."""
    data, first_values = population.prepare(dataset)
    observer.say(memory_line(population, data))
    observer.began(first_values)
    training = Steps(population, data, observer.say)
    while (step := population.state.step) < steps:
        totals = training.take(int(min(steps, observer.due(step))) - step)
        observer.stepped(population.state.step, totals)

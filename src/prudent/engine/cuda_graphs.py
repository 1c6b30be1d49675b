"""Training steps: one by one, or several at once on a GPU as a CUDA graph.

A step of small networks is hundreds of short kernels. The GPU finishes each before Python has launched the next. So a
sequence of steps, sampling included, is recorded once as a CUDA graph and then replayed. A graph repeats the same
kernels on the same memory. It can be replayed whenever the next steps have the same stages, because training changes
tensors in place. Random numbers continue from the current random state. So a graph changes how long steps take, not
what they compute.
"""

import gc
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from prudent.algorithms.shared import schedule
from prudent.engine.batches import TrainingData
from prudent.engine.population import Population
from prudent.types import Metrics, Totals

MAX_STEPS = 20
"""Steps in one graph, at most. The time that Python needs between two replays is then small."""
MAX_GRAPHS = 8
"""Graphs, at most; each has its own memory. Further sequences are taken step by step."""
REMEMBERED = 256
"""Sequences remembered as taken once. Enough for a schedule with a long period to come round again."""

_failed: list[torch.cuda.CUDAGraph] = []
"""Graphs whose recording failed. PyTorch's allocator still uses them, so they stay. Nothing is recorded afterwards."""

Stages = tuple[tuple[Any, ...], ...]
"""The stage of each step of a sequence. Sequences with the same stages run the same code."""


@dataclass(frozen=True)
class RecordedSteps:
    """A sequence of steps as a CUDA graph, and the tensors in which it leaves the sums of their metrics."""

    graph: torch.cuda.CUDAGraph
    sums: Metrics
    counts: dict[str, int]

    def replay(self) -> Totals:
        """Take the steps. The sums are copies, because the next replay overwrites the graph's own tensors."""
        self.graph.replay()
        copies = torch.stack(list(self.sums.values())).unbind() if self.sums else ()
        return Totals(dict(zip(self.sums, copies, strict=True)), dict(self.counts))


class Steps:
    """Takes the training steps of a population on its data.

    They are recorded where population and data are on a CUDA device. A sequence of stages is taken step by step the
    first time, which loads what cannot be loaded during a recording. The second time it is recorded. If that fails,
    ``say`` is called with the reason and this process takes all further steps one by one.
    """

    def __init__(self, population: Population, data: TrainingData, say: Callable[[str], object]):
        self.population, self.data, self.say = population, data, say
        self.can_record = population.device.type == "cuda" and data.on_device and not _failed
        self._recorded: dict[Stages, RecordedSteps] = {}
        self._seen: deque[Stages] = deque(maxlen=REMEMBERED)

    def take(self, most: int) -> Totals:
        """Take 1 to ``most`` steps; returns the sums of their metrics."""
        if not self.can_record:
            return self._one_by_one(1)
        state, hyper = self.population.state, self.population.hyper
        count = min(most, MAX_STEPS)
        stages = tuple(schedule.stage(hyper, step) for step in range(state.step, state.step + count))
        if stages not in self._recorded:
            if stages not in self._seen or len(self._recorded) == MAX_GRAPHS:
                self._seen.append(stages)
                return self._one_by_one(count)
            recording = self._record(count)
            if recording is None:
                return self._one_by_one(count)
            self._recorded[stages] = recording
        state.step += count
        return self._recorded[stages].replay()

    def _one_by_one(self, count: int) -> Totals:
        totals = Totals()
        for _ in range(count):
            totals.add(Totals.of(self.population.step(self.data)))
        return totals

    def _record(self, count: int) -> RecordedSteps | None:
        """Record the next ``count`` steps without taking them; None where they cannot be recorded."""
        population, state = self.population, self.population.state
        device, step = population.device, state.step
        generators = {stream: rng.state() for stream, rng in population.rngs.items()}
        # Garbage collected during the recording, such as an old graph, would be freed inside the new graph.
        gc.collect()
        # A failed recording leaves its stream as the current one; the outer context restores the previous stream.
        with torch.cuda.device(device), torch.cuda.stream(torch.cuda.current_stream(device)):
            graph = torch.cuda.CUDAGraph()
            for rng in population.rngs.values():
                for generator in rng.generators:
                    graph.register_generator_state(generator)
            # thread_local: other threads, such as loggers, may use the device meanwhile. A stream of this device:
            # PyTorch's default one belongs to the device that recorded first.
            recording = torch.cuda.graph(graph, stream=torch.cuda.Stream(device), capture_error_mode="thread_local")
            try:
                with recording:
                    totals = self._one_by_one(count)
            except RuntimeError as error:
                self.can_record = False
                _failed.append(graph)
                population.renew_generators(generators)
                # Ending the recording fails too; the first error, its context, says why.
                reason = str(error.__context__ or error).splitlines()[0]
                self.say(f"steps are taken one by one: no CUDA graph could be made of them ({reason})")
                return None
            finally:
                # Nothing was computed, but state.step was counted up.
                state.step = step
        return RecordedSteps(graph, totals.sums, totals.counts)

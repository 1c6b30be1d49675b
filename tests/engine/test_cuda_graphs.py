"""Runs of steps: what they add up to, when they are recorded, and what happens where they cannot be."""

import contextlib

import pytest
import torch

from helpers.runs import task_of, write_log
from prudent import algorithms
from prudent.data import load_dataset
from prudent.engine import cuda_graphs, loop
from prudent.engine.cuda_graphs import MAX_GRAPHS, MAX_STEPS, Steps
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling


@pytest.fixture
def dataset(tmp_path):
    return load_dataset(write_log(tmp_path / "log.npz"))


def population_of(dataset, algorithm="td3_bc", **settings):
    """Two members and their data."""
    config = algorithms.get(algorithm).Config(hidden=(8, 8), batch_size=16, **settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    population = Population(algorithm, grid(config, {}, [0, 1]), dataset.spec, Scaling.fit(dataset, True), device)
    return population, population.prepare(dataset)[0]


def state_of(population):
    return {name: t.clone() for name, t in population.tensors().items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, t in expected.items():
        assert torch.equal(found[name], t), f"{name} differs"


class Graphs:
    """Stands in for CUDA graphs: what is recorded leaves no trace, a replay does it, on the device there is.

    ``failing`` is what goes wrong in a recording, which then ends as CUDA's do: with an error of its own, and with its
    stream left behind as the current one.
    """

    def __init__(self, monkeypatch, population, failing=None):
        self.population, self.failing, self.lengths = population, failing, []
        self.on_device, self.stream = False, "main"
        monkeypatch.setattr(cuda_graphs, "_failed", [])
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(self))
        monkeypatch.setattr(torch.cuda, "graph", self.recording)
        monkeypatch.setattr(torch.cuda, "device", self.device)
        monkeypatch.setattr(torch.cuda, "stream", self.within)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"a new one of {device}")
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: self.stream)

    @contextlib.contextmanager
    def device(self, device):
        assert device == self.population.device
        self.on_device = True
        yield
        self.on_device = False

    @contextlib.contextmanager
    def within(self, stream):
        before, self.stream = self.stream, stream
        yield
        self.stream = before

    @contextlib.contextmanager
    def recording(self, graph, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        assert stream == f"a new one of {self.population.device}", "the stream may be another device's"
        expected = {g for rng in self.population.rngs.values() for g in rng.generators}
        assert graph.registered == expected, "a generator that draws in the recording is not known to it"
        before, step, outside = state_of(self.population), self.population.state.step, self.stream
        self.stream = stream
        yield
        count = self.population.state.step - step
        for name, t in self.population.tensors().items():
            if not name.startswith("rng."):
                t.copy_(before[name])
        for name, rng in self.population.rngs.items():
            rng.restore(before[f"rng.{name}"])
        if self.failing:
            # Generators that took part in a failed recording are of no use any more.
            for rng in self.population.rngs.values():
                rng.generators = [None] * len(rng.generators)
            try:
                raise self.failing
            except RuntimeError:
                raise RuntimeError("operation failed due to a previous error during capture")  # noqa: B904
        self.stream = outside
        graph.step, graph.count = step, count
        self.lengths.append(count)


class _Graph:
    def __init__(self, graphs):
        assert graphs.on_device, "what a graph allocates is to lie on its device"
        self.graphs, self.registered, self.step, self.count = graphs, set(), 0, 0

    def register_generator_state(self, generator):
        self.registered.add(generator)

    def replay(self):
        """The steps, and their sums where the recording left them."""
        population, data, into = self.graphs.population, self.graphs.data, self.sums
        step, population.state.step = population.state.step, self.step  # the work of the steps that were recorded
        totals = cuda_graphs.Totals()
        for _ in range(self.count):
            totals.add(cuda_graphs.Totals.of(population.step(data)))
        population.state.step = step  # Python does not count in a replay
        for name, t in into.items():
            t.copy_(totals.sums[name])


@pytest.fixture
def recorded(monkeypatch, dataset):
    """Makes the steps of a population as on a GPU, with stand-ins for graphs."""

    def made(failing=None, **settings):
        population, data = population_of(dataset, **settings)
        graphs = Graphs(monkeypatch, population, failing)
        graphs.data, said = data, []
        taken = Steps(population, data, said.append)
        taken.can_record = True
        record = taken._record

        def noted(count):
            found = record(count)
            if found is not None:
                # Copies: on the CPU a metric may be a view of a setting.
                object.__setattr__(found, "sums", {name: t.clone() for name, t in found.sums.items()})
                found.graph.sums = found.sums
            return found

        monkeypatch.setattr(taken, "_record", noted)
        return population, taken, graphs, said

    return made


def all_of(taken, population, until, most=10**6):
    """Totals up to a step."""
    totals = cuda_graphs.Totals()
    while population.state.step < until:
        totals.add(taken.take(min(most, until - population.state.step)))
    return totals


def plainly(dataset, until, **settings):
    """State and totals of as many steps, one by one."""
    population, data = population_of(dataset, **settings)
    totals = cuda_graphs.Totals()
    for _ in range(until):
        totals.add(cuda_graphs.Totals.of(population.step(data)))
    return population, totals


def test_without_a_gpu_a_step_is_taken_at_a_time(dataset):
    population, data = population_of(dataset)
    taken = Steps(population, data, print)
    taken.can_record = False
    totals = taken.take(50)
    assert population.state.step == 1
    assert set(totals.counts.values()) == {1}


@pytest.mark.parametrize("settings", [{}, {"actor_period": 3, "target_period": 2}])
def test_recorded_steps_are_the_same_steps(recorded, dataset, settings):
    population, taken, graphs, said = recorded(**settings)
    totals = all_of(taken, population, 130, most=50)
    expected, counted = plainly(dataset, 130, **settings)
    assert_same(state_of(population), state_of(expected))
    assert totals.counts == counted.counts
    for name, mean in counted.means().items():
        torch.testing.assert_close(totals.means()[name], mean, msg=lambda text, name=name: f"{name}: {text}")
    assert graphs.lengths, "nothing was recorded"
    assert max(graphs.lengths) <= MAX_STEPS
    assert said == []


def test_a_run_of_steps_is_recorded_the_second_time(recorded):
    population, taken, graphs, _ = recorded(actor_period=1)
    taken.take(100)
    assert graphs.lengths == []
    taken.take(100)
    taken.take(100)
    taken.take(7)
    assert graphs.lengths == [MAX_STEPS]
    assert population.state.step == 3 * MAX_STEPS + 7


def test_sums_of_a_replay_outlive_the_next_one(recorded):
    population, taken, _, _ = recorded()
    all_of(taken, population, 3 * MAX_STEPS)
    first = taken.take(MAX_STEPS)
    before = {name: t.clone() for name, t in first.sums.items()}
    taken.take(MAX_STEPS)
    assert_same(first.sums, before)


@pytest.fixture
def short_runs(monkeypatch) -> int:
    """Runs of 8 steps at most."""
    monkeypatch.setattr(cuda_graphs, "MAX_STEPS", 8)
    return 8


def test_more_kinds_of_runs_than_are_kept(short_runs, recorded, dataset):
    """With a period of 11 there are nine kinds of runs of 8 steps, one more than are kept."""
    population, taken, graphs, _ = recorded(algorithm="cql", n_actions=2, actor_period=11)
    all_of(taken, population, 22 * short_runs)
    assert len(graphs.lengths) == MAX_GRAPHS
    expected, _ = plainly(dataset, 22 * short_runs, algorithm="cql", n_actions=2, actor_period=11)
    assert_same(state_of(population), state_of(expected))


def test_after_a_schedule_of_its_own_runs_are_recorded(short_runs, recorded):
    settings = {"n_actions": 2, "alpha_final": 1.0, "alpha_anneal_steps": (MAX_GRAPHS + 3) * short_runs}
    population, taken, graphs, _ = recorded(algorithm="cql", **settings)
    all_of(taken, population, (MAX_GRAPHS + 3) * short_runs)
    assert graphs.lengths == [], "alpha differs in every step"
    all_of(taken, population, (MAX_GRAPHS + 8) * short_runs)
    assert graphs.lengths == [short_runs]


def test_where_no_graph_can_be_made_steps_go_on_one_by_one(recorded, dataset):
    error = RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be ...")
    population, taken, graphs, said = recorded(failing=error)
    all_of(taken, population, 70)
    assert said == [
        "steps are taken one by one: no CUDA graph could be made of them "
        "(operation not permitted when stream is capturing)"
    ]
    assert (graphs.lengths, graphs.stream) == ([], "main")
    assert_same(state_of(population), state_of(plainly(dataset, 70)[0]))
    assert len(cuda_graphs._failed) == 1, "the graph may be freed, or it was tried again"
    population.device = torch.device("cuda")
    assert not Steps(population, taken.data, said.append).can_record, "the next in this process would try again"


def test_an_error_of_our_own_is_not_taken_for_a_graph_that_cannot_be_made(recorded):
    population, taken, _, _ = recorded(failing=TypeError("a bug"))
    with pytest.raises(TypeError, match="a bug"):
        all_of(taken, population, 70)
    assert population.state.step == MAX_STEPS


class Told(loop.Observer):
    """Wants to be told behind every 15th step."""

    def __init__(self):
        super().__init__()
        self.steps, self.said = [], []

    def say(self, told):
        self.said.append(told)

    def due(self, step):
        return step - step % 15 + 15

    def stepped(self, step, totals):
        super().stepped(step, totals)
        self.steps.append(step)


def test_the_loop_stops_where_its_observer_wants_to_be_told(monkeypatch, dataset):
    population, _ = population_of(dataset)
    Graphs(monkeypatch, population, RuntimeError("no"))
    monkeypatch.setattr(cuda_graphs, "MAX_STEPS", 10)
    made = cuda_graphs.Steps

    def recording(*words):
        found = made(*words)
        found.can_record = True
        return found

    monkeypatch.setattr(loop, "Steps", recording)
    told = Told()
    loop.fit(population, dataset, 33, told)
    assert told.steps[:3] == [10, 15, 25]
    assert {15, 30, 33} <= set(told.steps)
    assert told.totals.counts["critic_loss"] == 33
    assert told.said[0].startswith("memory: ")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("algorithm", algorithms.names())
def test_on_a_gpu_recorded_steps_are_the_steps_taken_one_by_one(algorithm, tmp_path):
    dataset = load_dataset(write_log(tmp_path / "log.npz", **task_of(algorithm)[1]))
    population, data = population_of(dataset, algorithm)
    said = []
    taken = Steps(population, data, said.append)
    assert taken.can_record
    totals = all_of(taken, population, 5 * MAX_STEPS)
    assert said == [], "steps could not be recorded"
    expected, counted = plainly(dataset, 5 * MAX_STEPS, algorithm=algorithm)
    assert totals.counts == counted.counts
    torch.testing.assert_close(state_of(population), state_of(expected))

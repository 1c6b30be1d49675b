"""Windows of several steps: which rows they have, in memory and in files, and which logs have none."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.trajectories import LENGTHS, tensors_of, trajectory_log
from prudent import CPQL, CQL, DiscreteCQL, algorithms
from prudent.data import Dataset
from prudent.data.mapped.folder import Writer
from prudent.data.readers.stream import rows_of as rows_of_stream
from prudent.engine import windows
from prudent.engine.batches import TrainingData
from prudent.engine.members import Member
from prudent.engine.population import Population, new_population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError
from prudent.nn.rng import MemberRng
from prudent.types import Hyper

SMALL = {"hidden": (8,), "batch_size": 16}


def population(dataset: Dataset, algorithm: str = "cql", **settings) -> Population:
    config = algorithms.get(algorithm).Config(**{**SMALL, **settings})
    return new_population(dataset, algorithm, [Member(f"seed={seed}", seed, config) for seed in (0, 1)], "cpu")


def test_a_window_follows_its_episode_and_repeats_its_last_row():
    follows = torch.tensor([True, True, False, True, False, False])
    rows, goes_on = windows.rows_of(torch.tensor([[0, 1, 2, 3, 5]]), lambda r: follows[r.clamp(max=5)], 3)
    assert rows[0].T.tolist() == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [3, 4, 4], [5, 5, 5]]
    assert goes_on[0].T.tolist() == [
        [True, True, False],
        [True, False, False],
        [False, False, False],
        [True, False, False],
        [False, False, False],
    ]


def test_a_window_stops_where_the_next_row_does_not_go_on_from_this_one():
    data = trajectory_log()
    moved = data.next_observation.copy()
    moved[3] += 1.0  # inside the first episode: a row was left out there
    gap = replace(data, next_observation=moved)
    source, _ = population(gap, n_steps=5).prepare(gap)
    window = source.windows.gather(torch.tensor([[1], [1]]))
    assert [bool(step.goes_on[0, 0]) for step in window] == [True, True, False, False, False]
    assert float(window[-1].reward[0, 0]) == pytest.approx(float(data.reward[3]))
    assert not window[-1].terminated.any()


def mapped(data: Dataset, folder) -> Dataset:
    with Writer(folder, len(data)) as writer:
        writer.append(rows_of_stream(data, slice(None)))
        return writer.finish(data.spec, data.name)


@pytest.mark.parametrize(
    ("algorithm", "trace", "masked"),
    [("cql", 1.0, False), ("cql", 0.5, False), ("rebrac", 0.5, False), ("discrete_cql", 0.5, True)],
)
def test_windows_of_a_mapped_log_are_those_of_one_in_memory(tmp_path, algorithm, trace, masked):
    data = trajectory_log(discrete=masked, with_dt=True, masked=masked)
    files = mapped(data, tmp_path / "log")
    module = algorithms.get(algorithm)
    config = module.Config(n_steps=4, trace=trace, reward_scale=2.0, reward_shift=-0.5)
    found = []
    for log in (data, files):
        hyper = Hyper([config, replace(config, reward_scale=3.0)])
        source = TrainingData(log, Scaling.fit(log, True), hyper, torch.device("cpu"), module.NEEDS)
        rng = MemberRng([0, 1], "sample")
        found.append((source.on_device, [source.sample(rng, size) for size in (8, 8, 5, 8)]))
    (inside, batches), (outside, others) = found
    assert (inside, outside) == (True, False)
    for batch, other in zip(batches, others, strict=True):
        assert len(batch.window) == 4
        assert (batch.window[0].next is None) == (trace == 1.0)
        for tensor, same in zip(tensors_of(batch), tensors_of(other), strict=True):
            assert torch.equal(tensor, same)


def test_the_same_rows_are_drawn_as_with_one_step():
    data, drawn = trajectory_log(), []
    for n_steps in (1, 5):
        members = population(data, n_steps=n_steps)
        source, _ = members.prepare(data)
        drawn.append([source.sample(members.rngs["sample"], 16) for _ in range(3)])
    for one, several in zip(*drawn, strict=True):
        assert torch.equal(one.observation, several.observation)
        assert torch.equal(one.reward, several.window[0].reward)


def test_a_restored_population_goes_on_bit_for_bit():
    data = trajectory_log()
    whole, halves = (population(data, "cpql", n_steps=3, trace=0.5, n_actions=2) for _ in range(2))
    source, _ = whole.prepare(data)
    for _ in range(6):
        whole.step(source)
    first, _ = halves.prepare(data)
    for _ in range(3):
        halves.step(first)
    stored = {name: tensor.clone() for name, tensor in halves.tensors().items()}
    again = population(data, "cpql", n_steps=3, trace=0.5, n_actions=2)
    again.restore(stored, 3)
    second, _ = again.prepare(data)
    for _ in range(3):
        again.step(second)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, again.tensors()[name]), name


def test_a_member_learns_alone_as_in_a_population():
    data = trajectory_log()
    both = population(data, n_steps=4, trace=0.5, n_actions=2)
    config = both.members[1].config
    alone = new_population(data, "cql", [Member("seed=1", 1, config)], "cpu")
    for members in (both, alone):
        source, _ = members.prepare(data)
        for _ in range(4):
            members.step(source)
    for name, tensor in both.state.networks["critic"].items():
        assert torch.equal(tensor[1:], alone.state.networks["critic"][name]), name


# --- what has no windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
def test_n_steps_is_a_whole_number_above_0(wrong):
    for name in ("cql", "sac", "iql", "td3_bc", "discrete_cql", "cpql"):
        with pytest.raises(ConfigError, match="n_steps must be a whole number, 1 or more, got"):
            algorithms.get(name).Config(n_steps=wrong)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_the_trace_lies_within_0_and_1(wrong):
    for name in ("cql", "rebrac", "ciql", "discrete_iql"):
        with pytest.raises(ConfigError, match=r"trace must lie within \[0, 1\], got"):
            algorithms.get(name).Config(trace=wrong)


def test_n_steps_is_the_same_for_all_members():
    with pytest.raises(ConfigError, match="n_steps must be the same for all members"):
        CQL(n_steps=[1, 5])


def test_windows_longer_than_every_episode_are_refused():
    data, longest = trajectory_log(), max(LENGTHS)
    population(data, n_steps=longest)
    with pytest.raises(
        ConfigError, match=f"n_steps {longest + 1} is longer than every episode of dataset: .* {longest}$"
    ):
        population(data, n_steps=longest + 1)


def single_steps() -> Dataset:
    data = trajectory_log()
    ends = np.ones(len(data), dtype=bool)
    return replace(data, terminated=ends, truncated=np.zeros_like(ends))


def test_on_logs_of_single_decisions_n_steps_is_taken_as_1_and_told():
    data = single_steps()
    with pytest.warns(UserWarning, match="dataset: every episode is a single step, so n_steps 5 is taken as 1"):
        agent = CPQL(**SMALL, n_actions=2).fit(data, steps=1, progress=False)
    assert agent.population.members[0].config.n_steps == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CQL(**SMALL, n_actions=2).fit(data, steps=1, progress=False)


def test_rows_in_no_order_of_time_are_refused():
    data = trajectory_log()
    order = np.random.default_rng(0).permutation(len(data))
    shuffled = replace(
        data, **{name: getattr(data, name)[order] for name in ("observation", "action", "reward", "next_observation")}
    )
    population(shuffled)
    with pytest.raises(DataError, match="without an order of time"):
        population(shuffled, n_steps=2)


def test_batches_of_a_program_have_single_steps():
    data = trajectory_log()
    with pytest.raises(ConfigError, match="a batch has single steps, n_steps is 3"):
        CQL(**SMALL, n_steps=3).update(next(data.batches(16)))


def test_a_discrete_agent_learns_from_windows():
    data = trajectory_log(discrete=True, masked=True)
    agent = DiscreteCQL(**SMALL, n_steps=3, trace=[0.5, 1.0]).fit(data, steps=3, progress=False)
    assert np.isfinite(agent.q_value(data.observation, data.action)).all()

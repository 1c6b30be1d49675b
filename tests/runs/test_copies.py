"""Agents and populations as copies: pickle, copy.deepcopy and torch.save."""

import copy
import io
import pickle  # noqa: TID251 - that agents can be pickled is what is tested here

import numpy as np
import pytest
import torch

from helpers.runs import TINY, task_of, write_log
from prudent import algorithms, load_dataset
from prudent.agents import AGENTS
from prudent.errors import PrudentError
from prudent.runs import copies

NAMES = algorithms.names()


def through_torch(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # noqa: TID251 - a file made one line above


WAYS = {"pickle": lambda v: pickle.loads(pickle.dumps(v)), "deepcopy": copy.deepcopy, "torch": through_torch}  # noqa: S301


def fitted(name, folder):
    data = load_dataset(write_log(folder / "log.npz", **task_of(name)[1]))
    config = vars(algorithms.get(name).Config())
    settings = {"actor_lr": [1e-3, 3e-4]} if "actor_lr" in config else {}
    settings |= {"n_steps": 1} if "n_steps" in config else {}  # update takes batches of single steps
    return AGENTS[name](**{**TINY[name], "seeds": [0, 1], "device": "cpu", **settings}).fit(data, steps=3), data


def assert_same(one, other):
    left, right = one.population.tensors(), other.population.tensors()
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_a_copy_acts_and_learns_on_as_the_original(name, way, tmp_path):
    agent, data = fitted(name, tmp_path)
    again = WAYS[way](agent)
    assert type(again) is type(agent)
    assert again.get_params() == agent.get_params()
    assert again.names == agent.names
    assert_same(again, agent)
    for member in range(len(agent.names)):
        actions = agent.predict(data.observation[:20], member=member)
        np.testing.assert_array_equal(again.predict(data.observation[:20], member=member), actions)
    for batch in data.batches(16, steps=3, discount=0.99):
        np.testing.assert_equal(again.update(batch), agent.update(batch))
    again.fit(data, steps=3, warm_start=True)
    agent.fit(data, steps=3, warm_start=True)
    assert_same(again, agent)


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_is_no_part_of_the_original(way, tmp_path):
    agent, data = fitted("bc", tmp_path)
    again = WAYS[way](agent)
    before = {name: t.clone() for name, t in agent.population.tensors().items()}
    again.fit(data, steps=2, warm_start=True)
    assert all(torch.equal(t, before[name]) for name, t in agent.population.tensors().items())
    again.settings["hidden"] = (99,)
    assert agent.settings["hidden"] == (8, 8)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_without_training_can_be_copied_too(way, tmp_path):
    agent, data = fitted("cql", tmp_path)
    bare = type(agent)(**agent.get_params())
    again = WAYS[way](bare)
    assert again.population is None
    assert again.get_params() == bare.get_params()
    assert_same(again.fit(data, steps=3), agent)


def test_between_the_parts_of_a_step(tmp_path):
    """The draw that the critics used waits for the actor; a copy has it too."""
    agent, data = fitted("cql", tmp_path)
    batch = next(data.batches(16))
    agent.update_critic(batch)
    again = pickle.loads(pickle.dumps(agent))  # noqa: S301
    for one in (agent, again):
        one.update_actor(batch)
        one.update_target()
    assert_same(again, agent)


def test_a_copy_without_the_device_is_on_the_cpu(tmp_path, monkeypatch):
    agent, data = fitted("bc", tmp_path)
    function, (contents, device) = copies._reduced(agent.population)
    assert device == "cpu"
    assert all(isinstance(content, bytes) for content in contents.values())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    again = function(contents, "cuda:1")
    assert again.device == torch.device("cpu")
    rows = data.observation[None, :5].repeat(again.size, 0)
    np.testing.assert_array_equal(again.act(rows), agent.population.act(rows))


def test_contents_that_describe_nothing_are_one_line(tmp_path):
    agent, _ = fitted("bc", tmp_path)
    _, (contents, device) = copies._reduced(agent.population)
    with pytest.raises(PrudentError, match="does not fit this version"):
        copies.restored({**contents, "checkpoint.json": b"{}"}, device)

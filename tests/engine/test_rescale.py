"""Other statistics in a trained population: the same policies and the same values."""

import numpy as np
import pytest
import torch

from helpers.runs import TINY, columns, discrete_columns, task_of
from prudent import algorithms
from prudent.agents import AGENTS
from prudent.data import Dataset
from prudent.engine import rescale
from prudent.engine.scaling import Scaling

NAMES = algorithms.names()


def dataset(found, shift=0.0, factor=1.0, kind=np.float32):
    names = {"observation": "observations", "next_observation": "next_observations"}
    spaces = {mine: (found[theirs] * factor + shift).astype(kind) for mine, theirs in names.items()}
    flags = {"terminated": found["terminals"], "truncated": found["timeouts"]}
    bounds = {"n_actions": 2, "discrete": True} if "n_actions" in found else {"action_low": -2.0, "action_high": 2.0}
    return Dataset.from_columns(**spaces, **flags, **bounds, action=found["actions"], reward=found["rewards"])


def outputs(agent, rows):
    actions = np.stack([agent.predict(rows, member=m) for m in range(2)])
    if agent.population.algorithm.q_value is None:
        return [actions]
    # Of the same logged action for all: what is predicted may differ in the last digits.
    logged = np.zeros(len(rows), int) if agent.population.spec.discrete else np.full((len(rows), 1), 0.7, np.float32)
    return [actions, np.stack([agent.q_value(rows, logged, member=m) for m in range(2)])]


@pytest.mark.parametrize("name", NAMES)
def test_policies_and_values_of_every_algorithm_stay(name):
    found = task_of(name)[1]
    agent = AGENTS[name](**{**TINY[name], "seeds": [0, 1], "device": "cpu"}).fit(dataset(found), steps=20)
    rows = found["observations"][:50]
    before = outputs(agent, rows)
    first = agent.population.state.networks["actor" if "actor" in agent.population.state.networks else "critic"]["w0"]
    first = first.clone()
    rescale.use_scaling(agent.population, Scaling.fit(dataset(found, shift=7.0, factor=3.0), True))
    networks = agent.population.state.networks
    assert not torch.allclose(networks["actor" if "actor" in networks else "critic"]["w0"], first)
    for after, expected in zip(outputs(agent, rows), before, strict=True):
        np.testing.assert_allclose(after, expected, atol=2e-5)


@pytest.mark.parametrize(("old", "new"), [(np.float64, np.float64), (np.float32, np.float64), (np.float64, np.float32)])
def test_a_centre_in_float64_counts_too(old, new):
    """A clock in seconds, in the log of the first training or in the new one."""
    shift = 1e5
    found = columns()
    agent = AGENTS["bc"](hidden=(8,), batch_size=16, seeds=[0, 1], device="cpu")
    agent.fit(dataset(found, shift, kind=old), steps=20)
    rows = (found["observations"][:50] + shift).astype(np.float64)
    before = agent.predict(rows)
    rescale.use_scaling(agent.population, Scaling.fit(dataset(found, shift + 3, 2.0, new), True))
    # float32 holds 1e5 to 1/128, a thousandth of these features' spread.
    np.testing.assert_allclose(agent.predict(rows), before, atol=1e-5 if old == new == np.float64 else 2e-2)


def test_the_range_is_that_of_both():
    found = columns()
    agent = AGENTS["bc"](hidden=(8,), batch_size=16, device="cpu").fit(dataset(found), steps=1)
    other = dataset(found, shift=100.0)
    rescale.use_scaling(agent.population, Scaling.fit(other, True))
    scaling = agent.population.scaling
    ends = scaling.in_log_units(scaling.observation_range)
    figures = dataset(found).observation_figures, other.observation_figures
    expected = [np.minimum(*(f.low for f in figures)), np.maximum(*(f.high for f in figures))]
    np.testing.assert_allclose(ends, expected, rtol=1e-4, atol=1e-4)


def test_the_mean_of_gradients_is_that_of_the_new_weights():
    """A gradient of the loss in the new units, computed by autograd, is what the moments become."""
    found = discrete_columns()
    agent = AGENTS["discrete_bc"](hidden=(8,), batch_size=16, device="cpu").fit(dataset(found), steps=1)
    population = agent.population
    old = population.scaling
    rows = torch.from_numpy(found["observations"][:32])

    def gradients(scaling):
        leaves = {n: t.clone().requires_grad_() for n, t in population.state.networks["actor"].items()}
        hidden = torch.relu(scaling.observation(rows) @ leaves["w0"][0] + leaves["b0"][0])
        (hidden @ leaves["w1"][0] + leaves["b1"][0]).square().sum().backward()
        return {n: t.grad for n, t in leaves.items()}

    moments = population.state.optimizers["actor"]
    before = gradients(old)
    for name, gradient in before.items():
        moments["mean"][name].copy_(gradient)
        moments["square"][name].fill_(1.0)
    rescale.use_scaling(population, Scaling.fit(dataset(found, shift=2.0, factor=5.0), True))
    after = gradients(population.scaling)
    for name, gradient in after.items():
        np.testing.assert_allclose(moments["mean"][name], gradient, rtol=1e-3, atol=1e-3)
    ratio = population.scaling.observation_std / old.observation_std
    np.testing.assert_allclose(moments["square"]["w0"][0, :, 0], 1 / ratio.square(), rtol=1e-5)
    assert (moments["square"]["b0"] == 1).all()


@pytest.mark.parametrize("name", [name for name in NAMES if algorithms.get(name).q_value is not None])
def test_values_take_another_unit(name):
    found = task_of(name)[1]
    agent = AGENTS[name](**{**TINY[name], "seeds": [0, 1], "device": "cpu"}).fit(dataset(found), steps=5)
    rows = found["observations"][:20]
    actions, values = outputs(agent, rows)
    rescale.scale_values(agent.population.state.networks, torch.tensor([2.0, 0.5]))
    after = outputs(agent, rows)
    np.testing.assert_allclose(after[1], values * np.array([[2.0], [0.5]]), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(after[0], actions)

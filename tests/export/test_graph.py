"""The graph does what the agent does, for every algorithm; and what it does outside the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import prudent
from helpers.exports import choices_log, learned, near, shop_log
from helpers.runs import task_of, write_log
from prudent import algorithms
from prudent.coverage.neighbours import Neighbourhood
from prudent.engine.outside import set_outside_range
from prudent.export.graph import PolicyGraph


def outputs(graph, observation, **more):
    """The graph's outputs by name, as arrays."""
    inputs = {name: torch.from_numpy(np.asarray(value)) for name, value in more.items()}
    if graph.spec.discrete and "mask" not in inputs:
        inputs["mask"] = torch.ones(len(observation), graph.spec.action_size, dtype=torch.bool)
    with torch.no_grad():
        found = graph(torch.from_numpy(np.array(observation)), **inputs)
    return {name: value.numpy() for name, value in zip(graph.outputs, found, strict=True)}


@pytest.fixture(scope="module")
def shop_policy():
    dataset = shop_log()
    population = learned("cql", dataset).population
    return population, dataset, near(population, dataset)


@pytest.fixture(scope="module")
def choice_policy():
    dataset = choices_log()
    population = learned("discrete_iql", dataset).population
    return population, dataset, near(population, dataset)


@pytest.mark.parametrize("name", algorithms.names())
def test_it_does_what_the_agent_does(name, tmp_path):
    dataset = prudent.load_dataset(write_log(tmp_path / "log.npz", **task_of(name)[1]))
    agent = learned(name, dataset, seeds=[3, 4])
    observation, size = dataset.observation[:50], dataset.spec.action_size
    for acting in ("mode", "sample"):
        graph = PolicyGraph(agent.population.member(1), acting)
        draw = torch.rand if dataset.spec.discrete else torch.randn
        noise = draw((50, size), generator=torch.Generator().manual_seed(5)).numpy()
        found = outputs(graph, observation, **({"noise": noise} if graph.noise else {}))
        mode, _ = agent.act(observation, True, member=1)
        chosen, _ = agent.act(observation, acting == "mode", 1, torch.Generator().manual_seed(5))
        np.testing.assert_allclose(found["mode"], mode, atol=1e-5)
        np.testing.assert_allclose(found["action"], chosen, atol=1e-5)
        assert ("noise" in graph.inputs) == (
            acting == "sample" and algorithms.get(name).POLICY in ("gaussian", "categorical")
        )
        assert ("q" in found) == (algorithms.get(name).q_value is not None)
        if "q" in found:
            np.testing.assert_allclose(found["q"][:, 0], agent.q_value(observation, chosen, 1), atol=1e-5)
            assert (found["q"][:, 1] >= found["q"][:, 0] - 1e-6).all()
        if "probabilities" in found:
            np.testing.assert_allclose(found["probabilities"].sum(1), 1, atol=1e-6)
            np.testing.assert_array_equal(found["probabilities"].argmax(1), found["mode"])


def test_the_mean_q_is_the_mean_of_the_critics(shop_policy):
    population, dataset, _ = shop_policy
    networks = population.state.networks
    found = outputs(PolicyGraph(population), dataset.observation[:20])
    scaled = population.policy_input(dataset.observation[:20][None])
    action = population.scaling.action(torch.from_numpy(found["action"]))[None]
    each = [
        population.algorithm.q_value(
            {**networks, "critic": {key: value[:, e : e + 1] for key, value in networks["critic"].items()}},
            scaled,
            action,
        )
        for e in range(2)
    ]
    np.testing.assert_allclose(found["q"][:, 1], torch.stack(each).mean(0)[0], atol=1e-5)
    assert np.abs(found["q"][:, 1] - found["q"][:, 0]).max() > 1e-4


def test_mean_and_spread_say_what_a_sample_is(shop_policy):
    population, dataset, _ = shop_policy
    noise = np.random.default_rng(0).normal(size=(30, 1)).astype(np.float32)
    found = outputs(PolicyGraph(population, "sample"), dataset.observation[:30], noise=noise)
    np.testing.assert_allclose(
        found["action"], np.tanh(found["mean"] + np.exp(found["log_std"]) * noise) * 25 + 25, atol=1e-4
    )


def test_masks_hold(choice_policy):
    population, dataset, _ = choice_policy
    mask = np.eye(3, dtype=bool)[np.arange(60) % 3]
    noise = np.random.default_rng(0).random((60, 3)).astype(np.float32)
    found = outputs(PolicyGraph(population, "sample"), dataset.observation[:60], mask=mask, noise=noise)
    np.testing.assert_array_equal(found["action"], np.arange(60) % 3 + 1)
    np.testing.assert_array_equal(found["probabilities"], mask.astype(np.float32))
    nothing = outputs(PolicyGraph(population), dataset.observation[:2], mask=np.zeros((2, 3), dtype=bool))
    np.testing.assert_array_equal(nothing["action"], 0, err_msg="where all is forbidden, none is taken: the first is 1")


@pytest.mark.parametrize("discrete", [False, True])
def test_the_score_is_that_of_the_support_check(discrete, shop_policy, choice_policy):
    population, dataset, reference = choice_policy if discrete else shop_policy
    rows = np.random.default_rng([0, 3]).choice(len(dataset), len(reference), replace=False)
    rows.sort()
    logged = dataset.spec.index_of(dataset.action[rows])
    observation = dataset.observation + np.float32(0.1)
    found = outputs(PolicyGraph(population, reference=reference), observation)
    taken = dataset.spec.index_of(found["action"])
    expected = Neighbourhood(dataset.observation[rows], logged, 3).scores(observation, taken[None]).decision[0]
    np.testing.assert_allclose(found["score"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["outside"], found["score"] > reference.threshold)
    own = outputs(PolicyGraph(population, reference=reference), dataset.observation)
    assert 0 <= own["outside"].mean() < 0.5


def test_a_fallback_outside_the_data(shop_policy):
    population, dataset, reference = shop_policy
    observation = dataset.observation.copy()
    observation[100:, 0] += 1000
    flag, refuse, nearest = (
        outputs(PolicyGraph(population, "mode", fallback, reference), observation)
        for fallback in ("flag", "refuse", "nearest")
    )
    outside = flag["outside"]
    assert outside[100:].all()
    assert outside[:100].mean() < 0.5
    np.testing.assert_array_equal(flag["action"], flag["mode"])
    for found in (refuse, nearest):
        np.testing.assert_array_equal(found["action"][~outside], flag["action"][~outside])
        np.testing.assert_array_equal(found["mode"], flag["mode"])
    assert np.isnan(refuse["action"][outside]).all()
    distance = np.linalg.norm(
        reference.states - ((observation[outside] - reference.state_zero) / reference.state_one)[:, None], axis=-1
    )
    logged = reference.actions * reference.action_one + reference.action_zero
    np.testing.assert_allclose(nearest["action"][outside], logged[distance.argmin(1)], rtol=1e-5)


def test_the_nearest_logged_choice_is_one_that_the_mask_allows(choice_policy):
    population, _, reference = choice_policy
    observation = np.array([[50.0, 0.0]] * 3 + [[-50.0, 0.0]], dtype=np.float32)
    mask = np.array([[True, True, True], [True, False, False], [False, True, False], [True, True, True]])
    found = outputs(PolicyGraph(population, "mode", "nearest", reference), observation, mask=mask)
    assert found["outside"].all()
    assert found["action"][:3].tolist() == [3, 1, 2]
    assert found["action"][3] in (1, 2)
    only_threes = replace(
        reference, states=reference.states[reference.actions == 2], actions=reference.actions[reference.actions == 2]
    )
    found = outputs(PolicyGraph(population, "mode", "nearest", only_threes), observation, mask=mask)
    assert found["action"].tolist()[:3] == [3, 0, 0], "no logged action is allowed: none is taken"
    refused = outputs(PolicyGraph(population, "mode", "refuse", reference), observation, mask=mask)
    assert refused["action"].tolist() == [0, 0, 0, 0]


def test_an_action_that_was_hardly_logged_is_outside(choice_policy):
    population, dataset, reference = choice_policy
    rare = replace(reference, actions=np.where(np.arange(len(reference)) < 2, 0, reference.actions.clip(min=1)))
    mask = np.array([[True, False, False]] * 10)
    found = outputs(PolicyGraph(population, reference=rare), dataset.observation[:10], mask=mask)
    assert found["outside"].all()
    assert np.isinf(found["score"]).all()


def test_features_outside_the_range_of_the_log():
    dataset = shop_log()
    population = learned("cql", dataset).population
    far = dataset.observation[:6].copy()
    far[3, 0] = 500.0
    edge = far.copy()
    edge[3, 0] = dataset.observation_figures.high[0]
    clip = outputs(PolicyGraph(population), far)
    assert clip["beyond"].sum() == clip["beyond"][3, 0] == 1
    np.testing.assert_allclose(clip["action"], outputs(PolicyGraph(population), edge)["action"], atol=1e-4)
    set_outside_range(population, "warn")
    warn = outputs(PolicyGraph(population), far)
    assert np.abs(warn["mean"][3] - clip["mean"][3]) > 1e-3
    set_outside_range(population, "refuse")
    refuse = outputs(PolicyGraph(population), far)
    assert np.isnan(refuse["action"][:, 0]).tolist() == [False, False, False, True, False, False]


def test_digits_that_only_float64_holds_stay():
    dataset = shop_log()
    time = 1.7e9 + 7.0 * np.arange(240)
    observation = np.column_stack([dataset.observation.astype(np.float64), time])
    dataset = replace(
        dataset,
        observation=observation,
        next_observation=np.roll(observation, -1, axis=0),
        spec=replace(dataset.spec, observation_size=observation.shape[1]),
        meanings=replace(dataset.meanings, encoding=None),
    )
    agent = learned("bc", dataset)
    graph = PolicyGraph(agent.population, reference=near(agent.population, dataset))
    assert graph.scaling.observation_offset is not None
    found = outputs(graph, observation[:9])
    np.testing.assert_allclose(found["action"], agent.predict(observation[:9]), atol=1e-5)
    assert np.isfinite(found["score"]).all()

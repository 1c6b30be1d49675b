"""Values outside the log's range when a policy acts: clipped and noticed, used with a warning, or refused."""

import warnings

import numpy as np
import pytest
import torch

import prudent
from prudent import algorithms
from prudent.data import Dataset
from prudent.data.encoding import Column, Encoding
from prudent.data.meanings import Meanings
from prudent.errors import ConfigError, OutsideRangeWarning, PrudentError


def data(dtype=np.float32, names=("stock", "demand", "flag")):
    rng = np.random.default_rng(0)
    observation = np.column_stack([rng.uniform(0, 80, 2000), rng.normal(size=2000), np.zeros(2000)]).astype(dtype)
    ends = np.arange(2000) % 20 == 19
    dataset = Dataset.from_columns(
        observation=observation,
        action=np.clip(observation[:, :1] / 40 - 1, -1, 1),
        reward=np.ones(2000),
        next_observation=np.roll(observation, -1, axis=0),
        terminated=ends,
        truncated=np.zeros(2000, bool),
        action_low=-1.0,
        action_high=1.0,
    )
    encoding = None if names is None else Encoding(tuple(Column(name) for name in names))
    return dataset.relabelled(meanings=Meanings(encoding=encoding))


def trained(**settings):
    return prudent.BC(hidden=(8,), batch_size=32, **settings).fit(data(), steps=2)


@pytest.fixture(scope="module")
def clipping(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    trained().save(folder)
    return folder


def noticed(function):
    """The warnings of a call, as text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    assert all(w.category is OutsideRangeWarning and w.filename == __file__ for w in caught), "the caller's line"
    return [str(w.message) for w in caught]


def test_inside_the_range_the_choices_act_alike_bit_for_bit(clipping):
    rows = data().observation
    agents = [prudent.load(clipping, outside_range=choice) for choice in ("clip", "warn", "refuse")]
    low, high = agents[0].population.scaling.observation_range
    scaled = agents[0].population.scaling.observation(torch.from_numpy(rows))
    rows = rows[((scaled >= low) & (scaled <= high)).all(1).numpy()]
    assert len(rows) > 1900
    actions = [agent.predict(rows) for agent in agents]
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[0], actions[2])


def test_clipping_notices_once_what_is_far_outside(clipping):
    agent = prudent.load(clipping)
    near, far = [130.0, 0.0, 0.0], [900.0, 0.0, 0.0]
    assert noticed(lambda: agent.predict(near)) == []
    told = noticed(lambda: [agent.predict(far) for _ in range(3)])
    assert len(told) == 1
    assert told[0].startswith("observation: stock is 900, far outside the range that the log covers, -1")
    assert "to 99." in told[0] or "to 100" in told[0]
    assert ": taken as 99." in told[0] or ": taken as 100" in told[0]
    assert told[0].endswith("(outside_range is clip; said once)")
    assert noticed(lambda: agent.act({"stock": 10, "demand": 50, "flag": 0})) != [], "another feature"
    np.testing.assert_array_equal(agent.predict(near), agent.predict(far))


def test_what_never_varied_is_far_outside_at_once(clipping):
    agent = prudent.load(clipping)
    rows = np.array([[10, 0, 0], [10, 0, 1.0], [900, 0, 1]])
    told = noticed(lambda: agent.act(rows))
    assert len(told) == 1
    assert told[0].startswith("observation: stock is 900 in row 2, far outside the range")
    assert told[0].endswith("; so is 1 more (outside_range is clip; said once)")
    assert noticed(lambda: agent.predict(rows)) == []


def test_warning_uses_the_value_as_it_is(clipping):
    agent = prudent.load(clipping, outside_range="warn")
    near, far = [130.0, 0.0, 0.0], [900.0, 0.0, 0.0]
    told = noticed(lambda: [agent.predict(near), agent.predict(far)])
    assert len(told) == 1
    assert told[0].startswith("observation: stock is 130, outside the range")
    assert told[0].endswith(": taken as it is (outside_range is warn; said once)")
    assert (agent.predict(near) != agent.predict(far)).all()


def test_refusing_refuses_every_time(clipping):
    agent = prudent.load(clipping, outside_range="refuse")
    for _ in range(2):
        for ask in (agent.predict, agent.act, lambda row: agent.predict([[10, 0, 0], row])):
            with pytest.raises(PrudentError, match=r"stock is 130.*outside the range .*\(outside_range is refuse\)"):
                ask([130.0, 0.0, 0.0])
    assert np.isfinite(agent.predict([100.0 - 2, 0, 0])).all()


def test_values_of_critics_are_asked_in_the_same_way():
    agent = prudent.IQL(hidden=(8,), batch_size=32, outside_range="refuse").fit(data(), steps=2)
    with pytest.raises(PrudentError, match="stock is 130"):
        agent.q_value([130.0, 0, 0], [0.5])


def test_the_setting_is_remembered_and_may_be_replaced(tmp_path, clipping):
    agent = prudent.load(clipping, outside_range="warn")
    assert agent.get_params()["outside_range"] == "warn"
    agent.save(tmp_path / "again")
    again = prudent.load(tmp_path / "again")
    assert again.population.scaling.outside_range == again.population.members[0].config.outside_range == "warn"
    with pytest.raises(ConfigError, match="outside_range must be one of clip, warn, refuse, got 'ignore'"):
        prudent.load(clipping, outside_range="ignore")
    with pytest.raises(ConfigError, match="outside_range"):
        prudent.BC(outside_range="ignore")


def test_features_without_names_are_numbered():
    agent = prudent.BC(hidden=(8,), batch_size=32).fit(data(names=None), steps=1)
    assert noticed(lambda: agent.predict([900.0, 0, 0]))[0].startswith("observation: feature 0 is 900, far outside")


def test_large_numbers_are_told_in_their_own_units():
    names = ("stock", "demand", "flag")
    shifted = data(np.float64)
    moved = {key: getattr(shifted, key) + np.array([1.7e9, 0, 0]) for key in ("observation", "next_observation")}
    clock = Dataset.from_columns(
        **moved,
        action=shifted.action,
        reward=shifted.reward,
        terminated=shifted.terminated,
        truncated=shifted.truncated,
        action_low=-1.0,
        action_high=1.0,
    ).relabelled(meanings=Meanings(encoding=Encoding(tuple(Column(name) for name in names))))
    assert clock.observation.dtype == np.float64
    agent = prudent.BC(hidden=(8,), batch_size=32).fit(clock, steps=1)
    assert noticed(lambda: agent.predict([1.7e9 + 40, 0, 0])) == []
    assert (
        "stock is 1700005000, far outside the range that the log covers, 16999999"
        in noticed(lambda: agent.predict([1.7e9 + 5000, 0, 0]))[0]
    )


def test_what_older_versions_called_clip_observations():
    assert algorithms.stored_settings("bc", {"clip_observations": True}) == {"outside_range": "clip"}
    assert algorithms.stored_settings("bc", {"clip_observations": False, "seed": 1}) == {
        "outside_range": "warn",
        "seed": 1,
    }
    assert algorithms.stored_settings("bc", {"outside_range": "refuse"}) == {"outside_range": "refuse"}
    assert algorithms.stored_settings("discrete_cql", {"clip_observations": True})["huber_threshold"] == 1.0

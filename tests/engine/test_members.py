"""The scale of rewards that the returns of the data give."""

import json

import numpy as np
import pytest

import prudent
from helpers.runs import TINY, columns, flags, write_log
from helpers.runs import prudent as command
from prudent import presets
from prudent.algorithms import iql
from prudent.data import Dataset, load_dataset
from prudent.engine.members import grid, with_reward_scales
from prudent.engine.population import new_population
from prudent.errors import ConfigError, StartsAnewWarning
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")


def episodes(*returns) -> Dataset:
    """Episodes of two steps, with these returns."""
    rewards = np.repeat(np.asarray(returns, dtype=np.float32) / 2, 2)
    ends = np.tile([False, True], len(returns))
    state = np.zeros((len(rewards), 1), dtype=np.float32)
    return Dataset.from_columns(
        observation=state,
        action=state,
        reward=rewards,
        next_observation=state,
        terminated=np.zeros(len(rewards), dtype=bool),
        truncated=ends,
    )


def scales(dataset, **settings):
    varied = {name: value for name, value in settings.items() if isinstance(value, list)}
    config = iql.Config(**{name: value for name, value in settings.items() if name not in varied})
    return [member.config.reward_scale for member in with_reward_scales(grid(config, varied, [0]), dataset)]


def test_the_returns_span_what_was_asked_for():
    """IQL's code: rewards divided by the largest minus the smallest return, times 1000."""
    data = episodes(-40.0, 10.0, 160.0)
    assert scales(data, return_range=1000.0) == [5.0]
    assert scales(data, return_range=[100.0, 1000.0]) == [0.5, 5.0]
    assert scales(data) == [1.0]
    assert scales(data, reward_scale=2.0) == [2.0]
    members = grid(presets.get("iql-locomotion").config, {}, [0, 1])
    assert new_population(data, "iql", members, "cpu").reward_scale.tolist() == [5.0, 5.0]


def test_what_does_not_fit_is_one_line():
    with pytest.raises(ConfigError, match=r"return_range needs episodes of different returns, .* has 3 in all of them"):
        scales(episodes(3.0, 3.0), return_range=1000.0)
    with pytest.raises(ConfigError, match="return_range sets reward_scale: give one of them"):
        scales(episodes(1.0, 2.0), return_range=1000.0, reward_scale=3.0)
    with pytest.raises(ConfigError, match="return_range must be above 0"):
        iql.Config(return_range=0.0)


def test_a_run_keeps_its_scale_and_other_data_give_another(tmp_path):
    log = write_log(tmp_path / "log.npz")
    words = ["--return-range", "50", "--log-every", "2", "--checkpoint-every", "4", "--threads", "1"]
    for steps, name in ((4, "run"), (8, "whole")):
        out = ["--steps", steps, "--out", tmp_path / name]
        assert command("train", log, *flags("iql"), *words, *out) == 0
    returns = load_dataset(log).episode_returns
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert stored["return_range"] == 50
    assert stored["reward_scale"] == pytest.approx(50 / float(returns.max() - returns.min()))
    found, expected = (p.tensors() for p in (resume(tmp_path / "run", 8), prudent.load(tmp_path / "whole").population))
    assert all((found[name] == tensor).all() for name, tensor in expected.items())
    agent = prudent.load(tmp_path / "run")
    other = load_dataset(write_log(tmp_path / "other.npz", rewards=columns()["rewards"] * 2))
    with pytest.warns(StartsAnewWarning):
        scale = float(agent.fit(other, steps=1, threads=1).population.reward_scale[0])
    assert scale == pytest.approx(stored["reward_scale"] / 2, rel=1e-5)


def test_the_same_rewards_in_another_unit_train_the_same(tmp_path):
    found = []
    for unit in (1.0, 8.0):
        data = load_dataset(write_log(tmp_path / f"{unit:g}.npz", rewards=columns()["rewards"] * unit))
        agent = prudent.IQL(**TINY["iql"], return_range=100.0).fit(data, steps=5, threads=1)
        found.append(agent.predict(data.observation[:20]))
    assert np.allclose(*found, atol=1e-5)

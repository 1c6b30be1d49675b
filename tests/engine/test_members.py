"""The scale of rewards that the data give: the range of their returns, or the spread of their returns-to-go."""

import json

import numpy as np
import pytest

import prudent
from helpers.runs import TINY, columns, flags, write_log
from helpers.runs import prudent as command
from prudent import algorithms, presets
from prudent.algorithms import bc, cql, iql
from prudent.config import from_json, to_json
from prudent.data import Dataset, load_dataset
from prudent.data.spread import spread_to_go
from prudent.engine.members import grid, returns_spread, with_reward_scales
from prudent.engine.population import Population, new_population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, DataError, StartsAnewWarning
from prudent.training.resume import resume
from prudent.types import Spec

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


# --- auto -------------------------------------------------------------------------------------------------------------


def automatic(dataset, config) -> float:
    (member,) = with_reward_scales(grid(config, {}, [0]), dataset)
    return member.config.reward_scale


@pytest.mark.parametrize("name", algorithms.names())
def test_auto_gives_returns_to_go_the_published_spread(name):
    data, config_type = episodes(-40.0, 10.0, 160.0, 20.0), algorithms.get(name).Config
    scale = automatic(data, config_type(reward_scale="auto", discount=0.9))
    spread = 20.0 if "return_range" in to_json(config_type()) else 80.0
    assert scale == pytest.approx(spread / spread_to_go(data, 0.9).std)
    assert returns_spread(config_type()) == spread
    assert from_json(config_type, to_json(config_type(reward_scale="auto"))).reward_scale == "auto"
    assert config_type().reward_scale == 1.0


def test_each_member_has_the_scale_of_its_discount():
    data = episodes(-40.0, 10.0, 160.0, 20.0)
    members = with_reward_scales(grid(cql.Config(reward_scale="auto"), {"discount": [0.9, 0.99]}, [0, 1]), data)
    expected = [80.0 / spread_to_go(data, discount).std for discount in (0.9, 0.9, 0.99, 0.99)]
    assert [m.config.reward_scale for m in members] == expected
    assert len(set(expected)) == 2


def test_auto_without_a_spread_takes_the_size_of_the_reward():
    assert automatic(episodes(-6.0, -6.0), cql.Config(reward_scale="auto")) == pytest.approx(80 / 3)
    assert automatic(episodes(0.0, 0.0), cql.Config(reward_scale="auto")) == 1.0
    assert automatic(episodes(4.0), bc.Config(reward_scale="auto")) == pytest.approx(80 / 2)


def test_auto_that_cannot_be():
    with pytest.raises(DataError, match=r"reward_scale auto would be .*: give the rewards another unit"):
        automatic(episodes(1e-37, 3e-37), cql.Config(reward_scale="auto"))
    with pytest.raises(ConfigError, match="return_range sets reward_scale: give one of them"):
        automatic(episodes(1.0, 2.0), iql.Config(reward_scale="auto", return_range=1000.0))
    with pytest.raises(ConfigError, match="reward_scale cannot be 'automatic'"):
        prudent.CQL(reward_scale="automatic")
    with pytest.raises(ConfigError, match=r"reward_scale takes one value or a list of numbers, got \['auto', 1"):
        prudent.CQL(reward_scale=["auto", 1.0])
    with pytest.raises(ConfigError, match="reward_scale is auto, which takes a dataset: give a number"):
        Population("cql", grid(cql.Config(reward_scale="auto"), {}, [0]), Spec(1, 1), Scaling.fit(episodes(1.0), True))


def test_a_run_stores_the_number_that_auto_became(tmp_path):
    log = write_log(tmp_path / "log.npz")
    words = [*flags("cql"), "--reward-scale", "auto", "--log-every", "2", "--checkpoint-every", "4", "--threads", "1"]
    for steps, name in ((4, "run"), (8, "whole")):
        assert command("train", log, *words, "--steps", steps, "--out", tmp_path / name) == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert stored["reward_scale"] == pytest.approx(80 / spread_to_go(load_dataset(log), 0.99).std)
    found, expected = (p.tensors() for p in (resume(tmp_path / "run", 8), prudent.load(tmp_path / "whole").population))
    assert all((found[name] == tensor).all() for name, tensor in expected.items())
    agent = prudent.load(tmp_path / "run")
    assert agent.get_params()["reward_scale"] == stored["reward_scale"]
    other = load_dataset(write_log(tmp_path / "other.npz", rewards=columns()["rewards"] * 2))
    agent.fit(other, steps=1, threads=1, warm_start=True)
    assert agent.population.reward_scale.tolist() == [np.float32(stored["reward_scale"])]


def test_auto_is_refused_before_anything_is_written(tmp_path, capsys):
    log = write_log(tmp_path / "log.npz", rewards=np.full(240, 1e-38, np.float32))
    words = [*flags("cql"), "--reward-scale", "auto", "--out", tmp_path / "run"]
    assert command("train", log, *words) == 2
    assert "give the rewards another unit" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

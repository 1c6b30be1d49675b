"""Between the log's units and the networks': what drift, rare flags and large numbers do to a policy."""

import warnings

import numpy as np
import pytest
import torch

import prudent
from prudent.data import Dataset
from prudent.engine.scaling import LEAST_SPREAD, Scaling
from prudent.errors import OutsideRangeWarning


def dataset(observation, action=None):
    """Episodes of 20 steps; the first feature halved is the action, unless it is given."""
    observation = np.asarray(observation)
    action = np.clip(0.5 * observation[:, :1], -1, 1) if action is None else action
    ends = np.zeros(len(observation), bool)
    ends[19::20] = True
    return Dataset.from_columns(
        observation=observation,
        action=action,
        reward=np.ones(len(observation)),
        next_observation=np.roll(observation, -1, axis=0),
        terminated=ends,
        truncated=np.zeros(len(observation), bool),
        action_low=-1.0,
        action_high=1.0,
    )


def log_with_a_stuck_sensor(rows=4000, sensor=1.0):
    """Two ordinary features, a sensor that moves by a hundred-thousandth, a flag set once, and a constant."""
    rng = np.random.default_rng(0)
    stuck = sensor * (1 + 1e-5 * rng.normal(size=rows))
    once = (np.arange(rows) == 17).astype(float)
    return np.column_stack([rng.normal(size=(rows, 2)), stuck, once, np.full(rows, 5.0)]).astype(np.float32)


@pytest.fixture(scope="module")
def clone():
    settings = {"seeds": [0], "hidden": (32, 32), "batch_size": 64, "actor_lr": 1e-3}
    return prudent.BC(**settings).fit(dataset(log_with_a_stuck_sensor()), steps=400, threads=1)


DRIFTS = [(1.0001, 0, 5), (1.01, 0, 5), (0.99, 0, 5), (2.0, 0, 5), (1.0, 1, 5), (1.0, 0, 6), (1e6, 1, -1e6)]


@pytest.mark.parametrize(("sensor", "once", "constant"), DRIFTS)
def test_drift_of_what_did_not_vary_does_not_change_the_policy(clone, sensor, once, constant):
    x = np.random.default_rng(1).normal(size=(200, 2)).clip(-2, 2)
    usual = np.column_stack([x, np.ones(200), np.zeros(200), np.full(200, 5.0)]).astype(np.float32)
    drifted = usual.copy()
    drifted[:, 2:] = sensor, once, constant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideRangeWarning)  # test_outside.py is about these
        change = np.abs(clone.predict(drifted) - clone.predict(usual))
    assert change.max() < 0.02, f"the drift moves actions by up to {change.max():.2f}"


def test_logged_rows_are_not_clipped_and_training_never_is():
    data = dataset(np.random.default_rng(0).normal(size=(4000, 3)))
    scaling, plain = Scaling.fit(data, True), Scaling.fit(data, True, "warn")
    rows = torch.from_numpy(data.observation)
    assert torch.equal(scaling.policy_input(rows), plain.policy_input(rows)), "logged rows are within the range"
    far = rows * 100
    assert torch.equal(scaling.observation(far), plain.observation(far)), "batches of training were clipped"
    assert torch.equal(plain.policy_input(far), plain.observation(far)), "outside_range=warn clips"
    assert scaling.policy_input(far).abs().max() < 6


@pytest.mark.parametrize("normalize", [True, False])
def test_the_range_is_that_of_the_log_in_the_networks_units(normalize):
    data = dataset(np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 2)))
    figures, scaling = data.observation_figures, Scaling.fit(data, normalize)
    ends = torch.from_numpy(np.stack([figures.low, figures.high])).float()
    assert torch.equal(scaling.policy_input(ends - 50)[0], scaling.observation(ends)[0])
    assert torch.equal(scaling.policy_input(ends + 50)[1], scaling.observation(ends)[1])


def test_every_way_to_act_and_to_value_sees_the_clipped_input(clone):
    """predict, act, Q and off-policy evaluation judge the same policy."""
    from prudent.ope.policy import as_policy

    usual = np.array([[0.3, -0.2, 1.0, 0.0, 5.0]], np.float32)
    drifted = np.array([[0.3, -0.2, 1.5, 1.0, 9.0]], np.float32)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    sampled = [clone.act(row, generator=g)[0] for row, g in zip((usual, drifted), generators, strict=True)]
    np.testing.assert_allclose(*sampled, atol=0.02)
    policy = as_policy(clone, acting="sample")
    np.testing.assert_allclose(policy.log_prob(usual, sampled[0]), policy.log_prob(drifted, sampled[0]), atol=0.5)


def test_hardly_any_spread_is_divided_by_a_thousandth_of_the_size():
    scaling = Scaling.fit(dataset(log_with_a_stuck_sensor(sensor=1000.0)), True)
    assert float(scaling.observation_std[2]) == pytest.approx(LEAST_SPREAD * 1000.0, rel=1e-4)
    assert float(scaling.observation_std[0]) == pytest.approx(1.0, abs=0.05)


# --- features that float32 would blur ---------------------------------------------------------------------------------


def exact(rows=4000):
    """A Unix time whose last 100 seconds decide the action, and noise."""
    rng = np.random.default_rng(0)
    time = 1.7e9 + rng.permutation(rows) * 0.025
    return np.column_stack([time, rng.normal(size=rows)]), np.tanh((time - 1.7e9 - 50) / 25)[:, None]


def test_float64_is_centred_before_the_cast():
    observation, action = exact()
    data = dataset(observation, action)
    scaling = Scaling.fit(data, True)
    want = (observation - observation.mean(0)) / observation.std(0)
    np.testing.assert_allclose(scaling.observation(torch.from_numpy(data.observation)).numpy(), want, atol=1e-5)
    off = Scaling.fit(data, False).observation(torch.from_numpy(data.observation)).numpy()
    np.testing.assert_allclose(off, observation - observation.mean(0), atol=1e-4)


def test_a_policy_learns_and_answers_with_all_digits(tmp_path):
    observation, action = exact()
    data = dataset(observation, action)
    agent = prudent.BC(seeds=[0], hidden=(32, 32), batch_size=64, actor_lr=1e-3).fit(data, steps=500, threads=1)
    error = np.abs(agent.predict(observation) - action).mean()
    assert error < 0.1, f"float32 would see one value of the time: mean error {error:.2f}"
    agent.save(tmp_path / "saved")
    again = prudent.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict(observation), agent.predict(observation))


def test_batches_are_the_same_from_memory_from_files_and_by_hand(tmp_path):
    from prudent.data import convert
    from prudent.engine.batches import TrainingData, network_batch
    from prudent.engine.members import Member
    from prudent.engine.population import new_population

    observation, action = exact()
    data = dataset(observation, action)
    np.savez(
        tmp_path / "log.npz",
        observations=observation,
        next_observations=np.roll(observation, -1, axis=0),
        actions=action,
        rewards=np.ones(len(action)),
        terminals=data.terminated,
        timeouts=data.truncated,
    )
    folder = convert(tmp_path / "log.npz", tmp_path / "folder", action_low=-1.0, action_high=1.0)
    assert folder.observation.dtype == np.float64
    config = prudent.algorithms.get("bc").Config(batch_size=32, hidden=(8,))
    batches = []
    for log in (data, folder):
        population = new_population(log, "bc", [Member("seed=0", 0, config)], torch.device("cpu"))
        source = TrainingData(log, population.scaling, population.hyper, torch.device("cpu"), ())
        batches.append(source.sample(population.rngs["sample"], 32).observation)
        by_hand = network_batch(population, next(log.batches(32, seed=3))).observation
        rows = np.random.default_rng(3).integers(len(log), size=32)
        want = (observation[rows] - observation.mean(0)) / observation.std(0)
        np.testing.assert_allclose(by_hand[0].numpy(), want, atol=1e-5)
    assert torch.equal(*batches)
    assert batches[0].dtype == torch.float32


def test_a_sensor_keeps_its_floor_beside_a_clock():
    """float64 is for the clock's sake; the sensor's spread is noise all the same."""
    rng = np.random.default_rng(0)
    sensor = 293 + 0.05 * rng.normal(size=4000)
    clock = 1.7e9 + np.arange(4000) * 10.0
    data = dataset(np.column_stack([rng.normal(size=4000), sensor, clock]))
    assert data.observation.dtype == np.float64
    std = Scaling.fit(data, True).observation_std.numpy()
    np.testing.assert_allclose(std, [1.0, LEAST_SPREAD * 293, clock.std()], rtol=0.03)
    found = {finding.kind: finding.rows for finding in prudent.data.audit(data)}
    assert found["observation features that hardly vary"] == (1,)

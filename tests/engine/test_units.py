"""With ``reward_scale = auto`` nothing that is learned depends on the unit of the reward or of time."""

import numpy as np
import pytest
import torch

from helpers.runs import TINY, columns, discrete_columns
from prudent import AGENTS, algorithms
from prudent.algorithms.shared.multi_step import bootstrap
from prudent.data import Dataset
from prudent.engine.guard import largest_value
from prudent.types import Batch, Hyper

STEPS, DISCOUNT = 50, 0.95


def log(discrete: bool, reward_unit: float = 1.0, time_unit: float = 1.0) -> Dataset:
    """Episodes of 40 steps of uneven length in time, a third of which terminate, in these units."""
    table = (discrete_columns if discrete else columns)()
    rng = np.random.default_rng(3)
    ends = table["timeouts"]
    terminated = ends & (np.arange(len(ends)) // 40 % 3 == 0)
    # Lengths that float32 holds exactly in both units.
    dt = rng.integers(16, 129, size=len(ends)) / 64
    bounds = {} if discrete else {"action_low": -2.0, "action_high": 2.0}
    return Dataset.from_columns(
        observation=table["observations"],
        action=table["actions"],
        reward=(table["rewards"] + 0.5).astype(np.float32) * np.float32(reward_unit),
        next_observation=table["next_observations"],
        terminated=terminated,
        truncated=ends & ~terminated,
        discrete=discrete,
        n_actions=2 if discrete else None,
        extra={"dt": (dt * time_unit).astype(np.float32)},
        **bounds,
    )


def agent(name: str, reward_unit: float = 1.0, time_unit: float = 1.0, **settings):
    """The agent, trained for a few steps, and the log's observations."""
    data = log(algorithms.is_discrete(name), reward_unit, time_unit)
    # Rates that move the policy far within a few steps.
    rates = {rate: 1e-2 for rate in ("critic_lr", "value_lr", "actor_lr") if hasattr(algorithms.get(name).Config, rate)}
    chosen = {**TINY[name], **rates, "reward_scale": "auto", "discount": DISCOUNT ** (1 / time_unit), **settings}
    return AGENTS[name](**chosen).fit(data, steps=STEPS, threads=1), data


VALUED = [name for name in algorithms.names() if algorithms.get(name).q_value is not None]
SPECIAL = [
    ("cql", {"lagrange": True, "target_gap": 1.0, "gap_clip": (-5.0, 50.0)}),
    ("cql", {"value_init": "constant"}),
    ("discrete_cql", {"huber_threshold": 1.0, "n_quantiles": 4}),
    ("iql", {"value_init": "regression", "value_init_steps": 10}),
    ("cal_ql", {"backup": "entropy", "reward_shift": -1.0}),
]
CASES = [(name, {}) for name in VALUED] + SPECIAL


@pytest.fixture(scope="module")
def originals():
    """Agents that were trained in the first units, by their settings."""
    trained = {}

    def get(name, settings):
        key = f"{name} {settings}"
        if key not in trained:
            trained[key] = agent(name, **settings)[0]
        return trained[key]

    return get


def difference(one, other, data) -> tuple[float, float]:
    """The largest difference of their weights, and of their actions."""
    expected = other.population.tensors()
    weights = [
        (tensor - expected[name]).abs().max().item()
        for name, tensor in one.population.tensors().items()
        if name.startswith("networks.")
    ]
    return max(weights), float(np.abs(one.predict(data.observation) - other.predict(data.observation)).max())


def assert_alike(one, other, data, unit=1.0):
    """The same weights and actions to rounding; the same values, each in its own unit of reward."""
    weights, actions = difference(one, other, data)
    assert weights < 1e-5
    assert actions < 1e-5
    values = []
    for each in (one, other):
        q = each.q_value(data.observation, data.action)
        values.append((q - each.population.reward_shift[0]) / each.population.reward_scale[0])
    assert np.allclose(values[1], unit * values[0], rtol=1e-4, atol=1e-5 * unit * np.abs(values[0]).max())


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_rewards_in_a_unit_of_1024_give_the_same_bits(originals, name, settings):
    one, (other, data) = originals(name, settings), agent(name, 1024.0, **settings)
    assert other.population.reward_scale[0] == one.population.reward_scale[0] / 1024
    expected = one.population.tensors()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in other.population.tensors().items())
    assert (one.predict(data.observation) == other.predict(data.observation)).all()


@pytest.mark.parametrize("unit", [1000.0, 0.01])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_rewards_in_any_unit_give_the_same_policy(originals, name, settings, unit):
    one, (other, data) = originals(name, settings), agent(name, unit, **settings)
    assert other.population.reward_scale[0] * unit == pytest.approx(one.population.reward_scale[0], rel=1e-6)
    assert_alike(one, other, data, unit)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_minutes_give_the_same_policy_as_hours(originals, name, settings):
    one, (other, data) = originals(name, settings), agent(name, time_unit=60.0, **settings)
    assert other.population.reward_scale[0] == pytest.approx(one.population.reward_scale[0], rel=1e-6)
    assert_alike(one, other, data)


@pytest.mark.parametrize("name", VALUED)
def test_a_fixed_scale_does_depend_on_the_unit(originals, name):
    """The contrast: without auto the same comparison finds differences a hundred times its tolerance."""
    one = originals(name, {})
    other, data = agent(name, 1000.0, reward_scale=one.population.reward_scale[0].item())
    weights, actions = difference(one, other, data)
    assert weights > 1e-2
    assert actions > 1e-3 or name not in ("cql", "td3_bc", "iql", "sac")


@pytest.mark.parametrize("unit", [1.0, 3600.0, 86_400_000.0])
def test_a_discount_near_one_is_exact(unit):
    """Per millisecond, 0.95 a day rounds to 1 in float32. What a step discounts must not."""
    config = algorithms.get("cql").Config(discount=0.95 ** (1 / unit))
    state, dt = torch.zeros(1, 2, 1), torch.tensor([[unit, 2 * unit]], dtype=torch.float32)
    batch = Batch(state, state, torch.zeros(1, 2), state, torch.zeros(1, 2, dtype=torch.bool), dt)
    found = bootstrap(batch, lambda _: torch.ones(1, 2), Hyper([config]))
    assert found[0].tolist() == pytest.approx([0.95, 0.95**2], rel=1e-5)


def test_the_limit_of_values_has_no_unit():
    sizes = []
    for units in ((1.0, 1.0), (1000.0, 1.0), (1.0, 60.0)):
        trained, data = agent("iql", *units)
        sizes.append(float(largest_value(trained.population, data)))
    assert sizes == pytest.approx([sizes[0]] * 3, rel=1e-5)


def test_returns_to_go_have_no_unit():
    """A cut episode goes on with the mean of a window that is as long in minutes as in hours."""
    hours, minutes = log(False), log(False, time_unit=60.0)
    expected = hours.returns_to_go(DISCOUNT)
    assert np.allclose(minutes.returns_to_go(DISCOUNT ** (1 / 60)), expected, rtol=1e-5, atol=1e-4)

"""Training without a run folder, and going on with new data."""

import numpy as np
import pytest
import torch

from helpers.runs import columns, discrete_columns
from prudent import BC, DiscreteBC
from prudent.data import Dataset
from prudent.errors import DataError


def log(seed: int, sign: float = 1.0, rows: int = 400, low: float | None = -1.0, high: float | None = 1.0, reach=0.5):
    """A log whose action is ``sign * reach`` times the first feature, within -1 and 1."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(rows, 2)).astype(np.float32)
    terminated = np.arange(1, rows + 1) % 10 == 0
    return Dataset.from_columns(
        observation=observation,
        action=np.clip(sign * reach * observation[:, :1], -1, 1).astype(np.float32),
        reward=np.ones(rows),
        next_observation=np.roll(observation, -1, 0),
        terminated=terminated,
        truncated=np.zeros(rows, bool),
        action_low=low,
        action_high=high,
        name=f"log {seed}",
    )


def cloner():
    return BC(seeds=[0], hidden=(32,), batch_size=64, actor_lr=3e-3, device="cpu")


def error(agent, data):
    return float(np.abs(agent.predict(data.observation) - data.action).mean())


def test_going_on_with_new_data_keeps_what_was_learned():
    old, new = log(0), log(1)
    agent = cloner().fit(old, steps=400)
    before = error(agent, new)
    assert before < 0.05
    scaling = {name: t.clone() for name, t in agent.population.scaling.tensors().items()}
    agent.fit(new, steps=5, warm_start=True)
    assert error(agent, new) < 1.5 * before
    after = agent.population.scaling.tensors()
    assert after.keys() == scaling.keys()
    assert all(torch.equal(t, scaling[name]) for name, t in after.items() if name != "observation_range")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_range_that_acting_keeps_to_grows_by_the_new_data(kind):
    """What the new data show is learned, so it is no longer outside the log."""

    def shifted(by):
        data = log(0)
        return Dataset.from_columns(
            observation=data.observation.astype(kind) + kind(by),
            action=data.action,
            reward=data.reward,
            next_observation=data.next_observation.astype(kind) + kind(by),
            terminated=data.terminated,
            truncated=data.truncated,
            action_low=-1.0,
            action_high=1.0,
        )

    near, far = shifted(0), shifted(20)
    agent = cloner().fit(near, steps=2)
    first = agent.population.scaling.observation_range.clone()
    agent.fit(near, steps=1, warm_start=True)
    assert torch.equal(agent.population.scaling.observation_range, first), "the same data change nothing"
    agent.fit(far, steps=1, warm_start=True)
    low, high = agent.population.scaling.observation_range
    assert torch.equal(low, first[0])
    scaling, rows = agent.population.scaling, torch.from_numpy(far.observation)
    assert torch.equal(scaling.policy_input(rows), scaling.observation(rows)), "logged rows are not clipped"
    assert (high > first[1] + 5).all()
    free = BC(seeds=[0], hidden=(32,), outside_range="warn").fit(near, steps=1).fit(far, steps=1, warm_start=True)
    assert torch.equal(free.population.scaling.observation_range, agent.population.scaling.observation_range)


def test_going_on_follows_the_new_data():
    agent, other = cloner().fit(log(0), steps=300), log(2, sign=-1.0)
    before = error(agent, other)
    agent.fit(other, steps=400, warm_start=True)
    assert error(agent, other) < before / 5


def test_a_step_of_going_on_is_a_step_of_update():
    """On rows that are all alike every batch is the same, however it is drawn."""
    old = log(0)
    same = Dataset.from_columns(
        observation=np.tile(old.observation[:1], (128, 1)),
        action=np.tile(old.action[:1], (128, 1)),
        reward=np.ones(128),
        next_observation=np.tile(old.next_observation[:1], (128, 1)),
        terminated=np.ones(128, bool),
        truncated=np.zeros(128, bool),
        action_low=-1.0,
        action_high=1.0,
    )
    one, other = cloner().fit(old, steps=20), cloner().fit(old, steps=20)
    one.fit(same, steps=3, warm_start=True)
    for batch in same.batches(64, steps=3):
        other.update(batch)
    networks = {name: t for name, t in one.population.tensors().items() if not name.startswith("rng.")}
    assert all(torch.equal(t, other.population.tensors()[name]) for name, t in networks.items())


def test_narrower_bounds_fit_and_actions_outside_do_not():
    agent = cloner().fit(log(0), steps=3)
    agent.fit(log(1, reach=0.1, low=-0.9, high=0.9), steps=1, warm_start=True)
    before = agent.population.state.step
    wide = log(1)
    wide = Dataset.from_columns(
        observation=wide.observation,
        action=3 * wide.action,
        reward=wide.reward,
        next_observation=wide.next_observation,
        terminated=wide.terminated,
        truncated=wide.truncated,
        action_low=-3.0,
        action_high=3.0,
        name="wide",
    )
    with pytest.raises(DataError, match=r"wide: .* outside the declared bounds.*fit anew to change them") as caught:
        agent.fit(wide, steps=1, warm_start=True)
    assert "\n" not in str(caught.value)
    assert agent.population.state.step == before


def test_data_of_other_spaces_are_refused():
    agent = cloner().fit(log(0), steps=3)
    found = columns()
    other = Dataset.from_columns(
        observation=found["observations"],
        action=found["actions"],
        reward=found["rewards"],
        next_observation=found["next_observations"],
        terminated=found["terminals"],
        truncated=found["timeouts"],
        action_low=-2.0,
        action_high=2.0,
        name="pendulum",
    )
    with pytest.raises(DataError, match="pendulum does not fit what was trained: 3 observation features against 2"):
        agent.fit(other, steps=1, warm_start=True)
    found = discrete_columns()
    spaces = {"observation": found["observations"], "next_observation": found["next_observations"]}
    flags = {"terminated": found["terminals"], "truncated": found["timeouts"]}

    def choices(n_actions):
        return Dataset.from_columns(
            **spaces, **flags, reward=found["rewards"], action=found["actions"], discrete=True, n_actions=n_actions
        )

    chooser = DiscreteBC(seeds=[0], hidden=(8,), batch_size=16, device="cpu").fit(choices(2), steps=2)
    chooser.fit(choices(2), steps=2, warm_start=True)
    assert chooser.population.state.step == 4
    with pytest.raises(DataError, match="3 actions against 2"):
        chooser.fit(choices(3), steps=1, warm_start=True)

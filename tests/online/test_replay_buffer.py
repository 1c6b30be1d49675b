"""Exploring and remembering: what followed what, who may draw it, and that company changes nothing."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.toys import TOY_SPEC
from prudent import algorithms
from prudent.data import Dataset
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError, PrudentError
from prudent.nn.rng import MemberRng
from prudent.online.explorers import Explorer, Uniform
from prudent.online.interaction import Interaction, Transition
from prudent.online.replay_buffer import ReplayBuffer
from prudent.types import Spec

TOY, GATES = "prudent/Toy-v0", "prudent/Gates-v0"
BOUNDS = Scaling(torch.tensor([0.5, 3.0]), torch.tensor([2.0, 4.0]), torch.tensor([0.0]), torch.tensor([1.0]))


def population(seeds=(0,), needs=(), monkeypatch=None, **settings):
    """A small SAC on the toy; ``needs`` are the columns it pretends to learn from."""
    config = algorithms.get("sac").Config(hidden=(4,), batch_size=8, **settings)
    if needs:
        monkeypatch.setattr(algorithms.get("sac"), "NEEDS", needs)
    return Population("sac", [Member(f"seed={s}", s, config) for s in seeds], TOY_SPEC, BOUNDS)


def steps_of(env_id, actor, seeds, count):
    with Interaction(env_id, seeds) as interaction:
        return [interaction.step(actor) for _ in range(count)]


# --- interaction ------------------------------------------------------------------------------------------------------


def test_episodes_follow_each_other_and_no_row_crosses():
    """The toy's observation is (start, time): both tell where a row belongs."""
    steps = steps_of(TOY, Uniform(TOY_SPEC, [0, 1]), [0, 1], 100)
    ends = 0
    for before, after in itertools.pairwise(steps):
        ended = before.terminated | before.truncated
        np.testing.assert_array_equal(before.next_observation[:, 0], before.observation[:, 0])
        np.testing.assert_array_equal(before.next_observation[:, 1], before.observation[:, 1] + 1)
        np.testing.assert_array_equal(after.observation[~ended], before.next_observation[~ended])
        np.testing.assert_array_equal(after.observation[ended, 1], 0)
        ends += ended.sum()
    assert ends >= 10
    starts = {float(s.observation[0, 0]) for s in steps if s.observation[0, 1] == 0}
    assert len(starts) > 3, "every episode begins in the same state"


def test_time_limits_are_truncations_and_ends_are_terminations():
    def always(value):
        return lambda observation, _mask: np.full((len(observation), 1), value, np.float32)

    forward, back = steps_of(TOY, always(1.0), [3], 45), steps_of(TOY, always(-1.0), [3], 45)
    assert [i for i, s in enumerate(forward) if s.truncated[0]] == [19, 39]
    assert not any(s.terminated[0] for s in forward)
    assert any(s.terminated[0] for s in back)
    assert not any(s.truncated[0] for s in back)


@pytest.mark.parametrize("env_id", [TOY, GATES])
def test_a_member_explores_alone_as_it_does_in_company(env_id):
    spec = TOY_SPEC if env_id == TOY else Spec(2, 3, discrete=True)
    alone = steps_of(env_id, Uniform(spec, [7]), [7], 40)
    company = steps_of(env_id, Uniform(spec, [3, 7]), [3, 7], 40)
    for one, two in zip(alone, company, strict=True):
        for name in ("observation", "action", "reward", "next_observation", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(one, name)[0], getattr(two, name)[1], err_msg=name)


def test_masks_stand_beside_the_states_they_belong_to():
    """A closed gate fails, so that every draw of a forbidden action would stop this."""
    for step in steps_of(GATES, Uniform(Spec(2, 3, discrete=True), [0]), [0], 60):
        np.testing.assert_array_equal(step.mask, np.arange(3) != step.observation[:, :1])
        if not step.terminated[0]:
            np.testing.assert_array_equal(step.next_mask, np.arange(3) != step.next_observation[:, :1])
        assert step.mask[0, step.action[0]]


def test_uniform_actions_fill_the_range():
    spec = Spec(2, 2, action_low=(-1.0, 0.0), action_high=(1.0, 10.0))
    actor = Uniform(spec, [0])
    drawn = np.concatenate([actor(np.zeros((1, 2), np.float32), None) for _ in range(500)])
    np.testing.assert_allclose(drawn.min(0), spec.action_low, atol=0.1)
    np.testing.assert_allclose(drawn.max(0), spec.action_high, atol=0.1)
    with pytest.raises(ConfigError, match="no finite bounds"):
        Uniform(Spec(2, 1), [0])


# --- explorer ---------------------------------------------------------------------------------------------------------

SEEN = np.array([[0.3, 2.0], [0.9, 5.0]], np.float32)


def test_an_explorer_samples_takes_the_mode_or_adds_noise():
    members = population((0, 1))
    mode = members.act(SEEN[:, None], deterministic=True)[:, 0]
    np.testing.assert_array_equal(Explorer(members, [0, 1], deterministic=True)(SEEN, None), mode)
    noisy = Explorer(members, [0, 1], spread=0.1, deterministic=True)
    drawn = np.stack([noisy(SEEN, None) for _ in range(400)])
    np.testing.assert_allclose(drawn.std(0), 0.1, rtol=0.15)
    np.testing.assert_allclose(drawn.mean(0), mode, atol=0.02)
    sampling = Explorer(members, [0, 1])
    assert np.stack([sampling(SEEN, None) for _ in range(50)]).std(0).min() > 0.2


def test_members_with_one_seed_explore_alike_and_others_do_not():
    members = population((0, 0))
    alike, apart = Explorer(members, [5, 5]), Explorer(members, [5, 6])
    same = SEEN[[0, 0]]
    np.testing.assert_array_equal(*alike(same, None))
    one, other = apart(same, None)
    assert one != other
    np.testing.assert_array_equal(one, Explorer(members, [5, 5])(same, None)[0])


def test_a_diverged_member_acts_in_the_middle():
    members = population((0, 1))
    members.state.networks["actor"]["b0"][1] = float("nan")
    action = Explorer(members, [0, 1])(SEEN, None)
    assert action[1] == 0.0
    assert action[0] != 0.0


def choosing(policy, size=3):
    """A population of two over three actions, which prefers the last one and, if it samples, the largest noise."""

    def act(_networks, observation, noise=None, mask=None):
        assert observation.shape[:2] == (2, 1)
        score = torch.arange(float(size)).expand(2, 1, size) if noise is None else noise
        score = score if mask is None else score.masked_fill(~mask, -1.0)
        return score.argmax(-1), torch.zeros(2, 1)

    return SimpleNamespace(
        algorithm=SimpleNamespace(POLICY=policy, NEEDS=(), act=act),
        spec=Spec(2, size, discrete=True),
        scaling=BOUNDS,
        state=SimpleNamespace(networks={}),
        device=torch.device("cpu"),
        size=2,
    )


OPEN = np.array([[True, True, False], [False, True, True]])


@pytest.mark.parametrize("mask", [None, OPEN])
def test_discrete_explorers_keep_to_what_is_allowed(mask):
    best = [2, 2] if mask is None else [1, 2]
    for policy, spread in (("greedy", 0.0), ("categorical", 0.0), ("greedy", 0.5)):
        explorer = Explorer(choosing(policy), [0, 1], spread)
        drawn = np.stack([explorer(SEEN, mask) for _ in range(300)])
        assert drawn.dtype == np.int64
        for member in range(2):
            share = np.bincount(drawn[:, member], minlength=3) / 300
            allowed = np.ones(3, bool) if mask is None else mask[member]
            assert not share[~allowed].any(), "a forbidden action"
            if (policy, spread) == ("greedy", 0.0):
                assert share[best[member]] == 1
            else:
                assert share[allowed].min() > 0.1, "an action that is never tried"
    half = Explorer(choosing("greedy"), [0, 1], 0.5)
    drawn = np.stack([half(SEEN, mask) for _ in range(600)])
    expected = 0.5 + 0.5 / (3 if mask is None else 2)
    np.testing.assert_allclose((drawn == best).mean(0), expected, atol=0.06)


def test_actions_unknown_to_a_policy():
    """The environment has four, the dataset had three."""
    explorer = Explorer(choosing("greedy"), [0, 1])
    mask = np.array([[True, False, False, True], [False, True, False, False]])
    assert explorer(SEEN, mask).tolist() == [0, 1]
    with pytest.raises(PrudentError, match="none of the 3 actions that the policy knows"):
        explorer(SEEN, np.array([[False, False, False, True]] * 2))


# --- buffer -----------------------------------------------------------------------------------------------------------


def filled(members, episodes, capacity=64):
    """A buffer of two-feature states (member, row); ``episodes`` are (length, terminated) for every member."""
    buffer, row = ReplayBuffer(members, capacity), 0
    size = members.size
    for length, terminated in episodes:
        for k in range(length):
            last = np.full(size, k == length - 1)
            state = np.stack([np.arange(size), np.full(size, row)], axis=1).astype(np.float32)
            action = np.full((size, 1), row / 100, np.float32)
            reward = np.full(size, row, np.float32)
            flags = last & (terminated is True), last & (terminated is False)
            buffer.add(Transition(state, action, reward, state + np.float32([0, 1]), *flags))
            row += 1
    return buffer


def drawn(buffer, rows=400):
    """A batch back in the units of the environment."""
    batch = buffer.sample(MemberRng(range(buffer.population.size), "test"), rows)
    scale = buffer.population.scaling
    observation = batch.observation * scale.observation_std + scale.observation_mean
    return batch, observation.round().long()


def test_a_batch_is_what_was_added():
    members = population((0, 1), reward_scale=2.0, reward_shift=-1.0)
    batch, observation = drawn(filled(members, [(5, True), (3, None)]))
    for member in range(2):
        assert set(observation[member, :, 0].tolist()) == {member}, "a member draws the rows of another"
        assert set(observation[member, :, 1].tolist()) == set(range(8))
    rows = observation[..., 1]
    torch.testing.assert_close(batch.reward, 2.0 * rows - 1.0)
    torch.testing.assert_close(batch.action[..., 0], rows / 100)
    assert torch.equal(batch.terminated, rows == 4)
    torch.testing.assert_close(batch.next_observation[..., 1], (rows + 1 - 3.0) / 4.0)
    assert batch.return_to_go is None
    assert batch.next_action is None


def test_the_oldest_are_forgotten():
    _, observation = drawn(filled(population(), [(30, True), (10, None)], capacity=16))
    assert set(observation[..., 1].flatten().tolist()) == set(range(24, 40))


def test_returns_to_go_are_those_a_dataset_has(monkeypatch):
    """Terminated and truncated episodes alike, with the reward's transform; the open one waits."""
    members = population((0, 1), ("return_to_go",), monkeypatch, discount=0.9, reward_scale=0.5, reward_shift=1.0)
    buffer = filled(members, [(5, True), (12, False), (4, None)])
    assert buffer.ready.tolist() == [17, 17]
    batch, observation = drawn(buffer)
    rows = observation[..., 1]
    assert rows.max() == 16
    ends = np.arange(17)
    log = Dataset.from_columns(
        observation=np.zeros((17, 2)),
        action=np.zeros((17, 1)),
        reward=np.arange(17),
        next_observation=np.zeros((17, 2)),
        terminated=ends == 4,
        truncated=ends == 16,
    )
    expected = torch.from_numpy(log.returns_to_go(0.9, log.reward * 0.5 + 1.0))
    torch.testing.assert_close(batch.return_to_go, expected[rows])


def test_returns_to_go_survive_the_ring(monkeypatch):
    members = population((0,), ("return_to_go",), monkeypatch, discount=0.5)
    batch, observation = drawn(filled(members, [(10, True), (10, True), (3, None)], capacity=12))
    rows = observation[..., 1]
    assert set(rows.flatten().tolist()) == set(range(11, 20))
    value, expected = 0.0, {}
    for row in range(19, 10, -1):
        value = row + 0.5 * value
        expected[row] = value
    torch.testing.assert_close(batch.return_to_go, rows.clone().float().apply_(lambda r: expected[int(r)]))


def test_next_actions_are_of_the_same_episode(monkeypatch):
    members = population((0,), ("next_action",), monkeypatch)
    batch, observation = drawn(filled(members, [(5, True), (5, False), (4, None)], capacity=12))
    rows = observation[..., 1]
    assert torch.equal(batch.next_action_known, (rows != 4) & (rows != 9) & (rows != 13))
    known = batch.next_action_known
    torch.testing.assert_close(batch.next_action[known][:, 0], (rows[known] + 1) / 100)


def test_a_population_learns_from_a_buffer_as_its_members_would_alone():
    both, solo = population((0, 1)), population((1,))
    for members, seeds in ((both, [0, 1]), (solo, [1])):
        buffer = ReplayBuffer(members, 32)
        for step in steps_of(TOY, Explorer(members, seeds), seeds, 20):
            buffer.add(step)
        for _ in range(3):
            members.step(buffer)
    for name, tensor in both.member(1).tensors().items():
        torch.testing.assert_close(solo.tensors()[name], tensor, msg=name)


def test_windows_over_replay_rows_stop_at_ends_and_at_the_newest_row():
    """Rows 1 to 6 of a buffer of 4 keep 3 to 6; the episode of member 0 ends at row 4, that of member 1 goes on."""
    members = population((0, 1), n_steps=3, trace=0.5, reward_scale=2.0)
    buffer = ReplayBuffer(members, 4)
    for k in range(1, 7):
        state = np.full((2, 2), k, np.float32)
        ends = np.array([k == 4, False])
        action = np.zeros((2, 1), np.float32)
        buffer.add(Transition(state, action, np.full(2, k, np.float32), state + 1, ends, ends & False))
    batch = buffer.sample(MemberRng([0, 1], "test"), 64)
    ends = {0: {3: 4, 4: 4, 5: 6, 6: 6}, 1: {3: 5, 4: 6, 5: 6, 6: 6}}
    for p, last_of in ends.items():
        rows = (batch.reward[p] / 2).tolist()
        assert set(rows) == set(last_of)
        for b, row in enumerate(rows):
            last = last_of[int(row)]
            expected = [min(row + k, last) for k in range(3)]
            assert [float(step.reward[p, b]) / 2 for step in batch.window] == expected
            assert [bool(step.goes_on[p, b]) for step in batch.window] == [row + k < last and k < 2 for k in range(3)]
            assert bool(batch.window[-1].terminated[p, b]) == (p == 0 and last == 4)
            after = members.scaling.observation(torch.full((1, 2), last + 1.0))[0]
            assert torch.allclose(batch.window[-1].next.observation[p, b], after)


def test_a_population_with_windows_learns_from_a_buffer():
    members = population((0, 1), n_steps=3, trace=0.5)
    buffer = ReplayBuffer(members, 50)
    for step in steps_of(TOY, Uniform(TOY_SPEC, [0, 1]), [0, 1], 30):
        buffer.add(step)
    metrics = members.step(buffer)
    assert torch.isfinite(metrics["critic_loss"]).all()

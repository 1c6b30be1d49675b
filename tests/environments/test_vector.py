"""Several environments stepped together: ends, seeds, masks and failures."""

import gymnasium
import numpy as np
import pytest

import helpers.toys  # noqa: F401 - registers the environments
from prudent.environments import vector
from prudent.errors import PrudentError

TOY = "prudent/Toy-v0"


def test_episodes_end_apart_and_stay_ended():
    with vector.Environments(TOY, 3) as several:
        start = several.reset([1, 2, 1])
        np.testing.assert_array_equal(start[0], start[2])
        assert start[0, 0] != start[1, 0]
        action = np.array([[0.0], [-0.5], [0.0]])
        total = np.zeros(3)
        for step in range(1, 21):
            observation, reward, terminated, truncated = several.step(action)
            total += reward
            if not several.active[1]:
                assert observation[1, 1] in (4, 7)
                assert reward[1] == 0 or terminated[1]
            assert truncated.tolist() == [step == 20, False, step == 20]
        assert total.tolist() == [20.0, 0.5 * observation[1, 1], 20.0]
        assert not several.active.any()
        several.reset([1, 2, 3])
        assert several.active.all()


def test_actions_are_clipped_to_the_bounds():
    with vector.Environments(TOY, 1) as one:
        one.reset([0])
        _, reward, _, _ = one.step(np.array([[1.0 + 1e-7]]))
        assert reward[0] == 2.0
        _, reward, _, _ = one.step(np.array([[50.0]]))
        assert reward[0] == 2.0


def test_results_are_copies():
    with vector.Environments(TOY, 1) as one:
        first = one.reset([0])
        copy = first.copy()
        one.step(np.array([[0.0]]))
        np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("trouble", ["Raise", "Reward", "Observation"])
def test_trouble_names_the_environment_and_the_step(trouble):
    with vector.Environments(f"prudent/Toy{trouble}-v0", 2) as several:
        several.reset([0, 1])
        several.step(np.zeros((2, 1)))
        several.step(np.zeros((2, 1)))
        with pytest.raises(PrudentError, match=f"'prudent/Toy{trouble}-v0' at step 3") as caught:
            several.step(np.zeros((2, 1)))
        assert "\n" not in str(caught.value)


def test_one_environment_is_restarted_and_the_others_go_on():
    with vector.Environments(TOY, 2) as several:
        several.reset([1, 2])
        action = np.array([[-0.5], [0.0]])
        while several.active[0]:
            several.step(action)
        time = several.step(action)[0][1, 1]
        fresh = several.restart(0, 7)
        assert fresh[1] == 0
        assert several.active.all()
        observation, reward, _, _ = several.step(action)
        assert observation[:, 1].tolist() == [1, time + 1]
        assert reward.tolist() == [0.5, 1.0]
        np.testing.assert_array_equal(
            several.restart(1, 7), fresh
        )  # the same seed gives the same start, whatever happened before


def test_the_mask_belongs_to_the_observation():
    with vector.Environments("prudent/Gates-v0", 3) as gates:
        assert gates.mask is None
        observation = gates.reset([0, 1, 2])
        for _ in range(6):
            expected = np.arange(3) != observation[:, :1]
            np.testing.assert_array_equal(gates.mask, expected)
            assert gates.mask.dtype == bool
            observation, _, terminated, truncated = gates.step(np.where(observation[:, 0] == 1, 2, 1))
        assert truncated.all()
        np.testing.assert_array_equal(
            gates.mask, np.arange(3) != observation[:, :1]
        )  # value goes on behind a time limit
        gates.reset([0, 1, 2])
        _, _, terminated, _ = gates.step(np.array([0, 0, 0]))
        assert terminated.all()
        assert gates.mask.all()  # the episode has ended: nothing is forbidden
        first = gates.restart(1, 5)
        np.testing.assert_array_equal(gates.mask[1], np.arange(3) != first[0])


def test_environments_without_masks_have_none():
    for env_id in (TOY, "CartPole-v1"):
        with vector.Environments(env_id, 2) as several:
            several.reset([0, 1])
            assert several.mask is None


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("prudent/GatesShut-v0", "at step 2 gave an action_mask that forbids every action, yet"),
        ("prudent/GatesWide-v0", "at reset gave an action_mask of shape (4,), expected (3,)"),
    ],
)
def test_masks_that_make_no_sense(env_id, says):
    def walk(gates):
        observation = gates.reset([0])
        for _ in range(3):
            observation, *_ = gates.step(np.where(observation[:, 0] == 1, 2, 1))

    with vector.Environments(env_id, 1) as gates, pytest.raises(PrudentError) as caught:
        walk(gates)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what an environment may return, and what is said about the rest --------------------------------------------------


class Returning(gymnasium.Env):
    """Returns what its kind says from step 2 on."""

    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, observation=None, reward=1.0, terminated=False, truncated=False, info=None, five=True):
        self.given = (np.zeros(2) if observation is None else observation, reward, terminated, truncated)
        self.info, self.five = {} if info is None else info, five

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        return [0, 1], {}

    def step(self, action):
        assert action.dtype == np.float32
        return (*self.given, self.info) if self.five else self.given


gymnasium.register("prudent/Returning-v0", entry_point=Returning, order_enforce=False)


def one_step(monkeypatch, **given):
    monkeypatch.setitem(gymnasium.registry["prudent/Returning-v0"].kwargs, "info", None)
    for name, value in given.items():
        monkeypatch.setitem(gymnasium.registry["prudent/Returning-v0"].kwargs, name, value)
    with vector.Environments("prudent/Returning-v0", 1) as one:
        np.testing.assert_array_equal(one.reset([0]), [[0, 1]])
        return one.step(np.zeros((1, 1)))


@pytest.mark.parametrize(
    "reward", [2, 2.0, True + True, np.float64(2), np.array(2.0), np.array([2]), np.float32(2)], ids=repr
)
def test_a_reward_of_any_type_of_number(reward, monkeypatch):
    _, found, _, _ = one_step(monkeypatch, reward=reward)
    assert found.tolist() == [2.0]
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    "observation", [[1, 2], (1.0, 2.0), np.array([1, 2], np.uint8), np.array([1, 2], np.float64)], ids=repr
)
def test_an_observation_of_any_type_of_numbers(observation, monkeypatch):
    found = one_step(monkeypatch, observation=observation)[0]
    assert found.tolist() == [[1.0, 2.0]]
    assert found.dtype == np.float64, "of an environment with numbers of 8 bytes"


def test_no_digit_of_a_float64_environment_is_lost(monkeypatch):
    given = np.array([1.7e9 + 0.125, 2.0])
    assert one_step(monkeypatch, observation=given)[0].tolist() == [given.tolist()]
    with pytest.raises(PrudentError, match="observation"):
        one_step(monkeypatch, observation=np.array([1e39, 2.0]))


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.array(True), np.array([1])], ids=repr)
def test_a_flag_of_any_type(flag, monkeypatch):
    _, _, terminated, truncated = one_step(monkeypatch, terminated=flag)
    assert (terminated.tolist(), truncated.tolist()) == ([True], [False])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"reward": None}, "gave reward None, expected a number"),
        ({"reward": [1.0, 2.0]}, r"gave reward \[1.0, 2.0\], expected a number"),
        ({"reward": "1"}, "gave reward '1'"),
        ({"reward": float("nan")}, "NaN or infinity in its reward"),
        ({"terminated": None}, "gave terminated None, expected true or false"),
        ({"truncated": "no"}, "gave truncated 'no', expected true or false"),
        ({"truncated": 0.5}, "gave truncated 0.5"),
        ({"observation": 0.5}, r"gave an observation of shape \(\), expected \(2,\)"),
        ({"observation": [[1, 2]]}, r"gave an observation of shape \(1, 2\), expected \(2,\)"),
        ({"observation": [1, [2]]}, "no array of numbers"),
        ({"observation": {"a": 1}}, r"gave an observation \(dict\) that is no array of numbers \(2,\)"),
        ({"observation": [1e300, 0.0]}, "NaN or infinity in its observation"),
        ({"info": [1]}, "gave no dictionary as its info, but list"),
        ({"five": False}, "Gymnasium expects observation, info from reset; observation, reward, terminated, truncated"),
    ],
    ids=repr,
)
def test_anything_else_is_one_line(given, says, monkeypatch):
    with pytest.raises(PrudentError, match=f"'prudent/Returning-v0' at step 1.*{says}") as caught:
        one_step(monkeypatch, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (2, 2)])
def test_spaces_that_are_no_vector_are_one_short_line(shape, monkeypatch):
    box = gymnasium.spaces.Box(np.full(shape, -1.5), np.full(shape, 1.5), dtype=np.float64)
    for name in ("observation_space", "action_space"):
        with monkeypatch.context() as patch:
            patch.setattr(Returning, name, box)
            with pytest.raises(PrudentError, match="a flat Box") as caught:
                vector.Environments("prudent/Returning-v0", 1)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 320

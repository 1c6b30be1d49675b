"""What several environments at once record: episodes in one piece, in the order in which they began."""

import numpy as np
import pytest

from helpers.toys import TOY_SPEC
from prudent.online.explorers import Uniform
from prudent.online.interaction import Transition, env_seeds
from prudent.online.recording import Recording, TransitionLog, envs_for, figures_line, roll_out
from prudent.types import Spec

TOY, GATES = "prudent/Toy-v0", "prudent/Gates-v0"


def step(rewards, ended, first=0):
    """One step of K environments whose observations say which environment they are of."""
    lanes = np.arange(len(rewards), dtype=float)
    observation = np.stack([lanes, np.full(len(rewards), float(first))], axis=1)
    flags = np.array(ended, dtype=bool)
    action = np.zeros((len(rewards), 1), np.float32)
    following = observation + np.array([0, 1])
    return Transition(observation, action, np.array(rewards, "f4"), following, flags, np.zeros_like(flags))


def three_steps():
    """Environment 0 ends after the second step, environment 1 after the first."""
    log = TransitionLog(TOY_SPEC, 5, envs=2)
    log.add(step([1, 10], [False, True], 0))
    log.add(step([2, 20], [True, False], 1))
    log.add(step([4, 40], [False, False], 2))
    return log


def test_episodes_are_in_one_piece_and_in_the_order_of_their_beginnings():
    found = three_steps().recording("two")
    data = found.dataset
    assert data.reward.tolist() == [1, 2, 10, 20, 40, 4]
    assert data.observation[:, 0].tolist() == [0, 0, 1, 1, 1, 0]
    assert data.terminated.tolist() == [False, True, True, False, False, False]
    assert data.truncated.tolist() == [False, False, False, False, True, True]
    assert found.complete.tolist() == [True, True, False, False]
    figures = found.figures()
    assert (figures["mean_return"], figures["best_return"], figures["best_tenth"]) == (6.5, 10.0, 10.0)
    assert (figures["steps"], figures["episodes"], figures["cut_episodes"], figures["mean_length"]) == (6, 4, 2, 1.5)
    assert "6 transitions in 4 episodes, 2 of them cut; return mean 6.5, best 10" in figures_line(figures)


def test_the_first_rows_only():
    """Five rows of three steps: the last step of the second environment is left out."""
    found = three_steps().recording("five", 5)
    assert found.dataset.reward.tolist() == [1, 2, 10, 20, 4]
    assert found.dataset.truncated.tolist() == [False, False, False, True, True]
    assert three_steps().recording("one", 1).dataset.reward.tolist() == [1]


def test_a_running_episode_alone():
    log = three_steps()
    assert log.running(0)["reward"].tolist() == [4]
    assert log.running(1)["reward"].tolist() == [20, 40]
    log.add(step([8, 80], [True, False], 3))
    assert len(log.running(0)["reward"]) == 0


def test_the_best_tenth_is_of_complete_episodes():
    rewards = np.arange(20.0)
    log = TransitionLog(TOY_SPEC, 20)
    for reward in rewards:
        log.add(step([reward], [reward < 19]))
    found = log.recording("twenty")
    assert found.figures()["best_tenth"] == 18.0
    assert found.figures()["cut_episodes"] == 1
    assert Recording(found.dataset, np.zeros(20, bool)).figures()["best_return"] == 19.0


@pytest.mark.parametrize("env", [TOY, GATES])
def test_each_environment_does_what_it_does_alone(env):
    """Three at once are the same episodes as three recordings, one for each seed."""
    spec = TOY_SPEC if env == TOY else Spec(2, 3, discrete=True)
    seeds = env_seeds(4, 3)
    assert seeds[0] == 4
    assert len(set(seeds)) == 3
    together = roll_out(env, Uniform(spec, seeds), 4, 120, "together", envs=3)
    alone = [roll_out(env, Uniform(spec, [seed]), seed, 40, "alone") for seed in seeds]

    def episodes(recordings):
        found = []
        for recording in recordings:
            data = recording.dataset
            for first, end in zip(data.episode_bounds[:-1], data.episode_bounds[1:], strict=True):
                rows = slice(first, end)
                columns = data.observation, data.action, data.reward, data.terminated, *data.extra.values()
                found.append(tuple(column[rows].tobytes() for column in columns))
        return sorted(found)

    assert episodes([together]) == episodes(alone)


def test_how_many_at_once():
    assert [envs_for(rows) for rows in (1, 9_999, 25_000, 100_000, 10**9)] == [1, 1, 2, 8, 8]
    recording = roll_out(TOY, Uniform(TOY_SPEC, env_seeds(0, 3)), 0, 100, "odd", envs=3)
    assert len(recording.dataset) == 100

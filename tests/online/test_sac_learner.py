"""SAC from scratch: it learns, it stops at its level, and it says what it reached where it does not."""

import math

import pytest
import torch

from helpers.learners import FAST, QUICK
from helpers.toys import TOY_SPEC
from prudent.errors import ConfigError, PrudentError
from prudent.online.recording import TransitionLog
from prudent.online.sac_learner import SacLearner, SacSettings, identity

TOY = "prudent/Toy-v0"


def test_it_learns_the_toy():
    """Going forward earns 2 a step for 20 steps, going back ends the task: a random policy earns about 6."""
    apprentice = SacLearner(TOY, SacSettings(sac_steps=1500, **QUICK, **FAST), seed=2, deterministic=True)
    before = apprentice.evaluate()
    assert before < 10
    reached = apprentice.reach(34.0)
    assert reached.mean_return >= 34.0
    assert apprentice.steps == reached.steps
    assert apprentice.steps % 100 == 0
    lower = apprentice.reach(20.0)
    assert lower == next(e for e in apprentice.curve if e.mean_return >= 20.0), "a lower level was reached on the way"
    assert apprentice.steps == reached.steps
    assert apprentice.policy(lower).state.step == lower.updates


def test_it_sees_everything_and_learns_only_after_the_start():
    log = TransitionLog(TOY_SPEC, 60)
    apprentice = SacLearner(TOY, SacSettings(sac_steps=60, **QUICK), seed=0, log=log)
    for _ in range(50):
        apprentice.step()
    assert apprentice.population.state.step == 0
    for _ in range(10):
        apprentice.step()
    assert apprentice.population.state.step == 10
    assert log.steps == 60


def test_the_same_seed_learns_the_same():
    states = []
    for seed in (1, 1, 2):
        apprentice = SacLearner(TOY, SacSettings(sac_steps=70, **QUICK), seed)
        for _ in range(70):
            apprentice.step()
        states.append(apprentice.population.state.networks["actor"]["w0"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_level_out_of_reach_is_said():
    apprentice = SacLearner(TOY, SacSettings(sac_steps=60, **QUICK), seed=0)
    with pytest.raises(PrudentError, match=r"in 60 steps, the level asked for needs 1000: give more --sac-steps"):
        apprentice.reach(1000.0)
    assert math.isfinite(apprentice.best.mean_return)
    assert apprentice.reach(1000.0, or_best=True) == apprentice.best


def test_where_it_cannot_learn():
    with pytest.raises(ConfigError, match=r"sac is for continuous actions, prudent/Gates-v0 has discrete ones"):
        SacLearner("prudent/Gates-v0", SacSettings(), seed=0)
    for wrong in ({"sac_steps": 0}, {"actor_lr": -1.0}, {"discount": 1.0}, {"hidden": ()}):
        with pytest.raises(ConfigError):
            SacSettings(**wrong)


def test_units_are_the_environments():
    scaling = identity(TOY_SPEC)
    torch.testing.assert_close(scaling.observation(torch.tensor([3.0, -4.0])), torch.tensor([3.0, -4.0]))
    torch.testing.assert_close(scaling.unscale_action(torch.tensor([0.5])), torch.tensor([0.5]))

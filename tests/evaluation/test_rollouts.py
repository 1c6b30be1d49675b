"""Evaluation in an environment with known returns."""

import numpy as np
import pytest
import torch

from helpers.toys import Constants, Highest
from prudent.errors import ConfigError, PrudentError
from prudent.evaluation import rollouts as module
from prudent.evaluation.rollouts import evaluate, evaluate_both
from prudent.types import Spec

TOY = "prudent/Toy-v0"


def test_returns_and_lengths_of_known_policies():
    result = evaluate(Constants([-0.5, 0.25]), TOY, episodes=12)
    assert set(result.lengths[0]) == {4, 7}
    np.testing.assert_allclose(result.returns[0], 0.5 * result.lengths[0])
    assert not result.truncated[0].any()
    assert (result.lengths[1] == 20).all()
    np.testing.assert_allclose(result.returns[1], 20 * 1.25)
    assert result.truncated[1].all()


def test_realised_value_uses_own_discount_and_transformed_rewards():
    population = Constants([-0.5, 0.25, 0.25], discount=[0.9, 0.9, 0.5], reward_scale=2.0, reward_shift=-1.0)
    result = evaluate(population, TOY, episodes=6)
    # Terminated: a finite sum, whatever the shift would add afterwards.
    reward = 2.0 * 0.5 - 1.0
    assert reward == 0.0
    np.testing.assert_allclose(result.realized[0], 0.0, atol=1e-12)
    # Truncated with a constant reward: the continuation makes it the whole geometric series.
    np.testing.assert_allclose(result.realized[1], 1.5 / (1 - 0.9))
    np.testing.assert_allclose(result.realized[2], 1.5 / (1 - 0.5))
    np.testing.assert_allclose(result.tail_weight, [[0.0] * 6, [0.9**20] * 6, [0.5**20] * 6])
    np.testing.assert_allclose(result.continuation[1], 0.9**20 * 15)


def test_a_terminated_episode_has_the_value_of_its_sum():
    result = evaluate(Constants([-0.5]), TOY, episodes=12)
    np.testing.assert_allclose(result.realized, 0.5 * (1 - 0.9**result.lengths) / (1 - 0.9))
    assert not result.continuation.any()


def test_reward_transform_may_be_one_per_member():
    population = Constants([0.0, 0.0], reward_scale=np.array([1.0, 3.0]), reward_shift=np.array([0.0, 1.0]))
    result = evaluate(population, TOY, episodes=2)
    np.testing.assert_allclose(result.realized.mean(1), [10.0, 40.0])
    np.testing.assert_allclose(result.returns, 20.0)


@pytest.mark.parametrize("deterministic", [True, False])
def test_members_have_the_same_returns_in_a_population_as_alone(deterministic):
    actions = [-0.5, 0.25, -0.05]
    together = evaluate(Constants(actions), TOY, episodes=5, deterministic=deterministic)
    for index, action in enumerate(actions):
        alone = evaluate(Constants([action]), TOY, episodes=5, deterministic=deterministic)
        np.testing.assert_array_equal(alone.returns[0], together.returns[index])
        np.testing.assert_array_equal(alone.realized[0], together.realized[index])


def test_every_member_has_the_same_start_states():
    result = evaluate(Constants([-0.5, -0.25]), TOY, episodes=20)
    np.testing.assert_array_equal(result.lengths[0], result.lengths[1])


def test_seeds_choose_the_start_states():
    starts = []

    class Watching(Constants):
        def predicted_value(self, observation, generator, *, mask=None):
            starts.append(observation[0, :, 0])
            return super().predicted_value(observation, generator, mask=mask)

    for seed, episodes in ((0, 8), (0, 8), (0, 4), (1, 8)):
        evaluate(Watching([-0.5]), TOY, seed=seed, episodes=episodes)
    np.testing.assert_array_equal(starts[0], starts[1])
    np.testing.assert_array_equal(starts[0][:4], starts[2])
    assert not set(starts[0]) & set(starts[3])


def test_many_episodes_run_in_portions_with_the_same_figures(monkeypatch):
    at_once = evaluate(Constants([-0.5, 0.1], predicted=[1.0, 2.0]), TOY, episodes=11)
    monkeypatch.setattr(module, "at_once", lambda _: 4)
    portions = evaluate(Constants([-0.5, 0.1], predicted=[1.0, 2.0]), TOY, episodes=11)
    for key in ("returns", "lengths", "realized", "predicted"):
        np.testing.assert_array_equal(getattr(at_once, key), getattr(portions, key))


# --- summaries --------------------------------------------------------------------------------------------------------


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("prudent/ToyRaise-v0", "RuntimeError: the simulator fell over"),
        ("prudent/ToyReward-v0", "NaN or infinity in its reward"),
        ("prudent/ToyObservation-v0", "NaN or infinity in its observation"),
    ],
)
def test_a_broken_environment_is_named_in_one_line(env_id, says):
    with pytest.raises(PrudentError) as caught:
        evaluate(Constants([0.0]), env_id, episodes=2)
    message = str(caught.value)
    assert says in message
    assert env_id in message
    assert "step 3" in message
    assert "\n" not in message


@pytest.mark.parametrize("options", [{"episodes": 0}, {"seed": -1}])
def test_options_that_are_no_counts(options):
    with pytest.raises(ConfigError, match="episodes must be 1 or more"):
        evaluate(Constants([0.0]), TOY, **options)


def test_an_environment_that_does_not_fit():
    population = Constants([0.0])
    population.spec = Spec(3, 1)
    with pytest.raises(ConfigError, match="2 observation features, the policy 3"):
        evaluate(population, TOY)


def test_endless_episodes_are_cut_and_count_as_truncated():
    result = evaluate(Constants([0.0]), "prudent/ToyEndless-v0", episodes=2, max_steps=30)
    assert (result.lengths == 30).all()
    assert result.truncated.all()
    np.testing.assert_allclose(result.realized, 10.0)


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with pytest.raises(PrudentError):
        evaluate(Constants([0.0]), "prudent/ToyRaise-v0", episodes=1)
    assert torch.get_num_threads() == before


# --- real ones --------------------------------------------------------------------------------------------------------


def test_discrete_actions():
    class Pushing(Constants):
        spec = Spec(4, 2, discrete=True)

        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic, generator, mask
            return np.broadcast_to(self.actions.astype(np.int64)[:, None], observation.shape[:2])

    result = evaluate(Pushing([0, 1]), "CartPole-v1", episodes=4)
    assert ((result.lengths >= 8) & (result.lengths <= 11)).all()  # pushing one way topples the pole at once
    np.testing.assert_array_equal(result.returns, result.lengths)


def test_a_population_is_evaluated_member_by_member_as_alone():
    from prudent import algorithms
    from prudent.engine.members import grid
    from prudent.engine.population import Population
    from prudent.engine.scaling import Scaling
    from prudent.environments.make import spec_of

    spec = spec_of("Pendulum-v1")
    members = grid(algorithms.get("cql").Config(hidden=(8, 8)), {"alpha": [1.0]}, [0, 1])
    scaling = Scaling(torch.zeros(3), torch.ones(3), torch.zeros(1), torch.full((1,), 2.0))
    population = Population("cql", members, spec, scaling)
    together = evaluate_both(population, "Pendulum-v1", episodes=3)
    alone = evaluate_both(population.member(1), "Pendulum-v1", episodes=3)
    for mode in ("deterministic", "stochastic"):
        company, solo = getattr(together, mode).select([1]), getattr(alone, mode)
        # Matrix products of other shapes round differently, and in the pendulum the difference grows.
        np.testing.assert_allclose(solo.returns, company.returns, rtol=1e-4)
        np.testing.assert_allclose(solo.predicted, company.predicted, rtol=1e-4, atol=1e-6)
    assert together.stochastic.summary()["overall"]["lower_bound_share"] is not None


# --- masks ------------------------------------------------------------------------------------------------------------


def test_policies_receive_the_masks():
    """The environment fails if a closed gate is chosen; the highest open gates are 2 and 1 in turn."""
    population = Highest(size=2)
    result = evaluate(population, "prudent/Gates-v0", episodes=5)
    assert (result.lengths == 6).all()
    assert (result.returns == 9).all()  # 2 + 1 + 2 + 1 + 2 + 1
    np.testing.assert_array_equal(result.predicted, np.full((2, 5), 2.0))  # at the start one of three is closed
    for observation, mask in population.asked:
        np.testing.assert_array_equal(mask, np.arange(3) != observation[..., :1])


def test_an_ended_episode_forbids_nothing():
    class Leaving(Highest):
        """Member 0 goes through gate 0 at once, which ends the task; the other member does not."""

        def act(self, observation, deterministic, generator, *, mask=None):
            action = super().act(observation, deterministic, generator, mask=mask)
            action[0] = 0
            return action

    population = Leaving(size=2)
    result = evaluate(population, "prudent/Gates-v0", episodes=3)
    assert (result.lengths == [[1] * 3, [6] * 3]).all()
    assert not result.truncated[0].any()
    assert result.truncated[1].all()
    assert population.asked[1][1][0].all()


def test_a_dataset_may_lack_actions_but_not_all_that_are_allowed():
    result = evaluate(Highest(size=1, known=2), "prudent/Gates-v0", episodes=6)
    assert (result.returns <= 1).all()  # gate 1, then 0; or 0 at once
    with pytest.raises(PrudentError, match="allows none of the actions that the dataset has"):
        evaluate(Highest(size=1, known=1), "prudent/GatesWithout-v0", episodes=1)


def test_pybullet_by_its_id_alone():
    pytest.importorskip("pybullet_envs_gymnasium")

    class Still(Constants):
        spec = Spec(15, 3)

        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic, generator, mask
            return np.zeros((*observation.shape[:2], 3))

    result = evaluate(Still([0.0, 0.0]), "HopperBulletEnv-v0", episodes=9)  # more than run at once
    np.testing.assert_array_equal(result.returns[0], result.returns[1])
    assert len(set(result.returns[0])) == 9
    assert (result.lengths < 200).all()
    assert not result.truncated.any()
    assert -5 < result.summary()["overall"]["normalized_score"] < 20

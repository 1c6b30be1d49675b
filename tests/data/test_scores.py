import pytest

from prudent.data.scores import normalized_score


@pytest.mark.parametrize(
    ("name", "expert"),
    [
        ("Hopper-v5", 3234.3),
        ("hopper-medium-expert-v2", 3234.3),
        ("hopper-medium.hdf5", 3234.3),
        ("hopper-medium.hdf5+hopper-expert.hdf5", 3234.3),
        ("minari:mujoco/hopper/medium-v0", 3234.3),
        ("hopper_medium", 3234.3),
        ("HalfCheetah-v5", 12135.0),
        ("Walker2d-v5", 4592.3),
        ("Ant-v5", 3879.7),
        ("HalfCheetahBulletEnv-v0", 2381.6725),
        ("halfcheetah-bullet-medium-v0", 2381.6725),
        ("hopper-bullet-mixed-v0", 1441.8060),
        ("antmaze-umaze-v0", 1.0),
        ("maze2d-large-v1", 273.99),
        ("kitchen-mixed-v0", 4.0),
        ("pen-human-v1", 3076.8331),
        ("AdroitHandDoor-v1", 2880.5693),
    ],
)
def test_the_expert_scores_100(name, expert):
    assert normalized_score(name, expert) == pytest.approx(100)


def test_the_random_policy_scores_0():
    assert normalized_score("Hopper-v5", -20.272305) == pytest.approx(0)
    assert normalized_score("HalfCheetah-v5", 4421) == pytest.approx(100 * (4421 + 280.178953) / (12135 + 280.178953))


@pytest.mark.parametrize("name", ["Pendulum-v1", "pendulum-mixed", "log.npz", "", "hopper-a.hdf5+ant-b.hdf5"])
def test_no_reference_no_score(name):
    assert normalized_score(name, 1.0) is None

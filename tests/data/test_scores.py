import pytest

from prudent.data.find import find
from prudent.data.scores import normalized_score, reference
from prudent.errors import DataError


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
        ("hopper-bullet-mixed-v0", 1441.8059623430963),
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


# --- every name of D4RL's table ---------------------------------------------------------------------------------------

# (random, expert) by name: facts from D4RL, d4rl/infos.py; those of version 0 and eval from d4rl/pointmaze/__init__.py.
MAZES = {
    "maze2d-open-v0": (0.01, 20.66),
    "maze2d-umaze-v1": (23.85, 161.86),
    "maze2d-medium-v1": (13.13, 277.39),
    "maze2d-large-v1": (6.7, 273.99),
    "maze2d-open-dense-v0": (11.17817, 27.166538620695782),
    "maze2d-umaze-dense-v1": (68.537689, 193.66285642381482),
    "maze2d-medium-dense-v1": (44.264742, 297.4552547777125),
    "maze2d-large-dense-v1": (30.569041, 303.4857382709002),
    "maze2d-umaze-v0": (0.94, 62.6),
    "maze2d-medium-v0": (5.77, 85.14),
    "maze2d-large-v0": (4.83, 191.99),
    "maze2d-umaze-dense-v0": (23.249793, 81.78995240126592),
    "maze2d-medium-dense-v0": (19.477620, 96.03474232952358),
    "maze2d-large-dense-v0": (27.388310, 215.09965671563742),
    "maze2d-eval-umaze-v1": (36.63, 141.4),
    "maze2d-eval-medium-v1": (13.07, 204.93),
    "maze2d-eval-large-v1": (16.4, 302.22),
    "maze2d-eval-umaze-dense-v1": (56.95455, 178.21373133248397),
    "maze2d-eval-medium-dense-v1": (42.28578, 235.5658957482388),
    "maze2d-eval-large-dense-v1": (56.95455, 326.09647655082637),
    "bullet-maze2d-open-v0": (8.75, 64.15),
    "bullet-maze2d-umaze-v0": (32.46, 153.99),
    "bullet-maze2d-medium-v0": (14.87, 238.05),
    "bullet-maze2d-large-v0": (1.82, 285.92),
}
ROBOTS = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
}
HANDS = {
    "pen": (96.262799, 3076.8331017826877),
    "hammer": (-274.856578, 12794.134825156867),
    "relocate": (-6.425911, 4233.877797728884),
    "door": (-56.512833, 2880.5693087298737),
}
BULLET = {
    "halfcheetah": (-1275.766996, 2381.6725),
    "hopper": (20.058972, 1441.8059623430963),
    "ant": (373.705955, 2650.495),
    "walker2d": (16.523877, 1623.6476303317536),
}
KINDS = ("random", "medium", "expert", "medium-replay", "medium-expert")
ANTMAZES = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")
D4RL = {
    **MAZES,
    **{f"{robot}-{kind}-v0": ends for robot, ends in ROBOTS.items() for kind in KINDS},
    **{f"{r}-{k}-v{v}": ends for r, ends in ROBOTS.items() for k in (*KINDS, "full-replay") for v in (1, 2)},
    **{f"{h}-{k}-v{v}": ends for h, ends in HANDS.items() for k in ("human", "cloned", "expert") for v in (0, 1)},
    **{f"bullet-{robot}-{kind}-v0": ends for robot, ends in BULLET.items() for kind in KINDS},
    **{f"antmaze-{maze}-v{version}": (0.0, 1.0) for maze in ANTMAZES for version in (0, 1, 2)},
    **{f"antmaze-eval-{maze}-v0": (0.0, 1.0) for maze in ANTMAZES},
    **{f"kitchen-{kind}-v0": (0.0, 4.0) for kind in ("complete", "partial", "mixed")},
    "minigrid-fourrooms-v0": (0.01442, 2.89685),
    "minigrid-fourrooms-random-v0": (0.01442, 2.89685),
    **{f"flow-ring-{kind}-v0": (-165.22, 24.42) for kind in ("random", "controller")},
    **{f"flow-merge-{kind}-v0": (118.67993, 330.03179) for kind in ("random", "controller")},
    "carla-lane-v0": (-0.8503839912088142, 1023.5784385429523),
    "carla-town-v0": (-114.81579500772153, 2440.1772022247314),
    "carla-town-full-v0": (-114.81579500772153, 2440.1772022247314),
}
# The file that D4RL downloads for a name, where it is not the name with underscores.
FILES = {
    "maze2d-open-v0": "maze2d-open-sparse",
    "maze2d-umaze-v1": "maze2d-umaze-sparse-v1",
    "maze2d-eval-large-v1": "maze2d-eval-large-sparse-v1",
    "maze2d-umaze-dense-v1": "maze2d-umaze-dense-v1",
    "minigrid-fourrooms-v0": "minigrid4rooms",
    "minigrid-fourrooms-random-v0": "minigrid4rooms_random",
    "pen-human-v0": "pen-v0_demos_clipped",
    "hammer-cloned-v0": "hammer-demos-v0-bc-combined",
    "door-expert-v0": "door-v0_expert_clipped",
    "relocate-cloned-v1": "relocate-cloned-v1",
    "halfcheetah-medium-replay-v0": "halfcheetah_mixed",
    "walker2d-medium-replay-v0": "walker_mixed",
    "walker2d-medium-replay-v1": "walker2d_medium_replay-v1",
    "ant-full-replay-v2": "ant_full_replay-v2",
    "hopper-medium-expert-v0": "hopper_medium_expert",
    "antmaze-umaze-v0": "Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse",
    "antmaze-medium-play-v2": "Ant_maze_big-maze_noisy_multistart_True_multigoal_False_sparse_fixed",
    "antmaze-large-diverse-v2": "Ant_maze_hardest-maze_noisy_multistart_True_multigoal_True_sparse_fixed",
    "flow-ring-random-v0": "flow-ring-v0-random",
    "flow-merge-controller-v0": "flow-merge-v0-idm",
    "kitchen-complete-v0": "mini_kitchen_microwave_kettle_light_slider-v0",
    "kitchen-partial-v0": "kitchen_microwave_kettle_light_slider-v0",
    "kitchen-mixed-v0": "kitchen_microwave_kettle_bottomburner_light-v0",
    "carla-lane-v0": "carla_lane_follow_flat-v0",
    "carla-town-v0": "carla_town_subsamp_flat-v0",
    "carla-town-full-v0": "carla_town_flat-v0",
    "bullet-halfcheetah-medium-v0": "bullet-halfcheetah_medium",
    "bullet-ant-medium-replay-v0": "bullet-ant_medium_replay",
    "bullet-maze2d-large-v0": "bullet-maze2d-large-sparse",
}


def test_every_name_of_d4rl_has_d4rls_references():
    assert len(D4RL) == 172
    wrong = {name: reference(name) for name, ends in D4RL.items() if reference(name) != ends}
    assert not wrong
    spelled = {name: reference(f"{name.replace('-', '_')}.hdf5") for name in D4RL}
    assert spelled == D4RL, "underscores and a suffix make a difference"


def test_a_name_without_a_version_is_the_last_one():
    assert reference("maze2d-umaze-dense") == D4RL["maze2d-umaze-dense-v1"]
    assert reference("maze2d-large") == D4RL["maze2d-large-v1"]
    assert reference("maze2d-open") == D4RL["maze2d-open-v0"]


@pytest.mark.parametrize(("name", "stem"), FILES.items())
def test_a_file_of_d4rl_is_found_by_its_name_and_has_its_references(tmp_path, monkeypatch, name, stem):
    monkeypatch.setenv("PRUDENT_DATA", str(tmp_path))
    for other in {"hopper_mixed", "maze2d-medium-sparse-v1", "kitchen_other-v0"} - {stem}:
        (tmp_path / f"{other}.hdf5").touch()
    with pytest.raises(DataError, match="no file of that name"):
        find(name)
    (tmp_path / f"{stem}.hdf5").touch()
    assert find(name) == [tmp_path / f"{stem}.hdf5"]
    assert reference(f"{stem}.hdf5") == D4RL[name]


def test_other_tasks_with_similar_names_have_no_reference():
    for name in ("MiniGrid-FourRooms-v0", "minari:D4RL/minigrid/fourrooms-v0", "minigrid-doorkey-v0", "flow-grid-v0"):
        assert reference(name) is None, name
    for name in ("carla", "bullet", "bullet-reacher-v0", "maze2d", "maze2d-huge-v1", "minari:D4RL/pointmaze/umaze-v2"):
        assert reference(name) is None, name

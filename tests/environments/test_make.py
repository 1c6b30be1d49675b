"""Making environments and checking spaces."""

import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from helpers.toys import TOY_SPEC
from prudent.environments import simulators, vector
from prudent.environments.make import check_fits, make, spec_of, time_limit, versions
from prudent.errors import ConfigError
from prudent.types import Spec

TOY = "prudent/Toy-v0"


class Odd(gymnasium.Env):
    """Spaces that prudent does not support."""

    def __init__(self, kind: str, render_mode=None):
        self.render_mode = render_mode
        vector, two_rows = Box(-1.0, 1.0, (2,), np.float32), Box(-1.0, 1.0, (2, 2), np.float32)
        self.observation_space = {"image": two_rows}.get(kind, vector)
        self.action_space = {"from 1": Discrete(3, start=1), "matrix": two_rows}.get(kind, vector)
        if kind == "unbounded":
            self.action_space = Box(np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), dtype=np.float64)
        if kind == "broken":
            raise OSError("no such\nfile")


for _kind in ("image", "from 1", "matrix", "unbounded", "broken"):
    gymnasium.register(f"prudent/Odd{_kind.replace(' ', '')}-v0", entry_point=Odd, kwargs={"kind": _kind})


def test_importing_loads_neither_gymnasium_nor_torch():
    heavy = ("gymnasium", "torch", "mujoco")
    code = "import sys, prudent.environments.make, prudent.environments.vector; "
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("Penduluum-v1", "Did you mean: `Pendulum`"),
        ("nobody/Nothing-v0", "not known to Gymnasium"),
        ("not an id", "Malformed environment ID"),
        ("", "Malformed environment ID"),
        ("no_such_module:Name-v0", "no_such_module"),
        ("prudent/Oddbroken-v0", "OSError: no such file"),
    ],
)
def test_an_environment_that_cannot_be_made_is_one_line(env_id, says):
    with pytest.raises(ConfigError, match="environment") as caught:
        make(env_id)
    assert says in str(caught.value)
    assert repr(env_id) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_environment_itself_is_no_name():
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(ConfigError, match="named by its Gymnasium id, such as 'Pendulum-v1', got <"):
        spec_of(env)  # type: ignore[arg-type]


def test_time_limits():
    assert time_limit("Pendulum-v1") == time_limit("any_module:Pendulum-v1") == 200
    assert time_limit("prudent/Oddimage-v0") is None
    assert time_limit("nowhere") is None


def test_a_missing_simulator_names_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("gymnasium.envs.mujoco", "mujoco"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)  # importing it fails now
    with pytest.raises(ConfigError) as caught:
        make("Hopper-v5")
    assert 'mujoco is not installed, try: pip install "prudent[mujoco]"' in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "modules", "extra"),
    [
        ("HopperBulletEnv-v0", ["pybullet"], "pybullet"),
        ("AntBulletEnv-v0", ["pybullet_envs_gymnasium"], "pybullet"),
        ("LunarLander-v3", ["Box2D"], "box2d"),
    ],
)
def test_a_missing_extra_is_named(env_id, modules, extra, monkeypatch):
    ours = ("gymnasium.envs.box2d.", "pybullet_envs_gymnasium.", *(f"{module}." for module in modules))
    for name in [name for name in sys.modules if name.startswith(ours)]:
        monkeypatch.delitem(sys.modules, name)
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails now
    with pytest.raises(ConfigError) as caught:
        make(env_id)
    assert f'{extra} is not installed, try: pip install "prudent[{extra}]"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_specs():
    assert spec_of("Pendulum-v1") == Spec(3, 1, action_low=(-2.0,), action_high=(2.0,))
    assert spec_of("CartPole-v1") == Spec(4, 2, discrete=True)
    assert spec_of("prudent/Oddunbounded-v0") == Spec(2, 2)  # one infinite bound: no bounds
    assert spec_of("prudent/Oddfrom1-v0") == Spec(2, 3, discrete=True, first_action=1)


def test_an_environment_counts_as_the_data_do():
    check_fits("prudent/Oddfrom1-v0", Spec(2, 2, discrete=True, first_action=1))
    with pytest.raises(ConfigError, match=r"actions numbered from 1, the dataset from 0 \(first_action\)"):
        check_fits("prudent/Oddfrom1-v0", Spec(2, 3, discrete=True))


@pytest.mark.parametrize(("kind", "says"), [("image", "flat Box"), ("matrix", "flat Box or Discrete")])
def test_spaces_that_cannot_be_used(kind, says):
    with pytest.raises(ConfigError, match=says):
        spec_of(f"prudent/Odd{kind}-v0")


@pytest.mark.parametrize(
    "spec",
    [
        TOY_SPEC,
        Spec(2, 1),
        replace(TOY_SPEC, action_low=(-0.5,), action_high=(0.5,)),
        replace(TOY_SPEC, action_low=(-1.0001,)),  # float32 logs of float64 bounds
    ],
)
def test_datasets_that_fit(spec):
    check_fits(TOY, spec)


@pytest.mark.parametrize(
    ("env_id", "spec", "says"),
    [
        (TOY, Spec(5, 1), "2 observation features, the dataset 5"),
        (TOY, Spec(2, 3), "1 action features, the dataset 3"),
        (TOY, Spec(2, 1, discrete=True), "continuous actions, the dataset discrete"),
        (TOY, replace(TOY_SPEC, action_high=(2.0,)), "the dataset from [-1.0] to [2.0]"),
        ("CartPole-v1", Spec(4, 3, discrete=True), "2 actions, the dataset uses 3"),
        ("CartPole-v1", Spec(4, 1), "discrete actions, the dataset continuous"),
    ],
)
def test_datasets_that_do_not_fit(env_id, spec, says):
    with pytest.raises(ConfigError) as caught:
        check_fits(env_id, spec)
    assert says in str(caught.value)


def test_fewer_discrete_actions_than_the_environment_has_fit():
    check_fits("Acrobot-v1", Spec(6, 2, discrete=True))


def test_versions_are_those_of_gymnasium_and_the_simulators():
    installed = versions()
    assert installed["gymnasium"] == gymnasium.__version__
    assert all(isinstance(version, str) for version in installed.values())
    for package in ("pybullet", "pybullet-envs-gymnasium", "box2d"):
        try:
            assert installed[package] == metadata.version(package)
        except metadata.PackageNotFoundError:
            assert package not in installed


# --- simulators -------------------------------------------------------------------------------------------------------

BULLET = {"HalfCheetah": (26, 6), "Hopper": (15, 3), "Walker2D": (22, 6), "Ant": (28, 8)}


@pytest.mark.parametrize("robot", BULLET)
def test_bullet_environments_by_their_ids_alone(robot):
    pytest.importorskip("pybullet_envs_gymnasium")
    sizes = BULLET[robot]
    spec = spec_of(f"{robot}BulletEnv-v0")
    assert (spec.observation_size, spec.action_size) == sizes
    assert spec.action_low == (-1.0,) * sizes[1]
    assert spec.action_high == (1.0,) * sizes[1]


@pytest.mark.parametrize("robot", ["HalfCheetah", "Ant"])
def test_bullet_episodes_are_reproducible_by_seed(robot):
    """To the last bit, also after other episodes: PyBullet's first reset differs from all later ones."""
    pytest.importorskip("pybullet_envs_gymnasium")

    def walk(several, seeds):
        rng = np.random.default_rng(0)
        rows = [several.reset(seeds)]
        for _ in range(30):
            action = np.repeat(rng.uniform(-1, 1, (1, several.spec.action_size)), len(several), axis=0)
            rows.append(several.step(action)[0])
        return np.array(rows)

    with vector.Environments(f"{robot}BulletEnv-v0", 2) as several:
        first = walk(several, [5, 6])
        again = walk(several, [6, 5])
    np.testing.assert_array_equal(first[:, 0], again[:, 1])
    np.testing.assert_array_equal(first[:, 1], again[:, 0])
    assert (first[0, 0] != first[0, 1]).any()


def test_bullet_episodes_end_apart():
    pytest.importorskip("pybullet_envs_gymnasium")
    with vector.Environments("HalfCheetahBulletEnv-v0", 1) as runner:
        runner.reset([0])
        for step in range(1, 1001):
            *_, terminated, truncated = runner.step(np.zeros((1, 6)))
            assert not terminated[0]
            assert truncated[0] == (step == 1000)
    with vector.Environments("HopperBulletEnv-v0", 1) as faller:
        faller.reset([0])
        while faller.active[0]:
            *_, terminated, truncated = faller.step(np.ones((1, 3)))
        assert terminated[0]
        assert not truncated[0]


def test_bullet_is_quiet_and_warns_of_nothing():
    pytest.importorskip("pybullet_envs_gymnasium")
    code = (
        "from prudent.environments.vector import Environments; import os\n"
        "with Environments('AntBulletEnv-v0', 2) as e: e.reset([0, 1])\n"
        "from prudent.environments.simulators import without_greetings as w\nwith w(): os.write(1, b'argv[0]=\\n5\\n')"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("5\n", "")  # all other output arrives


def test_box2d_survives_warnings_as_errors():
    """Its SWIG wrapper crashes if its own DeprecationWarning becomes an error."""
    pytest.importorskip("pygame")
    code = "from prudent.environments.make import spec_of; print(spec_of('LunarLander-v3'))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert "observation_size=8, action_size=4, discrete=True" in done.stdout


def test_mujoco_leaves_no_log_and_warns_once(tmp_path, monkeypatch, capfd, caplog):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulators, "_logged", set())
    # Making a HalfCheetah uses a deprecated attribute, which users cannot change.
    with vector.Environments("HalfCheetah-v5", 2) as several:
        for _ in range(2):
            several.reset([0, 1])
            for env in several.envs:
                env.unwrapped.data.qvel[:] = 1e12  # the simulation explodes
            several.step(np.zeros((2, 6)))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
    assert len(caplog.messages) == 1
    assert "unstable" in caplog.messages[0]

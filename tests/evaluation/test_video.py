"""Rollouts as GIFs; a failure is logged and stops nothing."""

import logging

import numpy as np
import pytest
from PIL import Image

from helpers.toys import Constants, Highest
from prudent.environments.make import make, spec_of
from prudent.evaluation import video
from prudent.types import Spec

TOY = "prudent/Toy-v0"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    # why_not sets these variables for its process; they must not outlive the test.
    for name in ("MUJOCO_GL", "SDL_VIDEODRIVER", "PYGAME_HIDE_SUPPORT_PROMPT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_rollout_becomes_a_small_gif(tmp_path):
    path = video.record(Constants([0.0]), TOY, tmp_path / "videos" / "toy.gif", fps=25, size=80)
    assert path == tmp_path / "videos" / "toy.gif"
    assert [p.name for p in path.parent.iterdir()] == ["toy.gif"]
    with Image.open(path) as gif:
        assert gif.size == (80, 40)  # 200 x 100 drawn
        # 20 steps of 1/50 s, every second state shown, from the start to the end.
        assert gif.n_frames == 11
        assert gif.info["duration"] == 40
        gif.seek(10)
        red, green, _ = gif.convert("RGB").getpixel((20, 20))
        assert red > 150 > 60 > green


def test_the_selected_member_is_shown(tmp_path):
    # An action below 0 ends the task early: fewer pictures.
    frames = []
    for member in (0, 1):
        path = video.record(Constants([0.0, -0.5]), TOY, tmp_path / "a.gif", member=member, fps=50)
        with Image.open(path) as gif:
            frames.append(gif.n_frames)
    assert frames[0] == 21
    assert frames[1] in (5, 8)


def test_long_episodes_are_cut(tmp_path):
    path = video.record(Constants([0.0]), "prudent/ToyEndless-v0", tmp_path / "a.gif", max_steps=6, fps=50)
    with Image.open(path) as gif:
        assert gif.n_frames == 7


def test_too_large_a_file_gets_fewer_frames_at_the_same_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_MOST_BYTES", 1)
    noise = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3), dtype=np.uint8)
    path = video._write([Image.fromarray(frame) for frame in noise], 20.0, tmp_path / "a.gif")
    with Image.open(path) as gif:
        assert gif.n_frames == 10
        assert gif.info["duration"] == 200


@pytest.mark.parametrize(
    ("env_id", "says"),
    [
        ("nobody/Nothing-v0", "not known to Gymnasium"),
        ("prudent/ToyRaise-v0", "the simulator fell over"),
        ("prudent/Blind-v0", "draws no pictures"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(env_id, says, tmp_path, caplog):
    import gymnasium

    class Blind(gymnasium.Env):
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
        observation_space = action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        render_mode = "rgb_array"

        def __init__(self, render_mode=None):
            del render_mode

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed, options=options)
            return np.zeros(1, np.float32), {}

        def render(self):
            return None

    if env_id == "prudent/Blind-v0":
        gymnasium.register(env_id, entry_point=Blind)
    with caplog.at_level(logging.WARNING, logger="prudent"):
        assert video.record(Constants([0.0]), env_id, tmp_path / "a.gif") is None
    assert list(tmp_path.iterdir()) == []
    assert len(caplog.messages) == 1
    assert says in caplog.text
    assert env_id in caplog.text


def test_a_diverged_policy_is_not_filmed(tmp_path, caplog):
    assert video.record(Constants([np.nan]), TOY, tmp_path / "a.gif") is None
    assert "action=nan has diverged" in caplog.text


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch, caplog):
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")

    def fail(_aside, _path):
        raise OSError("disk full")

    monkeypatch.setattr(video.files.os, "replace", fail)
    assert video.record(Constants([0.0]), TOY, path) is None
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]
    assert "disk full" in caplog.text


# --- MuJoCo without a screen ------------------------------------------------------------------------------------------


@pytest.fixture
def backends(monkeypatch):
    """A simulated Linux machine: the OpenGL backends that work, and those that were tried."""
    able, tried = set(), []

    def draws(backend):
        tried.append(backend)
        return backend in able

    monkeypatch.setattr(video, "_draws", draws)
    monkeypatch.setattr(video.sys, "platform", "linux")
    return able, tried


def _chosen():
    return video.os.environ.get("MUJOCO_GL")


def test_egl_comes_first(backends):
    able, tried = backends
    able.update({"egl", "osmesa"})
    assert video.why_not("Hopper-v5") is None
    assert (_chosen(), tried) == ("egl", ["egl"])


def test_osmesa_comes_second(backends):
    able, tried = backends
    able.add("osmesa")
    assert video.why_not("Hopper-v5") is None
    assert (_chosen(), tried) == ("osmesa", ["egl", "osmesa"])


@pytest.mark.usefixtures("backends")
def test_without_a_backend_nothing_is_set(tmp_path, caplog):
    assert "neither with EGL nor with OSMesa" in video.why_not("Hopper-v5")
    assert _chosen() is None
    assert video.record(Constants([0.0]), "Hopper-v5", tmp_path / "a.gif") is None
    assert "neither with EGL nor with OSMesa" in caplog.text


def test_the_users_choice_stays(backends, monkeypatch):
    able, tried = backends
    able.add("egl")
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    assert "MUJOCO_GL=glfw" in video.why_not("Hopper-v5")
    assert (_chosen(), tried) == ("glfw", ["glfw"])


def test_other_environments_need_no_opengl(backends):
    assert video.why_not("Pendulum-v1") is None
    assert backends[1] == []


def test_a_probe_that_fails_or_hangs_means_no(monkeypatch):
    assert not video._draws.__wrapped__("no_such_backend")

    def hang(*_, **__):
        raise video.subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(video.subprocess, "run", hang)
    assert not video._draws.__wrapped__("egl")


# --- real environments, if this machine can draw them -----------------------------------------------------------------


class Still(Constants):
    """Takes action 0, in any number of dimensions."""

    def act(self, observation, deterministic, generator, *, mask=None):
        del deterministic, generator, mask
        return np.zeros((*observation.shape[:2], self.spec.action_size))


def test_pendulum_through_pygame(tmp_path):
    pytest.importorskip("pygame")
    population = Still([0.0])
    path = video.record(population, "Pendulum-v1", tmp_path / "a.gif", max_steps=10)
    with Image.open(path) as gif:
        assert gif.n_frames > 1
        assert len(gif.convert("RGB").getcolors(10**6)) > 3


def test_hopper_through_egl_or_osmesa(tmp_path):
    pytest.importorskip("mujoco")
    reason = video.why_not("Hopper-v5")
    if reason:
        pytest.skip(reason)
    population = Still([0.0])
    population.spec = Spec(11, 3)
    path = video.record(population, "Hopper-v5", tmp_path / "a.gif", max_steps=10)
    with Image.open(path) as gif:
        assert gif.size == (240, 240)
        assert gif.n_frames == 3
        assert len(gif.convert("RGB").getcolors(10**6)) > 20


def test_cheetah_through_pybullet(tmp_path):
    pytest.importorskip("pybullet_envs_gymnasium")
    population = Still([0.0])
    population.spec = spec_of("HalfCheetahBulletEnv-v0")
    path = video.record(population, "HalfCheetahBulletEnv-v0", tmp_path / "a.gif", max_steps=10)
    with Image.open(path) as gif:
        assert gif.size == (240, 180)
        assert gif.n_frames == 6  # 60 steps per second, every second one shown
        assert len(gif.convert("RGB").getcolors(10**6)) > 20


def test_lander_through_pygame(tmp_path):
    pytest.importorskip("Box2D")
    pytest.importorskip("pygame")

    class Falling(Still):
        def act(self, observation, deterministic, generator, *, mask=None):
            del deterministic, generator, mask
            return np.zeros(observation.shape[:2], np.int64)

    population = Falling([0.0])
    population.spec = spec_of("LunarLander-v3")
    path = video.record(population, "LunarLander-v3", tmp_path / "a.gif", max_steps=10)
    with Image.open(path) as gif:
        assert gif.n_frames > 1
        assert len(gif.convert("RGB").getcolors(10**6)) > 3


def test_a_policy_receives_the_masks(tmp_path):
    population = Highest(size=2)
    assert video.record(population, "prudent/Gates-v0", tmp_path / "a.gif", member=1) is not None
    assert len(population.asked) == 6
    assert population.asked[0][1].shape == (2, 1, 3)


def test_the_camera_follows_a_runner():
    """A fixed camera loses a cheetah after a second and then shows an empty floor."""
    env = make("HalfCheetah-v5", render_mode="rgb_array")
    try:
        video._follow(env)
        inner = env.unwrapped
        assert inner.model.camera(inner.mujoco_renderer.camera_id).name == "track"
    finally:
        env.close()

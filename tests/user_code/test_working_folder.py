"""Environments of a module in the working folder: found if the user names it, and never otherwise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.runs import flags, prudent, write_log
from prudent import BC, load_dataset
from prudent.environments.make import make, spec_of
from prudent.errors import ConfigError, PrudentError
from prudent.user_code.working_folder import importable

pytest_plugins = ["helpers.run_fixtures"]

MODULE = """
import gymnasium, numpy as np
{imports}
class Shop(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
    def __init__(self, price=1.0):
        self.price = price
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=3).astype(np.float32), {{}}
    def step(self, action):
        return self.np_random.normal(size=3).astype(np.float32), float(action[0]) * self.price, False, False, {{}}
gymnasium.register("{name}-v0", entry_point={entry}, max_episode_steps=5)
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Writes a module with an environment into the working folder; returns its id. Each has a name of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = []

    def write(name, entry="Shop", imports="", folder=tmp_path):
        (folder / f"{name}.py").write_text(MODULE.format(name=name.title(), entry=entry, imports=imports))
        made.append(name)
        return f"{name}:{name.title()}-v0"

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_it_is_found_and_the_folder_is_the_last_place_afterwards(shop, tmp_path):
    assert spec_of(shop("shop_one")).observation_size == 3
    assert sys.path.index(str(tmp_path)) == len(sys.path) - 1
    assert sys.path.count(str(tmp_path)) == 1
    spec_of("shop_one:Shop_One-v0")
    assert sys.path.count(str(tmp_path)) == 1


def test_a_module_beside_wins_over_an_installed_one_of_its_name(shop):
    """As in a script; `test` is a package of Python's own."""
    sys.modules.pop("test", None)
    assert spec_of(shop("test")).observation_size == 3


def test_entry_points_as_text_and_helpers_beside(shop, tmp_path):
    (tmp_path / "shop_helper.py").write_text("PRICE = 2.0\n")
    env = make(shop("shop_text", entry='"shop_text:Shop"', imports="import shop_helper"))
    assert env.reset(seed=0)[0].shape == (3,)
    sys.modules.pop("shop_helper")


def test_packages_and_their_modules(shop, tmp_path):
    (tmp_path / "shop_package").mkdir()
    shop("inner", folder=tmp_path / "shop_package")
    assert spec_of("shop_package.inner:Inner-v0").observation_size == 3


def test_ids_without_a_module_open_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pendulum-v1.py").write_text("")
    before = list(sys.path)
    for env_id in ("Pendulum-v1", "nowhere_module:X-v0", ":X-v0", "../x:X-v0"):
        with importable(env_id):
            assert sys.path == before
    assert sys.path == before


def test_a_module_that_fails_is_one_line(shop):
    for number, (imports, says) in enumerate(
        [
            ("import nowhere_at_all", "nowhere_at_all"),
            ("raise SystemExit(3)", "SystemExit"),
            ("class Stop(BaseException): ...\nraise Stop('enough')", "Stop: enough"),
            ("1 +", "SyntaxError"),
        ]
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            make(shop(f"shop_bad{number}", imports=imports))
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"not known to Gymnasium"):
        make(shop("shop_other").replace("Shop_Other", "Nothing"))


def test_pictures_are_asked_for_only_when_they_are_wanted(shop):
    name = shop("shop_blind")
    make(name).close()
    with pytest.raises(ConfigError, match="'shop_blind:Shop_Blind-v0' draws no pictures: its constructor takes no ren"):
        make(name, render_mode="rgb_array")


def test_a_registered_render_mode_opens_no_window():
    import gymnasium

    from helpers.toys import Toy

    gymnasium.register("prudent/ToyWindow-v0", entry_point=Toy, kwargs={"render_mode": "human"})
    assert make("prudent/ToyWindow-v0").unwrapped.render_mode is None
    assert make("prudent/ToyWindow-v0", "rgb_array").unwrapped.render_mode == "rgb_array"


# --- every verb, as its own process -----------------------------------------------------------------------------------


def run(*words, cwd):
    """``python -m prudent`` in a folder."""
    command = [sys.executable, "-m", "prudent", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def test_python_m_prudent_is_the_command_line(tmp_path):
    (tmp_path / "json.py").write_text("open('imported', 'w')\n")  # a name that the command line imports
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "prudent", "")
    done = run("evaluate", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "prudent: nowhere: no such folder\n")
    assert run("data", "describe", "nowhere.npz", "--json", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "imported").exists()


def test_verbs_with_env_find_it(shop, tmp_path, quick_report):  # noqa: ARG001
    env = shop("shop_verbs")
    done = run("data", "collect", "--env", env, "--steps", 12, "--out", "log.hdf5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    short = ["--steps", 2, "--eval-every", 2, "--eval-episodes", 1, "--threads", 1]
    assert prudent("train", "log.hdf5", *flags("cql"), *short, "--env", env, "--out", "run") == 0
    assert prudent("evaluate", "run", "--env", env, "--episodes", 1) == 0
    assert prudent("train", "--resume", "run", "--steps", 3, "--env", env) == 0
    assert prudent("data", "collect", "--env", env, "--policy", "run", "--steps", 3, "--out", "more.hdf5") == 0
    tuned = ["--steps", 3, "--start-after", 1, "--eval-every", 2, "--eval-episodes", 1]
    assert prudent("finetune", "run", "--env", env, *tuned, "--out", "online") == 0


def test_python_calls_find_it(shop, tmp_path, quick_report):  # noqa: ARG001
    data = load_dataset(write_log(tmp_path / "log.npz"))
    env = shop("shop_calls")
    agent = BC(hidden=(8, 8), batch_size=16, device="cpu")
    agent.fit(data, steps=2, out=tmp_path / "run", env=env, eval_episodes=1)
    assert np_is_finite(agent.evaluate(env, episodes=1)["overall"]["return_mean"])


def np_is_finite(value) -> bool:
    return value == value and abs(value) < float("inf")


# --- names out of files -----------------------------------------------------------------------------------------------


def test_a_run_of_a_stranger_imports_nothing(shop, tmp_path, quick_report, capsys):  # noqa: ARG001
    """The module lies in the working folder and in the run; only ``--env`` lets it be imported."""
    data = load_dataset(write_log(tmp_path / "log.npz"))
    run_folder = tmp_path / "run"
    BC(hidden=(8, 8), batch_size=16, device="cpu").fit(
        data, steps=2, out=run_folder, env="Pendulum-v1", eval_episodes=1
    )
    config = json.loads((run_folder / "config.json").read_text())
    config["env"] = config["train"]["env"] = "canary:Canary-v0"
    config["train"]["sources"] = {"source": [str(tmp_path / "log.npz")]}
    (run_folder / "config.json").write_text(json.dumps(config))
    for folder in (tmp_path, run_folder):
        (folder / "canary.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'sang')!r}).touch()\n")
    for words in (
        ["evaluate", run_folder],
        ["train", "--resume", run_folder, "--steps", 4],
        ["finetune", run_folder],
        ["report", run_folder],
        ["support", run_folder],
        ["data", "collect", "--env", "Pendulum-v1", "--policy", run_folder, "--steps", 3, "--out", "own.hdf5"],
    ):
        prudent(*words)
        assert not (tmp_path / "sang").exists(), words
    assert "would import a module: give it with --env" in capsys.readouterr().err
    assert prudent("evaluate", run_folder, "--env", "canary:Canary-v0") == 2  # it registers nothing
    assert (tmp_path / "sang").exists()


def test_a_suite_of_a_stranger_imports_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("canary_suite.py").write_text(f"open({str(tmp_path / 'sang')!r}, 'w')\n")
    Path("suite.toml").write_text('[[dataset]]\nname = "pendulum-mixed"\nenv = "canary_suite:Canary-v0"\n')
    assert prudent("bench", "suite.toml", "--dry-run") == 2
    assert "would import a module; a suite takes ids that Gymnasium knows itself" in capsys.readouterr().err
    assert not (tmp_path / "sang").exists()


@pytest.mark.parametrize("env", [5, ["Pendulum-v1"], {}])
def test_an_env_in_a_file_that_is_no_text_is_one_line(env):
    from prudent.runs.folder import safe_env_id

    with pytest.raises(PrudentError, match="the environment is"):
        safe_env_id(env)

"""Collecting: what is asked for is what is recorded, and the same plan records the same."""

import json
import sys

import h5py
import numpy as np
import pytest

from helpers.learners import FAST, QUICK
from helpers.runs import flags, prudent, tree, write_log
from helpers.toys import TOY_SPEC
from prudent import algorithms
from prudent.data import load_dataset
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.online.collect import Plan, collect
from prudent.online.explorers import Uniform
from prudent.online.recording import roll_out
from prudent.online.sac_learner import Evaluated
from prudent.runs import checkpoint
from prudent.runs.folder import write_json
from prudent.runs.status import write_status

pytest_plugins = ["helpers.run_fixtures"]

TOY, GATES, PENDULUM = "prudent/Toy-v0", "prudent/Gates-v0", "Pendulum-v1"
LEARN = [f"--{name.replace('_', '-')}={value}" for name, value in {**QUICK, **FAST}.items() if name != "hidden"]
SAC = ["--policy", "sac", "--hidden", "16", "--reference", "6", "36", "--sac-steps", "1500", *LEARN]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two members on Pendulum's spaces, trained a few steps and never evaluated."""
    folder = tmp_path_factory.mktemp("run")
    log = write_log(folder / "log.npz")
    words = ["train", log, *flags("sac"), "--seeds", 0, 1, "--steps", 4, "--out", folder / "run"]
    assert prudent(*words) == 0
    return folder / "run"


def about(path):
    """The metadata of an HDF5 file."""
    with h5py.File(path) as file:
        found = {key: value[()] for key, value in file["metadata"].items()}
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}


# --- random -----------------------------------------------------------------------------------------------------------


def test_a_random_policy_recorded(tmp_path, capsys):
    path = tmp_path / "random.hdf5"
    assert prudent("data", "collect", "--env", TOY, "--steps", 200, "--out", path, "--seed", 5) == 0
    found = load_dataset(path)
    assert f"wrote {path}: 200 transitions, fingerprint {found.fingerprint}" in capsys.readouterr().out
    assert len(found) == 200
    assert (found.spec.action_low, found.spec.action_high) == ((-1.0,), (1.0,))
    np.testing.assert_array_equal(found.next_observation[:, 1], found.observation[:, 1] + 1)
    assert found.terminated.sum() > 10
    assert found.truncated[-1] != found.terminated[-1]
    assert found.action.std() == pytest.approx(1 / np.sqrt(3), rel=0.1)
    made = about(path)
    assert (made["env"], made["policy"], made["seed"]) == (TOY, "random", 5)
    assert json.loads(made["versions"]).keys() >= {"prudent", "torch", "gymnasium"}


def test_the_same_command_gives_the_same_data(tmp_path):
    prints = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert (
            prudent("data", "collect", "--env", GATES, "--steps", 90, "--seed", seed, "--out", tmp_path / f"{name}.h5")
            == 0
        )
        prints.append(load_dataset(tmp_path / f"{name}.h5").fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_discrete_actions_come_with_their_masks(tmp_path):
    assert prudent("data", "collect", "--env", GATES, "--steps", 80, "--out", tmp_path / "gates.h5") == 0
    found = load_dataset(tmp_path / "gates.h5")
    assert found.spec.discrete
    assert found.spec.action_size == 3
    np.testing.assert_array_equal(found.extra["mask"], np.arange(3) != found.observation[:, :1])
    assert found.extra["next_mask"][found.terminated].all()


def test_a_minari_dataset(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    words = ["data", "collect", "--env", TOY, "--steps", 60, "--out"]
    assert prudent(*words, "minari:mine/toy/random-v0") == 0
    assert prudent(*words, tmp_path / "toy.hdf5") == 0
    found, same = load_dataset("minari:mine/toy/random-v0"), load_dataset(tmp_path / "toy.hdf5")
    assert found.fingerprint == same.fingerprint
    assert prudent(*words, "minari:mine/toy/random-v0") == 2


# --- a run ------------------------------------------------------------------------------------------------------------


def test_a_member_of_a_run(run):
    population, _ = checkpoint.load(run)
    for member, index in (("seed=1", 1), ("0", 0)):
        plan = Plan(PENDULUM, (str(run),), steps=30, member=member, deterministic=True)
        found, made = collect(plan, "mode")
        expected = population.member(index).act(found.observation[None], deterministic=True)[0]
        np.testing.assert_allclose(found.action, expected, atol=1e-5)
        assert made["parts"][0]["member"] == population.names[index]
        assert made["parts"][0]["trained_steps"] == 4
    sampled, _ = collect(Plan(PENDULUM, (str(run),), steps=30, member="0"), "sampled")
    noisy, _ = collect(Plan(PENDULUM, (str(run),), steps=30, member="0", deterministic=True, noise=0.2), "noisy")
    for other in (sampled, noisy):
        mode = population.member(0).act(other.observation[None], deterministic=True)[0]
        assert np.abs(other.action - mode).mean() > 0.1


def test_the_best_member_is_the_one_recorded(run, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "checkpoints").symlink_to(run / "checkpoints")
    figures = {"seed=0": {"return_mean": -900.0}, "seed=1": {"return_mean": -300.0}}
    write_json(copy / "evaluation.json", {"members": figures})
    _, made = collect(Plan(PENDULUM, (str(copy),), steps=5), "best")
    assert made["parts"][0]["member"] == "seed=1"


def test_a_greedy_policy_explores_where_it_is_told_to():
    """What no member of a run samples by itself, noise does; and never a closed gate, which would fail."""
    if "discrete_cql" not in algorithms.names():
        pytest.skip("no algorithm for discrete actions yet")
    import torch

    from prudent.engine.scaling import Scaling
    from prudent.online.explorers import Explorer
    from prudent.types import Spec

    spec = Spec(2, 3, discrete=True)
    config = algorithms.get("discrete_cql").Config(hidden=(4,), batch_size=8)
    scaling = Scaling(torch.zeros(2), torch.ones(2), torch.zeros(0), torch.zeros(0))
    members = Population("discrete_cql", [Member("seed=0", 0, config)], spec, scaling)
    greedy = roll_out(GATES, Explorer(members, [0]), 0, 100, "greedy").dataset
    noisy = roll_out(GATES, Explorer(members, [0], spread=0.9), 0, 100, "noisy").dataset

    def kinds(log):
        return {(int(o[0]), int(a)) for o, a in zip(log.observation, log.action, strict=True)}

    assert len(kinds(noisy)) > len(kinds(greedy))
    assert len(kinds(noisy)) == 4


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_a_run_that_did_not_finish(run, tmp_path, capsys, state):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "checkpoints").symlink_to(run / "checkpoints")
    write_status(copy, state, 3, 4)
    words = ["--env", PENDULUM, "--policy", copy, "--member", 0, "--steps", 5, "--out", tmp_path / "log.hdf5"]
    assert prudent("data", "collect", *words) == (2 if state == "running" else 0)
    said = capsys.readouterr()
    if state == "running":
        assert "is still training or was killed: resume it first" in said.err
        assert not (tmp_path / "log.hdf5").exists()
    else:
        assert f"{copy} did not finish: interrupted at step 3 of 4" in said.out


# --- sac --------------------------------------------------------------------------------------------------------------


def test_sac_trained_to_a_level(tmp_path):
    paths = [tmp_path / "a.hdf5", tmp_path / "b.hdf5"]
    for path in paths:
        words = ["data", "collect", "--env", TOY, *SAC, "--level", "0.8", "--steps", 100, "--out", path]
        assert prudent(*words) == 0
    one, two = (load_dataset(path) for path in paths)
    assert one.fingerprint == two.fingerprint
    (part,) = json.loads(about(paths[0])["parts"])
    assert part["return_asked"] == pytest.approx(30)
    assert part["return_reached"] >= 30
    assert part["mean_return"] > 25
    assert part["trained_steps"] % 100 == 0
    assert part["learning"]["hidden"] == [16]


def test_medium_expert_is_half_of_each():
    plan = Plan(TOY, ("sac",), steps=101, level="medium-expert", reference=(6.0, 34.0), learning=_learning(), seed=2)
    found, made = collect(plan, "both")
    first, second = made["parts"]
    assert (first["steps"], second["steps"]) == (50, 51)
    assert first["return_asked"] == pytest.approx(6 + 28 / 3)
    assert second["return_asked"] == 34.0
    assert second["trained_steps"] >= first["trained_steps"]
    assert found.truncated[49] != found.terminated[49]


def test_levels_act_with_noise_of_their_own(monkeypatch):
    """Levels reached at once, so that the policy is the same: what differs is the noise."""
    from prudent.online import collect as collecting

    recorded = roll_out(TOY, Uniform(TOY_SPEC, [0]), 0, 5, "any")
    noise, learner = [], []

    def draw(env_id, actor, seed, steps, name, envs):
        del env_id, seed, name, envs
        noise.append(actor.rng.normal(steps).flatten().tolist())
        return recorded

    def reach(self, target, or_best):
        del or_best
        if not learner:
            learner.extend(self.explorer.rng.normal(5).flatten().tolist())
        self.policies[0] = self.population
        return Evaluated(0, 0, target)

    monkeypatch.setattr(collecting, "roll_out", draw)
    monkeypatch.setattr(collecting.SacLearner, "reach", reach)
    collect(Plan(TOY, ("sac",), steps=10, level="medium-expert", reference=(6.0, 34.0), learning=_learning()), "both")
    assert len(noise) == 2
    assert noise[0] != noise[1], "both halves act with the same noise"
    assert learner not in noise, "a half acts with the noise of the learner"


def test_medium_replay_is_all_that_was_seen():
    plan = Plan(TOY, ("sac",), level="medium-replay", reference=(6.0, 36.0), learning=_learning(), seed=2)
    found, made = collect(plan, "replay")
    assert len(found) == made["parts"][0]["trained_steps"]
    early, late = found.episode_returns[:5].mean(), found.episode_returns[-4:-1].mean()
    assert early < late


def _learning():
    from prudent.online.sac_learner import SacSettings

    return SacSettings(sac_steps=1500, **QUICK, **FAST)


def test_a_mixture_has_its_shares(run):
    found, made = collect(Plan(PENDULUM, ("random", str(run)), (0.25, 0.75), steps=40, member="0"), "mixture")
    assert [part["steps"] for part in made["parts"]] == [10, 30]
    assert made["policy"] == f"random+{run}"
    assert found.truncated[[9, 39]].all()
    assert not np.array_equal(found.observation[0], found.observation[10])


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "--env"),
        (f"--env {TOY} --policy nobody", "no policy is called 'nobody': random, sac, or a run folder"),
        (f"--env {TOY} --policy .", "no checkpoint here"),
        (f"--env {TOY} --policy {{run}}", "does not fit the policy of "),
        (f"--env {PENDULUM} --policy {{run}}", "was never evaluated: choose with --member (seed=0, seed=1)"),
        (f"--env {PENDULUM} --policy {{run}} --member seed=7", "no member 'seed=7'"),
        ("--env Nowhere-v0", "not known to Gymnasium"),
        (f"--env {TOY} --policy sac", "no reference returns are known for prudent/Toy-v0: give --reference"),
        (f"--env {TOY} --policy sac --reference 3 1", "must be above the random one"),
        (f"--env {TOY} --policy sac --level great --reference 1 2", "level must be medium, expert"),
        (f"--env {TOY} --policy sac --level -1 --reference 1 2", "level must be medium, expert"),
        (f"--env {GATES} --policy sac", "sac is for continuous actions, prudent/Gates-v0 has discrete ones"),
        (
            f"--env {TOY} --policy sac --reference 0 9000 --sac-steps 60 --hidden 4 --learning-starts 50",
            "in 60 steps, the level asked for needs 3000",
        ),
        (f"--env {TOY} --policy sac --reference 0 9 --level medium-replay --steps 5", "medium-replay is all that sac"),
        (f"--env {TOY} --level expert", "--level is for the policy sac"),
        (f"--env {TOY} --level medium", "--level is for the policy sac"),
        (f"--env {TOY} --reference 0 9", "--reference is for the policy sac"),
        (f"--env {TOY} --policy sac --reference 0 9 --level medium-replay --deterministic", "no --deterministic"),
        (f"--env {TOY} --sac-steps 5", "--sac-steps is for the policy sac"),
        (f"--env {TOY} --policy random random --shares 0.5 0.6", "add up to 1"),
        (f"--env {TOY} --policy random random --shares 1", "one positive number per policy"),
        (f"--env {TOY} --shares -1", "one positive number per policy"),
        (f"--env {TOY} --steps 0", "steps must be one or more for each policy"),
        (f"--env {TOY} --noise 2", "noise must lie within"),
        (f"--env {TOY} --noise 0.1", "a random policy has neither"),
        (f"--env {TOY} --deterministic", "a random policy has neither"),
        (f"--env {TOY} --member 0", "no run is among the policies"),
        (
            f"--env {TOY} --policy sac --reference 0 9 --level medium-replay --noise 0.1",
            "no --noise, no --deterministic",
        ),
        (f"--env {TOY} --seed -1", "seed must be 0 or more"),
        (f"--env {TOY} --threads 0", "--threads must lie between 1 and 4096, got 0"),
        (f"--env {TOY} --stepz 5", "did you mean --steps?"),
        (f"--env {TOY} --out there.hdf5", "there.hdf5 exists"),
        (f"--env {TOY} --out data.csv", "is written to a .hdf5"),
        (f"--env {TOY} --out minari:nothing", "not a Minari id"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(run, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.hdf5").write_text("mine")
    before = tree(tmp_path)
    given = words.format(run=run).split()
    assert prudent("data", "collect", *([] if "--out" in given else ["--out", "new.hdf5"]), *given) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
    assert tree(tmp_path) == before


def test_without_minari_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "minari", None)
    assert prudent("data", "collect", "--env", TOY, "--out", "minari:mine/toy-v0") == 2
    assert 'pip install "prudent[minari]"' in capsys.readouterr().err


def test_an_interruption_leaves_no_half_file(tmp_path, monkeypatch):
    from prudent.online import collect as collecting

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(collecting.TransitionLog, "recording", stop)
    assert prudent("data", "collect", "--env", TOY, "--steps", 5, "--out", tmp_path / "toy.hdf5") == 130
    assert tree(tmp_path) == {}

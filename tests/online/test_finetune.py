"""Going on online: both halves of a batch, the run folder that is left, and what is refused."""

import json
import shutil
import signal
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from helpers import tunings
from helpers.patches import leave_pictures_blank
from helpers.runs import discrete_columns, flags, metrics_of, prudent, tree, write_log
from helpers.toys import TOY_SPEC
from prudent import algorithms, load_dataset
from prudent.data.readers import provenance
from prudent.engine.members import Member
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.errors import ConfigError
from prudent.nn.rng import MemberRng
from prudent.online import finetune, replay_buffer
from prudent.online.finetune import Mixture, Settings
from prudent.online.interaction import Transition
from prudent.online.replay_buffer import ReplayBuffer
from prudent.runs import checkpoint
from prudent.runs.metrics import read_metrics
from prudent.runs.status import write_status
from prudent.training.recorder import Recorder
from prudent.types import Batch, Step

pytest_plugins = ["helpers.run_fixtures"]

ENV = "Pendulum-v1"
QUICK = ["--steps", 30, "--start-after", 5, "--eval-every", 10, "--eval-episodes", 1, "--log-every", 10]


def trained(folder, algorithm="sac", seeds=(0, 1)):
    """A run of a few steps, with its environment."""
    log = folder / "log.npz"
    if not log.exists():
        write_log(log)
    settings = flags(algorithm)
    words = ["train", log, *settings, "--seeds", *seeds, "--steps", 4, "--eval-episodes", 1, "--env", ENV]
    assert prudent(*words, "--out", folder / algorithm) == 0
    return folder / algorithm


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        leave_pictures_blank(patch)
        return trained(tmp_path_factory.mktemp("run"))


def test_a_tuned_policy_goes_on_with_the_part_that_it_learned_from(tmp_path, capsys, monkeypatch):
    leave_pictures_blank(monkeypatch)
    log = load_dataset(write_log(tmp_path / "log.npz", **discrete_columns(40 * 18)))
    tunings.make(tmp_path / "x", log, steps=4)
    capsys.readouterr()
    words = ("finetune", tmp_path / "x", *QUICK)
    assert prudent(*words, "--out", tmp_path / "no") == 2
    assert "was tuned without an environment: name one with --env" in capsys.readouterr().err
    before = tree(tmp_path / "x")
    assert prudent(*words, "--env", "CartPole-v1", "--out", tmp_path / "online") == 0
    stored = json.loads((tmp_path / "online" / "config.json").read_text())
    assert [member["name"] for member in stored["members"]] == ["alpha=0.1,seed=0"]
    assert stored["dataset"]["name"] == "log.npz (train part)"
    step = checkpoint.load(tmp_path / "x")[0].state.step
    assert stored["finetuned_from"] == {"run": str(tmp_path / "x"), "step": step}
    made = ("data", "collect", "--env", "CartPole-v1", "--steps", 20, "--policy", tmp_path / "x")
    assert prudent(*made, "--out", tmp_path / "more.hdf5") == 0
    assert provenance.read(tmp_path / "more.hdf5")["policy"] == str(tmp_path / "x")
    assert tree(tmp_path / "x") == before


# --- batches ----------------------------------------------------------------------------------------------------------


class Ones:
    """A dataset whose every figure is 1, without masks."""

    def __init__(self, members, mask=None, with_returns=False):
        self.members, self.mask, self.with_returns = members, mask, with_returns

    def sample(self, rng, batch_size):
        del rng
        shape = (self.members, batch_size)
        whole = torch.ones(shape)
        vector, action = torch.ones(*shape, 2), torch.ones(*shape, 1)
        flags = torch.ones(shape, dtype=torch.bool)
        to_go = whole if self.with_returns else None
        return Batch(vector, action, whole, vector, flags, mask=self.mask, next_mask=self.mask, return_to_go=to_go)


def members_of(seeds, batch_size=8, **settings):
    config = algorithms.get("sac").Config(hidden=(4,), batch_size=batch_size, **settings)
    scaling = Scaling(torch.zeros(2), torch.ones(2), torch.zeros(1), torch.ones(1))
    return Population("sac", [Member(f"seed={s}", s, config) for s in seeds], TOY_SPEC, scaling)


def add_zeros(buffer, ended):
    size = buffer.population.size
    state, ends = np.zeros((size, 2), np.float32), np.array(ended)
    buffer.add(
        Transition(state, np.zeros((size, 1), np.float32), np.zeros(size, np.float32), state, ends, ~ends & False)
    )


@pytest.mark.parametrize(("share", "old"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_a_batch_has_its_share_of_the_dataset(share, old):
    members = members_of([0, 1])
    buffer = ReplayBuffer(members, 10)
    add_zeros(buffer, [False, False])
    batch = Mixture(Ones(2), buffer, share).sample(MemberRng([0, 1], "test"), 8)
    expected = torch.tensor([1.0] * old + [0.0] * (8 - old)).expand(2, 8)
    for f in fields(Batch):
        found = getattr(batch, f.name)
        if isinstance(found, torch.Tensor):
            first = found.float().reshape(2, 8, -1)[..., 0]
            assert torch.equal(first, expected), f.name


def test_windows_of_several_steps_come_from_both():
    members = members_of([0, 1], n_steps=2, trace=0.5)
    buffer = ReplayBuffer(members, 10)
    for ended in ([False, True], [True, True]):
        add_zeros(buffer, ended)

    class OnesWithWindows(Ones):
        def sample(self, rng, batch_size):
            batch = super().sample(rng, batch_size)
            step = Step(batch.reward, batch.terminated, batch.terminated, next=batch.next)
            return replace(batch, window=(step, step))

    batch = Mixture(OnesWithWindows(2), buffer, 0.5).sample(MemberRng([0, 1], "test"), 8)
    assert len(batch.window) == 2
    expected = torch.tensor([1.0] * 4 + [0.0] * 4).expand(2, 8)
    for step in batch.window:
        assert torch.equal(step.reward, expected)
        assert torch.equal(step.next.observation[..., 0], expected)
    assert batch.window[0].goes_on[:, :4].all()
    assert not batch.window[0].goes_on[1, 4:].any(), "a window runs over the end of an episode"


def test_a_member_without_a_finished_episode_goes_on_with_the_dataset(monkeypatch):
    monkeypatch.setattr(algorithms.get("sac"), "NEEDS", ("return_to_go",))
    buffer = ReplayBuffer(members_of([0, 1]), 10)
    add_zeros(buffer, [True, False])
    batch = Mixture(Ones(2, with_returns=True), buffer, 0.5).sample(MemberRng([0, 1], "test"), 8)
    assert batch.reward.tolist() == [[1.0] * 4 + [0.0] * 4, [1.0] * 8]
    assert batch.return_to_go.tolist() == batch.reward.tolist()


def test_masks_on_one_side_allow_everything_on_the_other():
    buffer = ReplayBuffer(members_of([0]), 10)
    add_zeros(buffer, [False])
    closed = torch.zeros(1, 8, 3, dtype=torch.bool)
    batch = Mixture(Ones(1, mask=closed), buffer, 0.5).sample(MemberRng([0], "test"), 8)
    assert not batch.mask[:, :4].any()
    assert batch.mask[:, 4:].all()
    buffer.mask = buffer.next_mask = torch.zeros(1, 10, 3, dtype=torch.bool)
    batch = Mixture(Ones(1), buffer, 0.5).sample(MemberRng([0], "test"), 8)
    assert batch.next_mask[:, :4].all()
    assert not batch.next_mask[:, 4:].any()


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_complete_run_folder(run, tmp_path, monkeypatch, capsys):
    before, out = tree(run), tmp_path / "on"
    assert prudent("finetune", run, *QUICK, "--out", out) == 0
    told = capsys.readouterr().out
    assert f"finished: {out / 'report.html'}" in told
    assert told.count("memory: data ") == 1, "what lies where is told as in training"
    assert json.loads((out / "support.json").read_text())["step"] == 4 + 25
    assert tree(run) == before, "the run it came from has changed"
    assert (out / "report.html").is_file()
    stored = json.loads((out / "config.json").read_text())
    assert stored["finetuned_from"] == {"run": str(run.resolve()), "step": 4}
    assert stored["online"]["mix"] == 0.5
    assert stored["env"] == ENV
    assert json.loads((out / "status.json").read_text())["state"] == "finished"
    rows = read_metrics(out / "metrics.jsonl")
    evaluated = [row["step"] for row in rows if "eval/return" in row and row["member"] == 0]
    assert evaluated == [4, 10, 20, 29], "the first evaluation is of the policies as they came"
    assert checkpoint.load(out)[0].state.step == 4 + 25
    assert prudent("evaluate", out, "--episodes", 1) == 0
    leave_pictures_blank(monkeypatch)
    assert prudent("finetune", out, *QUICK, "--out", tmp_path / "further") == 0


@pytest.mark.usefixtures("quick_report")
def test_the_start_is_the_policy_of_the_run(run, tmp_path):
    out = tmp_path / "on"
    finetune.finetune(run, Settings(steps=5, start_after=4, eval_episodes=2), out)
    first = [row["eval/return"] for row in read_metrics(out / "metrics.jsonl") if row["step"] == 4]
    from prudent.evaluation.rollouts import evaluate

    population, _ = checkpoint.load(run)
    expected = evaluate(population, ENV, episodes=2).returns.mean(axis=1)
    np.testing.assert_allclose(first, expected, rtol=1e-6)


@pytest.mark.usefixtures("quick_report")
def test_the_same_again_is_the_same_and_updates_per_step_count(run, tmp_path):
    steps = []
    for name, more in (("a", []), ("b", []), ("c", ["--updates-per-step", 2]), ("d", ["--mix", 0.0])):
        assert prudent("finetune", run, *QUICK, "--out", tmp_path / name, *more) == 0
        steps.append(checkpoint.load(tmp_path / name)[0].state.step)
    assert metrics_of(tmp_path / "a") == metrics_of(tmp_path / "b")
    assert metrics_of(tmp_path / "a") != metrics_of(tmp_path / "d")
    assert steps == [29, 29, 4 + 50, 29]


@pytest.mark.usefixtures("quick_report")
def test_a_member_alone_goes_on_as_it_does_in_company(tmp_path):
    both, solo = trained(tmp_path, seeds=(3, 5)), tmp_path / "solo"
    words = [
        "train",
        tmp_path / "log.npz",
        *flags("sac"),
        "--seeds",
        5,
        "--steps",
        4,
        "--env",
        ENV,
        "--eval-episodes",
        1,
    ]
    assert prudent(*words, "--out", solo) == 0
    settings = Settings(steps=25, start_after=5, eval_episodes=1)
    company = finetune.finetune(both, settings, tmp_path / "both-on").member(1)
    alone = finetune.finetune(solo, settings, tmp_path / "solo-on")
    for name, tensor in alone.tensors().items():
        torch.testing.assert_close(company.tensors()[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


LEARNING = [name for name in algorithms.names() if algorithms.get(name).q_value is not None]


@pytest.mark.parametrize("algorithm", [name for name in LEARNING if not algorithms.is_discrete(name)])
@pytest.mark.usefixtures("quick_report")
def test_every_algorithm_goes_on(algorithm, tmp_path):
    run = trained(tmp_path, algorithm)
    population = finetune.finetune(run, Settings(steps=250, start_after=205, eval_episodes=1), tmp_path / "on")
    assert population.state.step == 4 + 45
    for name, tensor in population.tensors().items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), name


@pytest.mark.parametrize("algorithm", [name for name in LEARNING if algorithms.is_discrete(name)])
@pytest.mark.usefixtures("quick_report")
def test_every_discrete_algorithm_goes_on_behind_masks(algorithm, tmp_path):
    """In an environment where a forbidden action fails."""
    log, gates = tmp_path / "gates.hdf5", "prudent/Gates-v0"
    assert prudent("data", "collect", "--env", gates, "--steps", 100, "--out", log) == 0
    words = ["train", log, "--algo", algorithm, "--hidden", 8, "--batch-size", 16, "--seeds", 0, 1, "--steps", 4]
    assert prudent(*words, "--env", gates, "--eval-episodes", 1, "--out", tmp_path / "run") == 0
    assert prudent("finetune", tmp_path / "run", *QUICK, "--out", tmp_path / "on") == 0


# --- ends -------------------------------------------------------------------------------------------------------------


def test_interrupted_it_saves_its_policy_and_is_not_resumed(run, tmp_path, monkeypatch, capsys):
    stepped = Recorder.stepped

    def stop(self, step, metrics):
        self.requests.append(2)
        stepped(self, step, metrics)

    monkeypatch.setattr(Recorder, "stepped", stop)
    out = tmp_path / "on"
    assert prudent("finetune", run, *QUICK, "--out", out) == 130
    assert "its policy is saved; start anew with: prudent finetune" in capsys.readouterr().err
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    assert checkpoint.load(out)[0].state.step == 5
    before = tree(out)
    assert prudent("train", "--resume", out) == 2
    assert "was fine-tuned online and cannot be resumed; anew: prudent finetune" in capsys.readouterr().err
    assert tree(out) == before


def test_a_signal_counts_before_the_first_gradient_step_too(run, tmp_path, monkeypatch):
    taken = []
    add = replay_buffer.ReplayBuffer.add

    def stop(self, stepped):
        taken.append(1)
        add(self, stepped)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(replay_buffer.ReplayBuffer, "add", stop)
    out = tmp_path / "on"
    assert prudent("finetune", run, *QUICK, "--out", out) == 130
    assert len(taken) == 1, "the run went on after the signal"
    assert json.loads((out / "status.json").read_text())["state"] == "interrupted"
    assert checkpoint.load(out)[0].state.step == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "run"),
        ("nowhere", "nowhere: no such folder"),
        (".", "not a run folder"),
        ("{run} --out .", "not empty: choose another folder"),
        ("{run} --env Nowhere-v0", "not known to Gymnasium"),
        ("{run} --env prudent/Toy-v0", "does not fit"),
        ("{run} --data other.npz", "fingerprint differs"),
        ("{run} --action-count 3", "--action-count says how to read data that are named here"),
        ("{run} --steps 0", "must be 2 or more"),
        ("{run} --steps 1", "must be 2 or more"),
        ("{run} --steps 10 --start-after 10", "start_after must lie between 1 and 9"),
        ("{run} --mix 1.5", "mix must lie within"),
        ("{run} --noise -1", "noise must lie within"),
        ("{run} --updates-per-step 0", "must be 1 or more"),
        ("{run} --eval-every 0", "eval_every must be"),
        ("{run} --stepz 5", "did you mean --steps?"),
        ("{run} other", "unknown argument other"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(run, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "other.npz", rewards=np.ones(240, np.float32))
    before = tree(tmp_path)
    given = words.format(run=run).split()
    assert prudent("finetune", *given, *([] if "--out" in given else ["--out", "new"])) == 2
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_a_run_that_still_trains_is_refused(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    write_status(copy, "running", 3, 4)
    assert prudent("finetune", copy, *QUICK, "--out", tmp_path / "on") == 2
    assert "is still training or was killed: resume it first" in capsys.readouterr().err
    assert not (tmp_path / "on").exists()


def test_cloning_has_nothing_to_learn_online(tmp_path):
    with pytest.raises(ConfigError, match="bc does not learn from rewards"):
        finetune.finetune(trained(tmp_path, "bc"), Settings(steps=10), tmp_path / "on")
    assert not (tmp_path / "on").exists()


@pytest.mark.usefixtures("quick_report")
def test_a_dataset_that_moved_is_named(tmp_path):
    run = trained(tmp_path)
    (tmp_path / "log.npz").rename(tmp_path / "moved.npz")
    assert prudent("finetune", run, *QUICK, "--out", tmp_path / "on") == 2
    assert not (tmp_path / "on").exists()
    assert prudent("finetune", run, *QUICK, "--data", tmp_path / "moved.npz", "--out", tmp_path / "on") == 0

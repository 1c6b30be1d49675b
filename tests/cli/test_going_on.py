"""``prudent train DATA --from RUN``."""

import json
import shutil

import pytest

import prudent as package
from helpers.runs import assert_same_weights, columns, discrete_columns, flags, prudent, write_log
from prudent.runs import checkpoint
from prudent.runs.folder import read_json

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

EVERY = ["--log-every", 50, "--checkpoint-every", 50, "--threads", 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A log, a run of two members with 100 steps on it, and a second log."""
    from prudent import report

    folder = tmp_path_factory.mktemp("from")
    patch = pytest.MonkeyPatch()
    patch.setattr(report, "write_report", lambda place, _compare=None: place / "report.html")
    write_log(folder / "log.npz")
    write_log(folder / "new.npz", **columns(360))
    words = ["train", folder / "log.npz", *flags("cql"), "--alpha", 1, 5, "--steps", 100, *EVERY]
    assert prudent(*words, "--out", folder / "run") == 0
    patch.undo()
    return folder


def go(made, out, *words, data="log.npz", origin="run"):
    return prudent("train", made / data, "--from", made / origin, *EVERY, "--out", out, *words)


def test_on_the_same_data_it_equals_the_resumed_run(made, tmp_path, capsys):
    shutil.copytree(made / "run", tmp_path / "resumed")
    assert prudent("train", "--resume", tmp_path / "resumed", "--steps", 200) == 0
    capsys.readouterr()
    assert go(made, tmp_path / "next", "--steps", 100) == 0
    assert_same_weights(tmp_path / "next", tmp_path / "resumed")
    out = capsys.readouterr().out
    assert f"goes on from step 100 of {made / 'run'}: alpha=1,seed=0, alpha=5,seed=0\n" in out
    assert "scaling is that of the first training; the optimiser goes on\n" in out
    assert f"finished: {tmp_path / 'next' / 'report.html'}" in out
    # And it is resumed like any other.
    assert prudent("train", "--resume", tmp_path / "next", "--steps", 220) == 0
    assert prudent("train", "--resume", tmp_path / "resumed", "--steps", 220) == 0
    assert_same_weights(tmp_path / "next", tmp_path / "resumed")


def test_new_data_new_scaling_fresh_optimiser_one_member_another_alpha(made, tmp_path, capsys):
    words = ["--scaling", "new", "--optimizer", "fresh", "--member", 1, "--alpha", 2, "--steps", 50]
    assert go(made, tmp_path / "next", *words, data="new.npz") == 0
    stored = read_json(tmp_path / "next" / "config.json")
    about = stored["continued_from"]
    assert (about["run"], about["checkpoint"], about["step"]) == (str(made / "run"), "step_100", 100)
    assert (about["scaling"], about["optimizer"], about["settings"]) == ("new", "fresh", {"alpha": 2.0})
    assert stored["members"] == [{"name": "seed=0", "seed": 0}]
    assert stored["config"]["hidden"] == [8, 8]
    assert stored["train"]["steps"] == 150
    assert "scaling is taken anew from these data; the optimiser starts afresh\n" in capsys.readouterr().out


def test_from_a_checkpoint_and_from_a_saved_agent(made, tmp_path):
    assert go(made, tmp_path / "a", "--steps", 50, origin="run/checkpoints/step_50") == 0
    assert_same_weights(tmp_path / "a", made / "run")
    about = read_json(tmp_path / "a" / "config.json")["continued_from"]
    assert (about["run"], about["checkpoint"], about["step"]) == (str(made / "run"), "step_50", 50)
    saved = package.load(made / "run").save(tmp_path / "saved")
    assert go(made, tmp_path / "b", "--steps", 50, origin=tmp_path / "saved") == 0
    about = read_json(tmp_path / "b" / "config.json")["continued_from"]
    assert (about["run"], about["sha256"]) == (str(tmp_path / "saved"), checkpoint.digest(saved))


def test_from_a_tuned_folder(made, tmp_path, capsys):
    """A tuning keeps its policy in a folder of its own; one without a policy says its verdict."""
    tuned = tmp_path / "tuned"
    package.load(made / "run").save(tuned / "policy")
    verdict = {"verdict": "better than BC", "kept": "cql alpha=1"}
    (tuned / "tune.json").write_text(json.dumps(verdict))
    assert go(made, tmp_path / "next", "--steps", 50, "--member", "alpha=1,seed=0", origin=tuned) == 0
    about = read_json(tmp_path / "next" / "config.json")["continued_from"]
    assert (about["run"], about["checkpoint"]) == (str(tuned), "step_100")
    (tuned / "tune.json").write_text(json.dumps({"verdict": "keep what made the log", "kept": None}))
    assert go(made, tmp_path / "other", origin=tuned) == 2
    assert "holds no policy: its verdict is: keep what made the log" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--algo", "bc"], "is a policy of cql, so bc cannot go on from it"),
        (["--steps", "0"], "steps must be 1 or more, got 0"),
        (["--steps", "-10"], "steps must be 1 or more, got -10"),
        (["--hidden", 9, 9], "hidden: this makes other networks than those that go on"),
        (["--seeds", 3], "members and seeds are those of the run that --from names"),
        (["--preset", "locomotion"], "settings are those of the run that --from names"),
        (["--alpha", 2], "members differ in alpha"),
        (["--alpha", 2, 3], "unknown argument 3: --alpha takes fewer values"),
        (["--member", "seed=7"], "has no member seed=7; it has alpha=1,seed=0, alpha=5,seed=0"),
        (["--member", 2], "has no member 2"),
        (["--value-init", "zero"], "value_init says how a first training begins"),
        (["--scaling", "mine"], "invalid choice: 'mine'"),
        (["--quantiles", 3], "unknown argument --quantiles"),
        (["--resume", "run"], "give one of them"),
        (["--horizon", 0], "horizon"),
    ],
)
def test_what_does_not_fit_is_one_line_and_nothing_is_written(made, tmp_path, capsys, words, message):
    assert go(made, tmp_path / "next", *words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "next").exists()


def test_a_source_that_holds_no_policy(made, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    wrong = {
        tmp_path / "gone": "no such folder",
        made / "log.npz": "a file, expected a run folder",
        tmp_path / "empty": "no checkpoint here to load",
    }
    shutil.copytree(made / "run", tmp_path / "running")
    status = read_json(tmp_path / "running" / "status.json")
    (tmp_path / "running" / "status.json").write_text(json.dumps({**status, "state": "running"}))
    wrong[tmp_path / "running"] = "is still training or was killed: resume it first"
    for origin, message in wrong.items():
        assert go(made, tmp_path / "next", origin=origin) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "next").exists()
    write_log(tmp_path / "choices.npz", **discrete_columns())
    assert go(made, tmp_path / "next", data=tmp_path / "choices.npz") == 2
    assert "does not fit what was trained" in capsys.readouterr().err
    assert prudent("train", "--from", made / "run") == 2
    assert "name the dataset to go on with" in capsys.readouterr().err
    assert go(made, made / "run") == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_the_help_lists_the_settings_of_the_run(made, capsys):
    assert prudent("train", "--from", made / "run", "--help") == 0
    out = capsys.readouterr().out
    assert "--scaling {old,new}" in out
    assert "settings of cql that change (default: those of RUN)" in out
    assert "--hidden N [N ...]" in out
    assert "(default: 8 8)" in out

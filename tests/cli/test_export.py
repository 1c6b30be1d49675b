"""``prudent export``: what it writes from a run and from a tuned folder, and its mistakes."""

import json

from helpers import tunings
from helpers.runs import columns, prudent, tree, write_log
from prudent.export import formats
from prudent.runs.folder import read_json, write_json

pytest_plugins = ["helpers.run_fixtures"]


def about(folder):
    return json.loads((folder / "policy.json").read_text())


def test_a_member_of_a_run_and_one_of_its_checkpoints(run, tmp_path, capsys):
    words = ("--format", "torch", "--license", "cc0-1.0")
    assert prudent("export", run, "--member", 1, "--out", tmp_path / "one", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'one'}: BC, seed=1, step 5; acts by its likeliest action"
    assert lines[1].startswith("the graph does what the policy does: on 240 rows of log.npz the largest difference is ")
    assert "outside the data: " in lines[2]
    content = about(tmp_path / "one")
    assert content["member"]["name"] == "seed=1"
    assert content["data"]["license"] == "cc0-1.0"
    assert content["outside"]["logged_decisions"] == 160
    assert content["run"]["checkpoint"] == "../run/checkpoints/step_5"
    assert prudent("export", "--check", tmp_path / "one") == 0
    assert "3 files are as they were written" in capsys.readouterr().out
    checkpoint = run / "checkpoints" / "step_5"
    sampled = ("--acting", "sample", "--logged-decisions", 0, "--member", "seed=1")
    assert prudent("export", checkpoint, "--out", tmp_path / "two", *words, *sampled) == 0
    content = about(tmp_path / "two")
    assert (content["acting"], content["noise"], content["outside"]) == ("sample", "normal", None)
    assert prudent("export", run, "--check", tmp_path / "two") == 0
    (tmp_path / "two" / "README.md").write_text("mine")
    assert prudent("export", "--check", tmp_path / "two") == 2
    assert f"{tmp_path / 'two' / 'README.md'} was changed after the export" in capsys.readouterr().err


def test_the_best_member_is_taken_where_it_is_known(run, tmp_path, capsys, monkeypatch):
    from prudent.export import write

    asked = []
    monkeypatch.setattr(write, "export", lambda request, _out: asked.append(request) or {})
    monkeypatch.setattr("prudent.cli.export._say", lambda *_: None)
    assert prudent("export", run, "--out", tmp_path / "out") == 2
    assert "has 2 members, and which is the best is not known: choose with --member" in capsys.readouterr().err
    rows = {f"seed={seed}": {"return_mean": mean} for seed, mean in ((0, -5.0), (1, -3.0))}
    write_json(run / "evaluation.json", {"step": 5, "overall": {"return_mean": -4.0}, "members": rows})
    assert prudent("export", run, "--out", tmp_path / "out") == 0
    assert "seed=1 has the best return of 2 members" in capsys.readouterr().err
    (request,) = asked
    assert request.population.names == ["seed=1"]
    assert request.worth["return"]["mean"] == -3.0
    assert request.kind == "onnx"


def test_a_tuned_folder(tmp_path, capsys):
    folder = tmp_path / "tuned"
    tunings.make(folder, tunings.PROBLEM.log(60, 0), steps=20)
    capsys.readouterr()
    assert prudent("export", folder, "--out", tmp_path / "out", "--format", "torch") == 0
    content, result = about(tmp_path / "out"), read_json(folder / "tune.json")
    assert content["verdict"] == result["verdict"]
    assert content["reasons"] == result["reasons"]
    assert content["data"]["episodes"] == result["splits"][0]["parts"]["train"]
    final = result["splits"][0]["final"]["policy"]["fqe"]
    assert content["value"]["value"] == final["value"]
    assert content["value"]["interval"] == final["ci95"]
    assert (content["value"]["dataset"], content["value"]["trained_on_these"]) == ("the tuning's final part", False)
    card = (tmp_path / "out" / "README.md").read_text()
    assert '"off_policy_value"' in card
    assert prudent("export", "--check", tmp_path / "out") == 0
    no_policy = {"verdict": "keep what made the log", "clone": False}
    splits = [result["splits"][0] | no_policy]
    write_json(folder / "tune.json", {**result, "splits": splits, "verdict": no_policy["verdict"], "kept": None})
    capsys.readouterr()
    assert prudent("export", folder, "--out", tmp_path / "none") == 2
    assert "holds no policy: its verdict is: " in capsys.readouterr().err


def test_mistakes_are_one_line_and_write_nothing(run, tmp_path, capsys, monkeypatch):
    other = write_log(tmp_path / "other.npz", **columns(200))
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    before = tree(tmp_path)
    for words, message in (
        ((tmp_path / "empty", "--out", out), "no checkpoint here to load"),
        ((tmp_path / "nowhere", "--out", out), "no such folder"),
        ((run, "--out", out, "--member", "seed=7"), "has no member 'seed=7': seed=0, seed=1"),
        ((run, "--out", out, "--member", "2"), "has no member '2'"),
        ((run, "--out", out, "--format", "pickle"), "invalid choice: 'pickle'"),
        ((run, "--out", out, "--fallback", "hope"), "invalid choice: 'hope'"),
        ((run, "--out", run), "exists and is not empty"),
        ((run,), "name a run and a new folder"),
        ((run, "--out", out, "--check", out), "give one of them"),
        ((run, "--out", out, "--fallback", "refuse", "--logged-decisions", 0), "needs logged decisions"),
        ((run, "--out", out, "--logged-decisions", -1), "0 or more"),
        ((run, "--out", out, "--member", 0, "--logged-decisions", 5, "--fallback", "nearest"), "fewer than the 10"),
        ((run, "--out", out, "--member", 0, "--data", other), "was trained on other data than other.npz"),
        (("--check", tmp_path / "empty"), "is no export"),
        ((run, "--out", out, "--membr", 0), "did you mean --member?"),
    ):
        assert prudent("export", *words) == 2, words
        captured = capsys.readouterr()
        assert message in captured.err, captured.err
        assert captured.err.count("\n") == 1, captured.err
        assert captured.out == ""
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda _name: None)
    assert prudent("export", run, "--out", out, "--member", 0) == 2
    assert "pip install 'prudent[export]'" in capsys.readouterr().err
    assert tree(tmp_path) == before

"""``prudent value``: its table, its JSON, what it writes, its mistakes."""

import errno
import json

import numpy as np
import pytest

from helpers.patches import replace_everywhere
from helpers.runs import columns, discrete_columns, flags, prudent, tree, write_log
from prudent import report
from prudent.runs import folder

pytest_plugins = ["helpers.run_fixtures"]

QUICK = ("--steps", 20, "--n-bootstrap", 0, "--behaviour-steps", 20, "--members", 2, "--folds", 2, "--max-outside", 1)


@pytest.fixture
def run(tmp_path, log, quick_report, capsys):  # noqa: ARG001 - patches
    """A run on :func:`helpers.runs.columns` with two members, and nothing printed yet."""
    folder = tmp_path / "run"
    assert prudent("train", log, *flags("cql"), "--seeds", 0, 1, "--steps", 5, "--out", folder) == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def held_out(tmp_path):
    rng = np.random.default_rng(5)
    return write_log(tmp_path / "held.npz", rewards=rng.normal(size=240).astype(np.float32))


def test_the_run_s_own_data_flatter_it_and_others_do_not(run, log, held_out, tmp_path, capsys):
    bc = tmp_path / "bc"
    assert prudent("train", log, *flags("bc"), "--seeds", 0, "--steps", 5, "--out", bc) == 0
    capsys.readouterr()
    assert prudent("value", run, "--compare", f"BC={bc}", *QUICK) == 0
    shown = capsys.readouterr()
    assert "seed=0 over BC: " in shown.out
    assert "learned from these very episodes" in shown.out
    assert f"written: {run / 'value.json'}, {run / 'report.html'}" in shown.out
    assert "2/2  BC, seed=0" in shown.err
    found = json.loads((run / "value.json").read_text())
    assert (found["dataset"], found["seen"], found["step"], found["episodes"]) == ("log.npz", True, 5, 6)
    assert prudent("value", run, "--data", held_out, "--json", *QUICK) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((run / "value.json").read_text())
    assert (printed["dataset"], printed["seen"], list(printed["against"])) == ("held.npz", False, ["behaviour"])


def test_some_of_the_episodes_were_seen(log, held_out, tmp_path, quick_report, capsys):  # noqa: ARG001 - patches
    run = tmp_path / "both"
    assert prudent("train", log, held_out, *flags("bc"), "--seeds", 0, "--steps", 5, "--out", run) == 0

    def weigh(*data):
        capsys.readouterr()
        assert prudent("value", run, "--data", *data, "--json", *QUICK) == 0
        shown = capsys.readouterr()
        found = json.loads(shown.out)
        return found, [found["seen"], found["shared"]], shown.err

    rng = np.random.default_rng(6)
    fresh = write_log(tmp_path / "fresh.npz", rewards=rng.normal(size=240).astype(np.float32))
    found, seen, _ = weigh(log)
    assert seen == [True, 6]
    assert found["cautions"][0].startswith("The policy learned from these very episodes, ")
    assert weigh(fresh)[1] == [False, 0]
    found, seen, _ = weigh(fresh, log)
    assert seen == [True, 6]
    assert found["cautions"][0].startswith("The policy learned from 6 of these 12 episodes, ")
    held_out.unlink()
    found, seen, said = weigh(log)
    assert seen == [None, None]
    assert "is not known: " in said
    assert "held.npz" in said
    assert found["cautions"][0].startswith("If the policy learned from these, ")


def test_a_checkpoint_is_weighed_and_nothing_is_written(run, tmp_path, capsys):
    before = tree(tmp_path)
    assert prudent("value", run / "checkpoints" / "step_5", "--member", "seed=1", *QUICK) == 0
    assert "seed=1 is worth" in capsys.readouterr().out
    assert tree(tmp_path) == before


def test_a_checkpoint_of_another_run_may_stand_beside_it(run, monkeypatch, capsys):
    beside = []
    monkeypatch.setattr(report, "write_report", lambda folder, others: beside.append(others) or folder)
    rivals = (f"earlier={run / 'checkpoints' / 'step_5'}", f"other={run}")
    assert prudent("value", run, "--compare", *rivals, *QUICK) == 0
    assert "seed=0 over earlier: " in capsys.readouterr().out
    assert beside == [{"other": run}], "a report reads run folders, a checkpoint is none"


def test_what_cannot_be_written_is_shown_all_the_same(run, monkeypatch, capsys):
    def full(path, _content):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    replace_everywhere(monkeypatch, folder, "write_json", full)
    assert prudent("value", run, *QUICK) == 2
    shown = capsys.readouterr()
    assert "seed=0 is worth" in shown.out
    assert shown.err.splitlines()[-1] == f"prudent: {run / 'value.json'}: No space left on device"


def test_of_a_run_with_an_environment_the_best_setting_is_weighed(log, tmp_path, quick_report, capsys):  # noqa: ARG001
    run = tmp_path / "grid"
    words = (*flags("cql"), "--alpha", 1, 5, "--seeds", 0, 1, "--steps", 5, "--out", run)
    assert prudent("train", log, *words) == 0
    assert prudent("value", run, "--json", *QUICK) == 0
    shown = capsys.readouterr().out
    every = json.loads(shown[shown.index("\n{") :])["policies"]
    assert [row["title"] for row in every] == ["alpha=1,seed=0", "alpha=5,seed=0"], "none is known to be the best"
    returns = {"alpha=1": 3.0, "alpha=5": 9.0}
    settings = {name: {"return_mean": value} for name, value in returns.items()}
    (run / "evaluation.json").write_text(json.dumps({"settings": settings}))
    assert prudent("value", run, "--json", *QUICK) == 0
    assert [row["title"] for row in json.loads(capsys.readouterr().out)["policies"]] == ["alpha=5,seed=0"]
    status = json.loads((run / "status.json").read_text())
    stopped = {"step": 3, "kind": "stopped", "why": "NaN", "member": "alpha=5,seed=0"}
    (run / "status.json").write_text(json.dumps(status | {"incidents": [stopped]}))
    assert prudent("value", run, "--json", *QUICK) == 0
    assert [row["title"] for row in json.loads(capsys.readouterr().out)["policies"]] == ["alpha=5,seed=1"]


def test_every_setting_takes_effect(run, capsys):
    def figures(*words):
        assert prudent("value", run, "--json", *QUICK, *words) == 0
        found = json.loads(capsys.readouterr().out)
        return json.dumps([found["policies"], found["behaviour"]])

    plain = figures()
    assert figures() == plain
    for words in (("--steps", 30), ("--n-bootstrap", 2), ("--seed", 1), ("--discount", 0.5), ("--hidden", 4)):
        assert figures(*words) != plain, words


def test_mistakes_are_one_line_and_write_nothing(run, log, tmp_path, capsys):
    short = {name: column[:40] if np.ndim(column) else column for name, column in columns().items()}
    same = np.full(240, 3, np.float32)
    files = {
        "short": write_log(tmp_path / "short.npz", **short),
        "other": write_log(tmp_path / "other.npz", **discrete_columns()),
        "same": write_log(tmp_path / "same.npz", rewards=same),
    }
    (tmp_path / "empty").mkdir()
    kept = log.read_bytes()
    before = tree(tmp_path)
    for words, told in (
        ((tmp_path / "nowhere",), "no such folder"),
        ((tmp_path / "empty",), "no checkpoint here to load"),
        ((run, "--data", files["short"]), "1 episode, off-policy evaluation needs"),
        ((run, "--data", files["other"]), "policy for other spaces"),
        ((run, "--data", files["same"]), "every reward is 3, so no policy is better"),
        ((run, "--data", tmp_path / "gone.npz"), "gone.npz"),
        ((run, "--discount", 1), "give a discount below 1"),
        ((run, "--discount", 2), "discount must lie within"),
        ((run, "--member", "nobody"), "no member nobody"),
        ((run, "--compare", "BC"), "--compare takes NAME=RUN"),
        ((run, "--compare", f"BC={run}", f"BC={run}"), "a different name for each run"),
        ((run, "--compare", f"BC={tmp_path / 'nowhere'}"), "no such folder"),
        ((run, "--n-bootstrap", 1), "n_bootstrap must be 0 or 2"),
        ((run, "--seed", -1), "--seed must be 0 or more"),
        ((run, "--dones", "truncated"), "--dones says how to read data that are named here"),
        ((run, "--discont", 0.9), "did you mean --discount?"),
    ):
        assert prudent("value", *words) == 2, words
        captured = capsys.readouterr()
        assert told in captured.err, words
        assert captured.err.strip().count("\n") == 0, captured.err
        assert captured.out == ""
    assert tree(tmp_path) == before
    log.unlink()
    assert prudent("value", run, *QUICK) == 2
    assert "if they are elsewhere now, name them" in capsys.readouterr().err
    log.write_bytes(kept)
    assert tree(tmp_path) == before


RULES = """
import numpy as np
import helper


def half(observation):
    print("said by the rule")
    return np.full((len(observation), 2), helper.HALF)


def by_name(columns):
    return (columns["b"] > 0).astype(int)


def sums_to_two(observation):
    return np.ones((len(observation), 2))


def fails(observation):
    return observation.nothing


class Stop(BaseException):
    pass


def stops(observation):
    raise Stop("enough")


def interrupts(observation):
    raise KeyboardInterrupt


number = 3
"""


@pytest.fixture
def rules(tmp_path):
    """A file of rules that imports its neighbour, and a log with the probabilities of a target policy in a table."""
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "rules.py").write_text(RULES)
    (folder / "helper.py").write_text("HALF = 0.5\n")
    (folder / "broken.py").write_text("import numpy as np\nx = undefined\n")
    (folder / "ends.py").write_text("class Stop(BaseException): pass\nraise Stop('enough')\n")
    (folder / "syntax.py").write_text("x = 1\ndef f(:\n")
    rng = np.random.default_rng(0)
    lines = ["e,t,a,b,act,r,q0,q1,bad"]
    for episode in range(30):
        for step in range(4):
            a, b, r = rng.normal(size=3)
            lines.append(f"{episode},{step},{a},{b},{rng.integers(2)},{r},0.5,0.5,0.7")
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    base = (
        'episode = "e"\nstep = "t"\nobservation = ["a", "b"]\naction = "act"\nreward = "r"\ndiscrete = true\n'
        'last_rows = "terminated"\n'
    )
    (folder / "map.toml").write_text(base + 'target_prob = ["q0", "q1"]\n')
    (folder / "bad.toml").write_text(base + 'target_prob = ["q0", "bad"]\n')
    return folder


def test_a_given_policy_is_valued_and_nothing_is_written(rules, tmp_path, monkeypatch, capsys):
    log = ("--data", rules / "log.csv", "--map", rules / "map.toml", "--discount", 0.9, *QUICK)
    before = tree(tmp_path)
    half = f"{rules / 'rules.py'}:half"
    assert prudent("value", "--policy", half, "--compare", f"x={rules / 'rules.py'}:by_name", *log) == 0
    shown = capsys.readouterr()
    assert "half is worth" in shown.out
    assert "half over x: " in shown.out
    assert "said by the rule" in shown.err
    assert "said by the rule" not in shown.out
    assert prudent("value", "--policy", half, "--json", *log) == 0
    by_rule = json.loads(capsys.readouterr().out)
    assert "step" not in by_rule
    assert tree(tmp_path) == before
    out = tmp_path / "figures.json"
    assert prudent("value", "--policy", "target_prob", "--json", "--out", out, *log) == 0
    by_column = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == by_column
    assert by_column["policies"][0]["fqe"]["value"] == pytest.approx(by_rule["policies"][0]["fqe"]["value"], rel=1e-5)
    monkeypatch.chdir(rules)
    assert prudent("value", "--policy", "rules:half", "--json", *log) == 0
    assert json.loads(capsys.readouterr().out) == by_rule


def test_mistakes_of_given_policies_are_one_line_and_write_nothing(rules, run, tmp_path, capsys):
    file, log = rules / "rules.py", ("--data", rules / "log.csv", "--map", rules / "map.toml")
    before = tree(tmp_path)
    for words, told in (
        ((), "name a run folder, or a given policy"),
        ((run, "--policy", f"{file}:half"), "name one, and --compare the other"),
        (("--policy", f"{file}:half"), "name one with --data"),
        (("--policy", f"{file}:half", "--member", "x", *log), "--member is for the members of a run"),
        (("--policy", f"{file}:half", *log), "no discount of its own"),
        (("--policy", "half", *log), "given as FILE.py:FUNCTION"),
        (("--policy", f"{rules / 'gone.py'}:half", *log), "gone.py: no such file"),
        (("--policy", "nowhere.at.all:half", *log), "there is no module nowhere.at.all"),
        (("--policy", f"{rules / 'broken.py'}:half", *log), "broken.py line 2: NameError"),
        (("--policy", f"{rules / 'syntax.py'}:f", *log), "syntax.py line 2: SyntaxError"),
        (("--policy", f"{file}:nobody", *log), "has no function nobody; it has half, by_name"),
        (("--policy", f"{file}:number", "--discount", 0.9, *log), "a policy to value is a function"),
        (("--policy", f"{file}:sums_to_two", "--discount", 0.9, *log), "do not sum to 1 in 120 rows"),
        (("--policy", f"{file}:fails", "--discount", 0.9, *log), "rules.py line 20: AttributeError"),
        (("--policy", f"{file}:stops", "--discount", 0.9, *log), "rules.py line 28: Stop: enough"),
        (("--policy", f"{rules / 'ends.py'}:half", *log), "ends.py line 2: Stop: enough"),
        (("--policy", f"{file}:half", "--out", file, *log), "exists; choose another name"),
        (("--policy", f"{file}:half", "--out", tmp_path / "no" / "x", *log), "there is no folder"),
        (("--policy", "target_prob", "--data", rules / "log.csv", "--map", rules / "bad.toml"), "does not sum to 1"),
        ((run, "--compare", f"x={file}:half", "--discount", 0.9), "half returns an array of shape (240, 2)"),
    ):
        assert prudent("value", *words, *(QUICK if words else ())) == 2, words
        shown = capsys.readouterr()
        last = [line for line in shown.err.splitlines() if line.startswith("prudent: ")]
        assert len(last) == 1, shown.err
        assert told in last[0], words
        assert shown.out == ""
    assert prudent("value", "--policy", f"{file}:interrupts", "--discount", 0.9, *log, *QUICK) == 130
    assert tree(tmp_path) == before

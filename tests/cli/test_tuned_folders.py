"""A tuned folder where a run is taken: from a log to a verdict on wholly new episodes."""

import json
import shutil

import numpy as np
import pytest
import torch

from helpers import tunings
from helpers.runs import flags, prudent, tree, write_log
from prudent import load_dataset, ope
from prudent.cli import tuned_folders
from prudent.errors import PrudentError
from prudent.runs import checkpoint, tuned

QUICK = ("--steps", 20, "--n-bootstrap", 0, "--behaviour-steps", 20, "--members", 2, "--folds", 2, "--hidden", 8)
QUICK = (*QUICK, "--max-outside", 1)
THOROUGH = (
    "--steps",
    800,
    "--n-bootstrap",
    4,
    "--behaviour-steps",
    150,
    "--members",
    2,
    "--hidden",
    16,
    "--threads",
    1,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A log, a tuning of it as the command made it, and new episodes of the same problem."""
    folder = tmp_path_factory.mktemp("decision")
    log = tunings.save(folder / "log.hdf5", tunings.PROBLEM.log(60, 0))
    tunings.save(folder / "new.hdf5", tunings.PROBLEM.log(400, 7))
    words = []
    for name, value in tunings.SMALL.items():
        words += ["--" + name.replace("_", "-"), *(value if isinstance(value, list | tuple) else [value])]
    with tunings.deployed():
        assert prudent("tune", log, "--out", folder / "x", "--algo", "discrete_cql", *words) == 0
    return folder


@pytest.fixture
def copy(place, tmp_path):
    """The same, to write into."""
    shutil.copytree(place, tmp_path / "decision")
    return tmp_path / "decision"


def figures(capsys, *words):
    capsys.readouterr()
    assert prudent("value", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_new_episodes_give_a_firm_verdict(copy, capsys):
    """The gains lie where the tabular problem's own equations have them."""
    found = figures(capsys, copy / "x", "--data", copy / "new.hdf5", *THOROUGH)
    assert (found["seen"], found["shared"], found["firm"]) == (False, 0, True), found["cautions"]
    assert [c for c in found["cautions"] if "fitted, not observed" not in c] == []
    assert found["best"] == "alpha=0.1,seed=0"
    assert list(found["against"]) == ["behaviour", "BC"], "what made the new log, and BC of the tuning"
    assert [found["against"][name]["fqe"]["sign"] for name in ("behaviour", "BC")] == [1, 1]
    place, _, acting = tuned.bc_of(copy / "x")
    policy = ope.policy.as_policy(checkpoint.load(copy / "x")[0])
    bc = ope.policy.as_policy(checkpoint.load(place)[0], acting=acting)
    assert acting == "sample", "the case tests nothing: as a run of its own, BC acts by its likeliest action"
    true, problem = tunings.PROBLEM.exact(policy), tunings.PROBLEM
    for name, gain in (("behaviour", true - problem.behaviour_value), ("BC", true - problem.exact(bc))):
        low, high = found["against"][name]["fqe"]["ci95"]
        assert low < gain < high, (name, low, gain, high)
    assert found["verdict"] == "Estimated from the log: better than what made it"
    assert found["reading"][0].startswith(f"None of these {found['episodes']} episodes was part of the tuning: ")
    assert found["tuning"] == {"kept": found["tuning"]["kept"], "shared": {"train": 0, "evaluation": 0, "final": 0}}
    assert json.loads((copy / "x" / "value.json").read_text()) == found


def test_without_data_it_is_the_final_part(copy, capsys):
    before = (copy / "x" / "report.html").read_text()
    tables = [line for line in before.splitlines() if "<h3>" in line]
    (copy / "log.hdf5").unlink()
    assert prudent("value", copy / "x", *QUICK) == 0
    shown = capsys.readouterr().out
    final = tuned.part(copy / "x", "final")
    assert f"These are the {final.n_episodes} episodes of the tuning's final part: the policy was neither" in shown
    assert "\nverdict: Estimated from the log: " in shown
    assert f"written: {copy / 'x' / 'value.json'}, {copy / 'x' / 'report.html'}" in shown
    found = json.loads((copy / "x" / "value.json").read_text())
    assert (found["dataset"], found["seen"], found["episodes"]) == ("log.hdf5 (final part)", False, final.n_episodes)
    after = (copy / "x" / "report.html").read_text()
    assert [line for line in tables if line not in after] == [], "the tuning's own report was lost"
    assert "Value estimated by prudent value" in after
    assert "Value estimated by prudent value" not in before


def test_a_value_of_another_policy_is_not_in_the_report(copy, capsys):
    assert prudent("value", copy / "x", *QUICK) == 0
    stored = json.loads((copy / "x" / "value.json").read_text())
    stored["tuning"]["kept"] = "alpha=9,seed=0"
    (copy / "x" / "value.json").write_text(json.dumps(stored))
    capsys.readouterr()
    assert prudent("report", copy / "x") == 0
    assert capsys.readouterr().out == f"{copy / 'x' / 'report.html'}\n"
    assert "Value estimated by prudent value" not in (copy / "x" / "report.html").read_text()


@pytest.mark.parametrize(
    ("parts", "seen", "told"),
    [
        (("final",), False, "its final part: the policy was neither trained on any of them nor chosen by them."),
        (("evaluation",), True, "its evaluation part: the policy learned from its training part"),
        (("train", "final"), True, "its training part and "),
    ],
)
def test_episodes_that_the_tuning_had_are_counted(copy, parts, seen, told, capsys):
    log, numbers = load_dataset(copy / "log.hdf5"), []
    for name in parts:
        numbers += np.load(copy / "x" / "parts" / f"{name}.npy").tolist()
    mixed = tunings.save(copy / "mixed.hdf5", log.episodes(numbers))
    found = figures(capsys, copy / "x", "--data", mixed, copy / "new.hdf5", *QUICK)
    assert found["seen"] is seen
    assert told in found["reading"][0]
    counts = {name: len(np.load(copy / "x" / "parts" / f"{name}.npy")) for name in parts}
    assert found["tuning"]["shared"] == {"train": 0, "evaluation": 0, "final": 0} | counts
    assert found["shared"] == sum(count for name, count in counts.items() if name != "final")


def test_parts_that_are_gone_leave_it_open(copy, capsys):
    shutil.rmtree(copy / "x" / "parts")
    assert prudent("value", copy / "x", "--data", copy / "new.hdf5", *QUICK) == 0
    assert "whether the tuning had some of these episodes is not known: " in capsys.readouterr().err
    found = json.loads((copy / "x" / "value.json").read_text())
    assert (found["seen"], found["firm"], found["tuning"]["shared"]) == (None, False, None)
    assert prudent("value", copy / "x", *QUICK) == 2
    assert "has no parts of its log: name the episodes with --data" in capsys.readouterr().err


def test_it_stands_beside_a_run_and_a_run_beside_it(copy, capsys, monkeypatch):
    monkeypatch.setattr("prudent.report.write_report", lambda folder, _=None: folder / "report.html")
    log, bc = copy / "log.hdf5", copy / "bc"
    assert prudent("train", log, *flags("discrete_bc"), "--steps", 5, "--out", bc) == 0
    found = figures(capsys, bc, "--data", copy / "new.hdf5", "--compare", f"tuned={copy / 'x'}", *QUICK)
    assert list(found["against"]) == ["behaviour", "tuned"]
    found = figures(capsys, copy / "x", "--data", copy / "new.hdf5", "--compare", f"BC={bc}", f"y={copy / 'x'}", *QUICK)
    assert list(found["against"]) == ["behaviour", "BC", "y"], "a BC of one's own takes the place of the tuning's"
    assert found["against"]["y"]["fqe"]["value"] == 0


def test_a_report_of_a_run_shows_it(copy, capsys):
    log, bc = copy / "log.hdf5", copy / "bc"
    assert prudent("train", log, *flags("discrete_bc"), "--steps", 5, "--out", bc) == 0
    capsys.readouterr()
    assert prudent("report", bc, "--compare", f"winner={copy / 'x'}") == 0
    assert "winner is Discrete CQL on log.hdf5 (train part), which is other data." in capsys.readouterr().err
    assert "winner" in (bc / "report.html").read_text()
    assert prudent("report", copy / "x", "--compare", f"BC={bc}") == 2
    assert "is a tuning, whose report shows no other runs" in capsys.readouterr().err


def test_support_compares_with_the_training_part(copy, capsys):
    before = tree(copy)
    assert prudent("support", copy / "x", "--json", "--threads", 1) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "log.hdf5 (train part)"
    assert list(found["members"]) == ["alpha=0.1,seed=0"]
    assert tree(copy) == before


def test_evaluate_needs_an_environment(copy, capsys):
    assert prudent("evaluate", copy / "x") == 2
    assert "was tuned without an environment: name one with --env" in capsys.readouterr().err
    stored = json.loads((copy / "x" / "tune.json").read_text())
    for env, told in (("shop:Shop-v0", "would import a module"), ("CartPole-v1", "observation")):
        stored["plan"]["settings"]["env"] = env
        (copy / "x" / "tune.json").write_text(json.dumps(stored))
        assert prudent("evaluate", copy / "x") == 2
        assert told in capsys.readouterr().err


def test_a_tuned_folder_without_a_policy_is_one_line_everywhere(copy, capsys):
    stored = json.loads((copy / "x" / "tune.json").read_text())
    (copy / "x" / "tune.json").write_text(json.dumps(stored | {"kept": None, "verdict": "keep what made the log"}))
    shutil.rmtree(copy / "x" / "policy")
    run = copy / "run"
    assert prudent("train", write_log(copy / "other.npz"), *flags("cql"), "--steps", 2, "--out", run) == 0
    capsys.readouterr()
    before = tree(copy)
    for words in (
        ("value", copy / "x"),
        ("value", copy / "x", "--data", copy / "new.hdf5"),
        ("value", run, "--compare", f"x={copy / 'x'}"),
        ("support", copy / "x"),
        ("evaluate", copy / "x", "--env", "CartPole-v1"),
        ("finetune", copy / "x", "--env", "CartPole-v1"),
        ("report", run, "--compare", f"x={copy / 'x'}"),
    ):
        assert prudent(*words) == 2, words
        shown = capsys.readouterr()
        assert shown.err == f"prudent: {copy / 'x'} holds no policy: its verdict is: keep what made the log\n"
        assert shown.out == ""
    assert tree(copy) == before


@pytest.mark.parametrize("damage", ["unfinished", "damaged", "no policy"])
def test_an_incomplete_one_is_one_line_and_nothing_is_written(copy, damage, capsys):
    folder = copy / "x"
    if damage == "unfinished":
        (folder / "tune.json").unlink()
    elif damage == "damaged":
        (folder / "tune.json").write_text('{"kept": "BC"')
    else:
        shutil.rmtree(folder / "policy")
    before = tree(copy)
    verbs = ("value", "support", "evaluate", "finetune") + (("report",) if damage != "no policy" else ())
    for verb in verbs:
        assert prudent(verb, folder) == 2, verb
        shown = capsys.readouterr()
        assert shown.err.count("\n") == 1
        assert shown.out == ""
    assert tree(copy) == before


def places(content, path=()):
    """The path of every key in a JSON object, and of those in the first object of each list."""
    if isinstance(content, list):
        return places(content[0], (*path, 0)) if content and isinstance(content[0], dict) else []
    if not isinstance(content, dict):
        return []
    return [place for key, value in content.items() for place in [(*path, key), *places(value, (*path, key))]]


def inside(content, path):
    for key in path:
        content = content[key]
    return content


def refused(capsys, folder, verb):
    """Whether a verb refuses a tuned folder in one line; anything else but success fails the test."""
    capsys.readouterr()
    code, shown = prudent(verb, folder), capsys.readouterr()
    if code:
        assert (code, shown.err.count("\n"), shown.out) == (2, 1, ""), shown.err
        assert shown.err.startswith(f"prudent: {folder / 'tune.json'} "), shown.err
    return code == 2


def test_a_result_without_a_key_is_refused(copy):
    """Every key of ``tune.json``, but those inside the settings of a grid and the details of a value."""
    file = copy / "x" / "tune.json"
    whole = json.loads(file.read_text())
    loose = ("config", "final", "stability", "behaviour")
    keys = [path for path in places(whole) if not set(loose) & set(path[:-1])]
    keys = [path for path in keys if path[:2] != ("plan", "settings") or path[-1] in ("settings", "env", "steps")]
    keys += [("splits", 0, "behaviour", "value"), ("splits", 0, "final", "policy"), ("splits", 0, "final", "bc")]
    assert len(keys) > 60
    for path in keys:
        damaged = json.loads(json.dumps(whole))
        del inside(damaged, path[:-1])[path[-1]]
        file.write_text(json.dumps(damaged))
        with pytest.raises(PrudentError) as caught:
            tuned_folders.check(copy / "x")
        assert str(caught.value).startswith(f"{file} "), path
        assert "\n" not in str(caught.value)


def test_a_value_without_a_plan_s_settings_is_refused_before_anything_is_estimated(copy, monkeypatch, capsys):
    monkeypatch.setattr("prudent.ope.behaviour.fit", lambda *_: pytest.fail("fitted first"))
    file = copy / "x" / "tune.json"
    content = json.loads(file.read_text())
    del content["plan"]["settings"]
    file.write_text(json.dumps(content))
    before = tree(copy)
    for verb in ("value", "report"):
        assert refused(capsys, copy / "x", verb), verb
    assert tree(copy) == before


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kept",), None),
        (("kept",), "BC,seed=0"),
        (("verdict",), "keep BC"),
        (("verdict",), "keep what made the log"),
        (("splits", 0, "verdict"), "do as you like"),
        (("splits", 0, "winner"), "alpha=9,seed=0"),
        (("splits", 0, "winner"), None),
        (("splits", 0, "imitator"), "nobody"),
        (("splits", 0, "candidates", 0, "acting"), "will"),
        (("splits", 0, "behaviour", "value"), "much"),
        (("splits",), []),
        (("winner",), None),
        (("alpha",), 3),
        (("reasons",), ["because"]),
        (("plan", "settings"), None),
        (("plan", "settings", "env"), 3),
        (("plan", "grids"), []),
        (("plan", "dataset", "name"), None),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(copy, path, value):
    file = copy / "x" / "tune.json"
    content = json.loads(file.read_text())
    inside(content, path[:-1])[path[-1]] = value
    file.write_text(json.dumps(content))
    with pytest.raises(PrudentError) as caught:
        tuned_folders.check(copy / "x")
    assert str(caught.value).startswith(f"{file} ")
    assert "\n" not in str(caught.value)


def test_no_kept_policy_under_a_verdict_that_keeps_one_is_told_by_every_verb(copy, capsys):
    file = copy / "x" / "tune.json"
    content = json.loads(file.read_text())
    assert content["verdict"] == "deploy this policy"
    file.write_text(json.dumps(content | {"kept": None}))
    for words in (("value",), ("support",), ("evaluate", "--env", "CartPole-v1"), ("report",)):
        capsys.readouterr()
        assert prudent(words[0], copy / "x", *words[1:]) == 2, words
        told = f"{file} contradicts itself: its verdict is 'deploy this policy', and no policy is kept"
        assert capsys.readouterr().err == f"prudent: {told}\n"


@pytest.mark.parametrize("verb", ["value", "support", "evaluate"])
@pytest.mark.parametrize("number", [0, 5000])
def test_threads_that_cannot_be_are_one_line(copy, verb, number, capsys):
    assert prudent(verb, copy / "x", "--threads", number) == 2
    assert f"{verb}: --threads must lie between 1 and 4096, got {number}" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("value", *QUICK), ("support",), ("evaluate", "--env", "CartPole-v1")])
def test_threads_are_those_asked_for(copy, words, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    prudent(words[0], copy / "x", *words[1:])
    assert 3 not in asked
    prudent(words[0], copy / "x", *words[1:], "--threads", 3)
    assert asked.count(3) == 1

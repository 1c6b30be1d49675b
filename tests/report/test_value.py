"""The section on what a policy is worth by a log, and the verdict where no environment says it."""

import json
import re
from html import unescape

import numpy as np
import pytest

import prudent
from benchmarks import known
from prudent.report import html
from prudent.report.format import interval, number
from prudent.report.predictions import predictions_picture
from prudent.report.value import value_tables
from prudent.report.verdict import judge
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]

HOSTILE = "<script>window.owned=1</script>"
TABULAR = known.tabular(0, shift=1.0)


@pytest.fixture(scope="module")
def weighed():
    """What ``value.json`` holds, of a policy that leaves no doubt beside what made the log."""
    settings = {"members": 2, "folds": 2, "n_bootstrap": 0, "steps": 100, "behaviour_steps": 20, "hidden": (8,)}
    rivals = {HOSTILE: TABULAR.behaviour}
    found = prudent.value(TABULAR.target, TABULAR.log(60, 0), compare=rivals, seen=False, max_outside=1.0, **settings)
    return {"step": 10, **found.to_json()}


def signed(weighed, behaviour, rival, **changes):
    found = json.loads(json.dumps(weighed | {"firm": True} | changes))
    for name, sign in (("behaviour", behaviour), (HOSTILE, rival)):
        found["against"][name]["fqe"]["sign"] = sign
    return found


def write(folder, value, step=10):
    folder.mkdir(exist_ok=True)
    config = {"algorithm": "cql", "members": [{"name": "seed=0"}], "dataset": {"name": "d", "mean_return": 1.0}}
    for name, content in (("config", config), ("status", {"state": "finished", "step": step}), ("value", value)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    return read_run(folder)


@pytest.mark.parametrize(
    ("behaviour", "rival", "tone", "headline"),
    [
        (1, 1, "good", "Estimated from the log: better than what made it"),
        (1, 0, "open", f"Estimated from the log: better than what made it, not clearly better than {HOSTILE}"),
        (1, -1, "bad", f"Estimated from the log: better than what made it, and worse than {HOSTILE}"),
        (0, 1, "open", "Estimated from the log: not distinguishable from what made it"),
        (-1, 1, "bad", "Estimated from the log: worse than what made it"),
        (None, None, "open", "The value of this policy cannot be estimated from the log"),
    ],
)
def test_the_verdict_without_an_environment(tmp_path, weighed, behaviour, rival, tone, headline):
    found = judge(write(tmp_path / "run", signed(weighed, behaviour, rival)), {})
    assert (found.tone, found.headline) == (tone, headline)
    assert found.reasons[: len(weighed["reasons"])] == weighed["reasons"]


def test_with_reservations_nothing_is_green_and_they_are_named(tmp_path, weighed):
    doubts = ["it learned from some of these episodes", "the intervals are to first order, without refits"]
    value = signed(weighed, 1, 1, seen=True, firm=False, cautions=["It is flattered."], reservations=doubts)
    found = judge(write(tmp_path / "run", value), {})
    assert found.tone == "open"
    assert found.headline.endswith(f"better than what made it, but with reservations: {'; '.join(doubts)}")
    assert "It is flattered." in found.reasons


@pytest.mark.parametrize("named", [None, [], "some", 3])
def test_reservations_that_somebody_edited_are_still_reservations(tmp_path, weighed, named):
    found = judge(write(tmp_path / "run", signed(weighed, 1, 1, firm=False, reservations=named)), {})
    assert (found.tone, found.headline[-21:]) == ("open", "but with reservations")


@pytest.mark.usefixtures("blank_pictures")
def test_an_environment_has_the_first_word(make_run, weighed):
    small = {"alphas": (5.0,), "seeds": (0,), "video": False}
    plain = judge(read_run(make_run(**small)), {})
    folder = make_run("weighed", **small, value=signed(weighed, -1, -1, cautions=["It is flattered."]))
    assert judge(read_run(folder), {}) == plain
    page = html.write_report(folder).read_text()
    assert "<h2>Value estimated from the log</h2>" in page
    assert "<li>It is flattered.</li>" in page, "the verdict does not say it, so the section does"


@pytest.mark.usefixtures("blank_pictures")
def test_a_return_of_nothing_is_a_return(tmp_path, weighed):
    run = write(tmp_path / "run", weighed | {"cautions": ["It is flattered."]})
    figures = {"overall": {"return_mean": 0.0}}
    (run.folder / "evaluation.json").write_text(json.dumps(figures))
    assert "<li>It is flattered.</li>" in html.write_report(run.folder).read_text()


@pytest.mark.parametrize("sign", [[], {}, "1", 7])
def test_a_sign_that_is_none_is_no_verdict(tmp_path, weighed, sign):
    found = judge(write(tmp_path / "run", signed(weighed, sign, sign)), {})
    assert found.headline == "The value of this policy cannot be estimated from the log"


@pytest.mark.usefixtures("blank_pictures")
def test_of_an_earlier_step_it_is_no_verdict(tmp_path, weighed):
    run = write(tmp_path / "run", signed(weighed, 1, 1), step=20)
    found = judge(run, {})
    assert found.headline == "The value of this policy is not known"
    assert "prudent value estimates it" in found.reasons[0]
    assert "This is of step 10. The run has continued since" in html.write_report(run.folder).read_text()


@pytest.mark.usefixtures("blank_pictures")
def test_the_page_has_every_value_with_its_interval(tmp_path, weighed):
    page = html.write_report(write(tmp_path / "run", weighed).folder).read_text()
    assert HOSTILE not in page
    text = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])))
    ours = next(row for row in weighed["policies"] if not row["run"])
    value, ends = ours["fqe"]["value"], ours["fqe"]["ci95"]
    assert f"{ours['policy']} {number(value)} ({interval(ends)})" in text
    assert "behaviour (what was logged)" in text
    assert "of 60 episodes of tabular" in text
    told = [
        "Value of each policy",
        "Gain of ",
        weighed["reading"][0],
        "Settings and versions",
    ]
    places = [text.find(part) for part in told]
    assert -1 not in places, told[places.index(-1)]
    assert places == sorted(places)
    assert "value.json" in text


def test_reasons_stand_for_what_is_not_supported(weighed):
    found = json.loads(json.dumps(weighed))
    for row in found["policies"]:
        row["wdr"] = {"value": None, "ci95": None, "unsupported": "too few of them"}
    worth, _ = value_tables(found)
    assert [row["cells"][1] for row in worth.rows[:2]] == ["unsupported", "unsupported"]
    assert "too few of them" in worth.note
    assert worth.note.count("too few of them") == 1, "the same reason once"


@pytest.mark.parametrize("damage", [{"policies": 5}, {"against": None}, {"policies": []}, {"episodes": "x"}, {}])
def test_a_damaged_file_has_no_section(tmp_path, weighed, damage):
    value = weighed | damage if damage else {}
    page = html.write_report(write(tmp_path / "run", value).folder).read_text()
    assert "Value estimated from the log" not in page


def test_promises_against_the_log_where_nothing_was_run(tmp_path):
    ours = {"run": "", "title": "seed=0", "setting": "", "starts": {"predicted": [1.0, 2.0], "fitted": [2.0, 1.0]}}
    sac = {"run": "SAC", "title": "SAC, seed=0", "setting": "", "starts": {"predicted": [5.0], "fitted": [1.0]}}
    bc = {"run": "BC", "title": "BC, seed=0", "setting": "", "starts": {}}
    run = write(tmp_path / "run", {"best": "seed=0", "policies": [ours, bc, sac, 7]})
    figure = predictions_picture(run, {})
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["CQL", "SAC"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said == ["bound held at 50 % of 2 starts", "bound held at 0 % of 1 starts"]
    assert "FQE" in figure.axes[0].get_ylabel()
    assert np.ptp([axes.get_xlim() for axes in figure.axes], axis=0).max() == 0, "on the same scale"
    for value in ({}, {"best": "seed=0", "policies": [bc]}, {"policies": 3}):
        assert predictions_picture(write(tmp_path / "none", value), {}) is None
    starts = {"starts": {"seed=0": {"predicted": [1.0], "realized": [2.0]}}}
    (run.folder / "evaluation.json").write_text(json.dumps(starts))
    realised = predictions_picture(read_run(run.folder), {})
    assert realised is not None
    assert realised.axes[0].get_ylabel() == "realised, discounted", "what was realised goes before an estimate"

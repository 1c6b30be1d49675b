"""The report is one file that is safe to open and says no more than was measured."""

import json
import shutil
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from prudent.report import write_report
from prudent.report.evaluation import evaluation_tables
from prudent.report.format import interval, number, share
from prudent.report.html import LARGEST_VIDEO
from prudent.report.verdict import judge
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]

HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>&lt;"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page(HTMLParser):
    """Tags with attributes, and the visible text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def assert_safe(page):
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "base", "svg"}
    assert all(source.startswith(("data:image/png;base64,", "data:image/gif;base64,")) for source in page.values("src"))
    assert not any(":" in target or target.startswith(("/", "\\")) for target in page.values("href"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"] == [POLICY]


def test_a_full_report(make_run):
    folder, bc = make_run(), make_run("bc", algorithm="bc", alphas=(0.0,))
    path = write_report(folder, {"BC": bc})
    page = read(path)
    assert path == folder / "report.html"
    assert_safe(page)
    # Four pictures, the newest rollout of this run and of the other.
    assert len(page.values("src")) == 6
    for expected in (
        "CQL on pendulum-mixed",
        "alpha=5, the best of 3 settings: better than the data it learned from",
        "alpha=5 was chosen among 3 settings by its return in the environment, so its figures are optimistic",
        "Mean return of alpha=5: -150.0",
        "above BC, which returns -480.0",
        "alpha=5, 3 seeds (best of 3)",
        "alpha=10, 3 seeds",
        "-214.0 to -188.0",
        "alpha=10,seed=2",
        "-164.0 to -138.0",
        "9f2c64be0a1d77e3",
        "critic learning rate",
        "2.13.0",
        "CQL, step 50,000",
    ):
        assert expected in page.text
    assert {"config.json", "metrics.jsonl", "curves.png", "checkpoints", "videos"} <= set(page.values("href"))
    # No column for what nobody has: there are no reference scores here.
    assert "score" not in page.text.split("Training")[0]
    assert "all members" not in page.text  # over three alphas: nobody's figures
    # The verdict stands before everything else.
    assert page.text.index("better than") < page.text.index("Evaluation") < page.text.index("Training")


def test_hostile_text_stays_text(make_run):
    dataset = {"name": HOSTILE, "notes": [HOSTILE], HOSTILE: HOSTILE, "mean_return": -600.0}
    summary = {
        "overall": {"return_mean": -150.0, "ci95": [-160, -140]},
        "members": {HOSTILE: {"return_mean": 1.0}},
    }
    folder = make_run(
        config={
            "algorithm": HOSTILE,
            "config": {HOSTILE: HOSTILE},
            "members": [{"name": HOSTILE}],
            "dataset": dataset,
            "env": HOSTILE,
        },
        environment={HOSTILE: HOSTILE},
        status={"state": HOSTILE, "message": HOSTILE, "step": HOSTILE},
        evaluation={"deterministic": summary},
    )
    name = '"onerror=alert(1) <b>.gif'
    shutil.copy(folder / "videos" / "step_50000.gif", folder / "videos" / name)
    page = read(write_report(folder, {HOSTILE: folder}))
    assert_safe(page)
    assert HOSTILE in page.text


@pytest.mark.usefixtures("blank_pictures")
def test_a_run_without_environment_has_no_known_worth(make_run):
    config = {"algorithm": "cql", "members": [{"name": "seed=0"}], "dataset": {"name": "logs"}, "env": None}
    folder = make_run(config=config, evaluation=None, environment=None, status=None, video=False)
    (folder / "metrics.jsonl").write_text('{"step": 1, "member": 0, "name": "seed=0", "train/critic_loss": 1.0}\n')
    page = read(write_report(folder))
    assert_safe(page)
    assert "The value of this policy is not known" in page.text
    assert "no environment" in page.text
    assert "Rollouts" not in page.text
    assert len(page.values("src")) == 2  # the curves and the data


def test_a_bare_config_is_enough(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert "not known" in read(write_report(tmp_path)).text


@pytest.mark.usefixtures("blank_pictures")
def test_divergence_is_in_the_verdict(make_run):
    folder = make_run(alphas=(5.0,), seeds=(0, 1))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50001, "member": 1, "name": "seed=1", "train/critic_loss": null, "eval/return": null}\n')
        file.write('{"step": 50002, "mem')
    verdict = judge(read_run(folder), {})
    assert verdict.tone == "bad"
    assert "Member seed=1 diverged at step 50,001" in " ".join(verdict.reasons)
    assert "seed=1 diverged" in read(write_report(folder)).text


@pytest.mark.usefixtures("blank_pictures")
def test_large_videos_are_linked_not_embedded(make_run):
    folder = make_run()
    pictures = read(write_report(folder)).values("src")
    with (folder / "videos" / "step_60000.gif").open("wb") as file:
        file.write(b"GIF89a")
        file.truncate(LARGEST_VIDEO + 1)
    page = read(write_report(folder))
    assert any(one.startswith("data:image/gif") for one in pictures)
    assert page.values("src") == [one for one in pictures if not one.startswith("data:image/gif")]
    assert "videos" in page.values("href")


def test_the_promise_is_held_against_the_policy_the_critics_value(make_run):
    merged = {"overall": {"return_mean": -150.0, "lower_bound_share": 0.97}, "members": {}}
    alone = {"overall": {"return_mean": -150.0, "lower_bound_share": None}, "members": {}}
    run = read_run(make_run(evaluation={"step": 7, **merged, "deterministic": alone, "stochastic": merged}))
    assert "lower bound at 97 %" in " ".join(judge(run, {}).reasons)
    assert run.summary()[1] == "evaluation.json, step 7"


@pytest.mark.usefixtures("blank_pictures")
def test_one_seed_is_said_to_be_one(make_run):
    assert "one seed says nothing about another" in read(write_report(make_run(alphas=(5.0,), seeds=(0,)))).text


def overall(mean=None, ends=None, kept=None):
    return {"overall": {"return_mean": mean, "ci95": ends, "lower_bound_share": kept}, "members": {}}


def write_bare(folder, evaluation, data=-600.0, state="finished"):
    folder.mkdir()
    config = {"algorithm": "cql", "dataset": {"name": "d", "mean_return": data}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evaluation.json").write_text(json.dumps({"deterministic": evaluation}))
    (folder / "status.json").write_text(json.dumps({"state": state, "message": "why"}))
    return read_run(folder)


@pytest.mark.parametrize(
    ("evaluation", "data", "tone", "headline"),
    [
        (overall(-150, [-160, -140]), -600, "good", "Better than the data"),
        (overall(-590, [-620, -560]), -600, "open", "Not distinguishable"),
        (overall(-900, [-950, -850]), -600, "bad", "Worse than the data"),
        (overall(-700, [-160, -140]), -600, "open", "Not distinguishable"),
        (overall(-150), -600, "open", "Above the mean of the data, without"),
        (overall(-900), -600, "bad", "Below the mean of the data, without"),
        (overall(-150, [-160, -140]), None, "open", "the return of the data is not known"),
        (overall(None, [-160, -140]), -600, "open", "not known"),
        (overall(float("nan")), -600, "open", "not known"),
    ],
)
def test_the_verdict_against_the_data(tmp_path, evaluation, data, tone, headline):
    verdict = judge(write_bare(tmp_path / "run", evaluation, data), {})
    assert verdict.tone == tone
    assert headline in verdict.headline


@pytest.mark.parametrize(
    ("theirs", "tone", "said"),
    [
        (overall(-480, [-500, -460]), "good", "above BC"),
        (overall(-145, [-170, -120]), "open", "not clearly different from BC"),
        (overall(-100, [-110, -90]), "bad", "below BC"),
        (overall(-100), "open", "Without an interval for both it is not compared with BC"),
        (overall(None), "good", ""),
    ],
)
def test_the_verdict_against_another_run(tmp_path, theirs, tone, said):
    run = write_bare(tmp_path / "run", overall(-150, [-160, -140]))
    verdict = judge(run, {"BC": write_bare(tmp_path / "bc", theirs)})
    assert verdict.tone == tone
    assert said in " ".join(verdict.reasons)


def grid(**settings):
    """An evaluation of several settings: name=(mean, interval); pooled, it is far above all of them."""
    made = {name: overall(*figures)["overall"] for name, figures in settings.items()}
    return {**overall(999.0, [998, 1000]), "settings": made}


def test_the_verdict_is_about_the_best_setting_and_says_that_it_was_chosen(tmp_path):
    evaluation = grid(a=(-700, [-710, -690]), b=(-150, [-160, -140]), c=(None, None))
    verdict = judge(write_bare(tmp_path / "run", evaluation), {})
    assert verdict.tone == "good"
    assert verdict.headline == "b, the best of 3 settings: better than the data it learned from"
    assert verdict.reasons[0] == (
        "Mean return of b: -150.0; the episodes of the data have -600.0. IQM -, 95 % interval -160.0 to -140.0."
    )
    assert verdict.reasons[1].startswith("b was chosen among 3 settings by its return in the environment")
    assert "optimistic" in verdict.reasons[1]
    assert "999" not in " ".join(verdict.reasons)


def test_another_run_stands_with_its_best_setting(tmp_path):
    run = write_bare(tmp_path / "run", overall(-150, [-160, -140]))
    other = write_bare(tmp_path / "bc", grid(a=(-700, [-710, -690]), b=(-500, [-510, -490])))
    verdict = judge(run, {"BC": other})
    assert verdict.tone == "good"
    assert "That is above BC, whose best setting of 2, b, returns -500.0." in verdict.reasons
    assert not any("chosen" in sentence for sentence in verdict.reasons)  # this run has one setting
    row = next(row for row in evaluation_tables(run, {"BC": other})[0].rows if row["kind"] == "other")
    assert row["name"] == "BC, b (best of 2)"
    assert "-510.0 to -490.0" in row["cells"]


def test_settings_that_all_lack_a_return_have_no_known_worth(tmp_path):
    run = write_bare(tmp_path / "run", grid(a=(None, None), b=(None, None)))
    assert judge(run, {}).headline == "The value of this policy is not known"


def test_one_seed_per_setting_is_said_to_be_one(make_run):
    reasons = judge(read_run(make_run(alphas=(1.0, 5.0), seeds=(0,))), {}).reasons
    assert "for this one policy: one seed says nothing about another" in reasons[0]


def test_an_evaluation_without_settings_gives_their_means(make_run):
    figures = {"return_mean": None, "lower_bound_share": None}
    returns = {"alpha=1,seed=0": -1.0, "alpha=1,seed=1": -3.0, "alpha=5,seed=0": -10.0, "alpha=5,seed=1": None}
    members = {name: {**figures, "return_mean": value} for name, value in returns.items()}
    summary = {"overall": {"return_mean": 7.0, "ci95": [6, 8]}, "members": members}
    run = read_run(make_run(alphas=(1.0, 5.0), seeds=(0, 1), evaluation={"deterministic": summary}))
    assert {name: row["return_mean"] for name, row in run.settings().items()} == {"alpha=1": -2.0, "alpha=5": -10.0}
    assert judge(run, {}).headline.startswith("alpha=1, the best of 2 settings: above the mean of the data")


def test_the_lower_bound_is_judged_and_rounded_down(tmp_path):
    kept = judge(write_bare(tmp_path / "kept", overall(1, [0, 2], 0.95)), {})
    broken = judge(write_bare(tmp_path / "broken", overall(1, [0, 2], 0.949)), {})
    assert "predict no more than the policy earns" in " ".join(kept.reasons)
    assert "94 % of the start states, less than 95 %: do not rely" in " ".join(broken.reasons)


def test_an_unfinished_run_says_so(tmp_path):
    verdict = judge(write_bare(tmp_path / "run", overall(1), state="failed"), {})
    assert "The run is not finished (failed). why" in verdict.reasons


def test_figures_in_words():
    assert [number(x) for x in (3671.6, -151.66, 0.01234, 0, 3, 1e-7, 2e12, None, float("nan"), "7", True)] == [
        "3,671.6",
        "-151.7",
        "0.0123",
        "0.0",
        "3",
        "1.00e-07",
        "2.000e+12",
        "-",
        "-",
        "-",
        "-",
    ]
    assert [share(x) for x in (1.0, 0.996, 0.29, 0.0, None)] == ["100 %", "99 %", "29 %", "0 %", "-"]
    assert [interval(x) for x in ([-1.0, 20.0], [1, None], None, 3)] == ["-1 to 20.0", "-", "-", "-"]


def test_the_template_is_package_data():
    assert files("prudent.report").joinpath("report.html.j2").is_file()


@pytest.mark.usefixtures("blank_pictures")
def test_only_conservative_critics_are_called_so(make_run):
    small = {"seeds": (0,), "video": False}
    cql, other = make_run(alphas=(5.0,), **small), make_run("bc", algorithm="bc", alphas=(0.0,), **small)
    assert "what makes the critics conservative" in write_report(cql).read_text()
    assert "conservative" not in write_report(other).read_text().partition("<body>")[2]

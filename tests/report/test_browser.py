"""The report in a real browser: it is drawn, complains of nothing, asks for nothing, runs nothing of a stranger's."""

import io
import json

import pytest
from PIL import Image, ImageStat

import prudent
from benchmarks import known
from helpers.browser import DESKTOP, PHONE, PROGRAM, Browser
from prudent import algorithms
from prudent.engine.members import grid
from prudent.engine.population import Population
from prudent.engine.scaling import Scaling
from prudent.report import write_report

pytest_plugins = ["helpers.report_fixtures"]

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium here (Debian: apt install chromium)")

HOSTILE = (
    "<img src=x onerror=\"window.owned=1\">\"><script>window.owned=1;document.title='owned'</script>' onload='owned=1"
)
FACTS = {
    "owned": "'owned' in window || document.title == 'owned'",
    "scripts": "document.scripts.length",
    "undrawn": "[...document.images].filter(i => !i.complete || !i.naturalWidth).length",
    "images": "document.images.length",
    "wider": "document.documentElement.scrollWidth - window.innerWidth",
    "heading": "document.querySelector('h1').textContent",
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


def assert_shown(shown, images):
    with Image.open(io.BytesIO(shown.png)) as picture:
        spread = max(ImageStat.Stat(picture.convert("RGB")).stddev)
    assert spread > 10, "the screenshot is empty"
    assert (shown.complaints, shown.requests, shown.dialogs) == ([], [], [])
    assert not shown.facts["owned"], "something of a stranger's ran"
    assert shown.facts["scripts"] == 0
    assert (shown.facts["images"], shown.facts["undrawn"]) == (images, 0)
    assert shown.facts["wider"] <= 0, "the page scrolls sideways"


def test_a_comparison_is_drawn_on_a_desk_and_on_a_phone(make_run, browser):
    folder = make_run(alphas=(1.0, 5.0), seeds=(0, 1))
    path = write_report(folder, {"BC": make_run("bc", algorithm="bc", alphas=(0.0,))})
    for size in (DESKTOP, PHONE):
        assert_shown(browser.show(path, size, FACTS), images=6)


def test_a_run_that_was_only_weighed_by_its_log(tmp_path, browser):
    problem = known.quadratic(0)
    data = problem.log(20, 0).relabelled(name=HOSTILE)
    members = grid(algorithms.get("cql").Config(hidden=(8,)), {"alpha": [1.0, 5.0]}, [0])
    agent = Population("cql", members, data.spec, Scaling.fit(data, True))
    quick = {"members": 2, "folds": 2, "n_bootstrap": 0, "hidden": (), "behaviour_steps": 20, "max_outside": 1.0}
    value = prudent.value(agent, data, compare={HOSTILE: problem.behaviour}, **quick)
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"algorithm": "cql", "members": [{"name": name} for name in agent.names], "dataset": {"name": HOSTILE}}
    for name, content in (("config", config), ("value", {"step": None, **value.to_json()})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    path = write_report(folder)
    assert "Value estimated from the log" in path.read_text()
    for size in (DESKTOP, PHONE):
        assert_shown(browser.show(path, size, FACTS), images=1)


def test_a_hostile_name_does_nothing(make_run, browser):
    config = {"algorithm": "cql", "members": [{"name": HOSTILE}], "env": HOSTILE}
    config["dataset"] = {"name": HOSTILE, "mean_return": -600.0, "notes": [HOSTILE], HOSTILE: HOSTILE}
    folder = make_run(alphas=(5.0,), seeds=(0,), config=config, environment={HOSTILE: HOSTILE})
    shown = browser.show(write_report(folder, {HOSTILE: folder}), ask=FACTS)
    assert_shown(shown, images=6)
    assert shown.facts["heading"] == f"CQL on {HOSTILE}"


def test_what_a_page_does_is_noticed(tmp_path, browser):
    page = tmp_path / "page.html"
    page.write_text(
        "<title>a</title><h1>b</h1><img src='http://127.0.0.1:9/x.png' onerror='window.owned=1'>"
        "<script>console.error('c'); alert('d')</script><div style='width: 3000px'>e</div>"
    )
    shown = browser.show(page, ask=FACTS)
    assert shown.requests == ["http://127.0.0.1:9/x.png"]
    assert "console.error" in shown.complaints
    assert shown.dialogs == ["d"]
    assert shown.facts["owned"]
    assert shown.facts["wider"] > 1000
    assert shown.facts["undrawn"] == 1

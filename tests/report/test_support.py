"""The picture of support, and its place in the report."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.patches import leave_pictures_blank
from prudent.report import html
from prudent.report.figures import write_figures
from prudent.report.support import draw_support, run_support_picture, support_picture
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]


def figures(**changes):
    """What ``support.json`` holds, as far as the report reads it."""
    edges = np.linspace(0, 2, 41)
    logged, policy = (np.exp(-((edges[:-1] - middle) ** 2) * 4) for middle in (0.5, 0.9))
    found = {
        "dataset": "pendulum-mixed",
        "level": 0.95,
        "overall": {"outside": 0.3},
        "thresholds": {"decision": {"threshold": 1.0, "strict": 1.3}},
        "histogram": {
            "edges": edges.tolist(),
            "logged": (logged / logged.sum()).tolist(),
            "policy": (policy / policy.sum()).tolist(),
        },
        "reading": ["30.0 % of the decisions lie outside the data.", "<script>alert(1)</script>"],
    }
    return {**found, **changes}


def test_bars_beyond_the_threshold_are_marked():
    found = figures()
    (axes,) = support_picture(found).axes
    outside = axes.patches[-1].get_data()
    edges, heights = outside.edges, outside.values
    assert (heights[edges[:-1] < 1.0] == 0).all()
    np.testing.assert_allclose(heights[edges[:-1] >= 1.0], np.array(found["histogram"]["policy"])[edges[:-1] >= 1.0])
    assert "30.0 %" in axes.get_title(loc="left")
    assert [line.get_xdata()[0] for line in axes.lines] == [1.0, 1.3]


def test_the_picture_is_small_and_not_empty(tmp_path):
    path = draw_support(figures(), tmp_path / "support.png")
    assert 5_000 < path.stat().st_size < 60_000
    with Image.open(path) as picture:
        assert len(picture.convert("RGB").getcolors(100_000)) > 20


def test_a_log_too_small_for_the_strict_threshold():
    (axes,) = support_picture(figures(thresholds={"decision": {"threshold": 1.0, "strict": None}})).axes
    assert len(axes.lines) == 1


def test_the_report_has_a_section_where_the_run_tells(make_run, monkeypatch):
    folder = make_run()
    with monkeypatch.context() as patch:
        leave_pictures_blank(patch)
        assert "Inside or outside" not in html.write_report(folder).read_text()
        (folder / "support.json").write_text(json.dumps(figures()))
        page = html.write_report(folder).read_text()
    assert "<h2>Inside or outside the data</h2>" in page
    assert '<img class="support" src="data:image/png;base64,' in page
    assert "<li>30.0 % of the decisions lie outside the data.</li>" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert set(write_figures(folder)) == {"curves", "eval_returns", "promises", "support", "data"}


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize(
    "changes",
    [
        {"histogram": None},
        {"histogram": {"edges": [0, 1], "logged": [1.0, 2.0], "policy": [1.0]}},
        {"histogram": {"edges": [0, 1], "logged": ["a"], "policy": [1.0]}},
        {"thresholds": []},
        {"overall": {"outside": None}},
        {"thresholds": {"decision": {"threshold": 1.0, "strict": "high"}}},
    ],
)
def test_what_cannot_be_drawn_is_told_in_words_alone(make_run, changes):
    folder = make_run(video=False)
    (folder / "support.json").write_text(json.dumps(figures(**changes)))
    assert run_support_picture(read_run(folder)) is None
    page = html.write_report(folder).read_text()
    assert "30.0 % of the decisions" in page
    assert 'class="support"' not in page

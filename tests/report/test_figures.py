"""The pictures show the right figures, stay small, and take whatever a run has."""

import math
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from prudent.report import figures, style
from prudent.runs.metrics import JsonlLogger
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]


def minimal_run(folder, names, events, config="{}"):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config)
    with JsonlLogger(folder / "metrics.jsonl", names) as logger:
        for step, metrics in events:
            logger.log(step, metrics)
    return folder


def test_pictures_are_small_and_leave_matplotlib_alone(make_run):
    folder, bc = make_run(), make_run("bc", algorithm="bc", alphas=(0.0,))
    before = dict(mpl.rcParams)
    written = figures.write_figures(folder, {"BC": bc})
    assert dict(mpl.rcParams) == before
    assert {path.name for path in written.values()} == {"curves.png", "eval_returns.png", "promises.png", "data.png"}
    for path in written.values():
        assert path.stat().st_size < 200_000
        with Image.open(path) as picture:
            assert picture.width > (500 if path.stem == "promises" else 1000)
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20
    assert sorted(p.suffix for p in folder.iterdir() if p.name.startswith(".")) == []


def test_lines_are_means_and_bands_reach_from_seed_to_seed(tmp_path):
    names = ["alpha=1,seed=0", "alpha=1,seed=1", "alpha=5,seed=0"]
    events = [(0, {"eval/return": [0.0, 2.0, 7.0]}), (10, {"eval/return": [1.0, 5.0, math.nan]})]
    events += [(20, {"eval/return": [2.0, math.nan, 9.0]})]
    config = '{"algorithm": "cql", "dataset": {"name": "d", "mean_return": 4.5}}'
    run = read_run(minimal_run(tmp_path / "run", names, events, config))
    figure = figures.eval_returns(run, {})
    assert figure is not None
    axes = figure.axes[0]
    one, five, data = axes.lines
    np.testing.assert_array_equal(one.get_xydata(), [[0, 1], [10, 3], [20, 2]])
    np.testing.assert_array_equal(five.get_xydata(), [[0, 7], [20, 9]])
    assert list(data.get_ydata()) == [4.5, 4.5]
    (band,) = axes.collections
    assert band.get_datalim(axes.transData).get_points()[:, 1].tolist() == [0, 5]
    said = [text.get_text() for text in axes.texts]
    assert [text for text in said if text] == ["alpha 1 (2 seeds)", "alpha 5", "mean of the data"]


def test_without_evaluation_there_is_one_picture_and_without_metrics_none(tmp_path):
    run = minimal_run(tmp_path / "run", ["a"], [(10, {"train/critic_loss": 1.0})])
    assert set(figures.write_figures(run)) == {"curves"}
    empty = minimal_run(tmp_path / "empty", ["a"], [])
    assert figures.write_figures(empty) == {}
    nothing = minimal_run(tmp_path / "nan", ["a"], [(10, {"train/critic_loss": math.nan})])
    assert figures.write_figures(nothing, {"other": run}) == {}


@pytest.mark.parametrize("value", [0.0, 1e-30, -1e38, 1e38])
def test_a_single_or_extreme_figure_is_drawn(tmp_path, value):
    events = [(1, {"eval/return": value, "train/critic_loss": value, "time/ms_per_step": 1.0})]
    events += [(2, {"train/critic_loss": 1.0})]
    assert len(figures.write_figures(minimal_run(tmp_path / "run", ["a"], events))) == 2


@pytest.mark.parametrize("name", [r"$\frac$", "$", "名前", "a\nb\x00", "x" * 500, "<script>"])
def test_hostile_names_are_text(tmp_path, name):
    config = '{"algorithm": "$_", "dataset": {"name": "$\\\\bad$ \\u540d"}}'
    run = minimal_run(tmp_path / "run", [name, "b"], [(1, {"eval/return": 1.0, "train/q_data": 1.0})], config)
    assert len(figures.write_figures(run, {name: run})) == 2


def test_forty_settings_are_drawn(tmp_path):
    names = [f"alpha={i}" for i in range(40)]
    figures.write_figures(minimal_run(tmp_path / "run", names, [(1, {"eval/return": list(range(40))})]))
    assert len(set(style.colours(40))) == 40


def test_losses_over_decades_get_a_logarithmic_axis():
    assert style.wants_log([1000.0, 1.0, math.nan])
    assert not style.wants_log([1000.0, -1.0])
    assert not style.wants_log([5.0, 1.0])
    assert not style.wants_log([])


def test_labels_keep_their_distance_and_their_order():
    placed = style.spread([0.5, 0.5, 0.51, 0.1], gap=0.06)
    assert placed[3] == 0.1
    ordered = sorted(placed)
    assert all(b - a > 0.059 for a, b in pairwise(ordered))
    assert placed[2] == max(placed)


def test_steps_are_short():
    assert [style.steps_text(step) for step in (0, 500, 50_000, 1_500_000)] == ["0", "500", "50k", "1.5M"]

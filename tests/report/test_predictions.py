"""Predicted against realised value, and the picture of the data."""

import json

import numpy as np
import pytest

from prudent.data import load_dataset
from prudent.data.summary import histograms
from prudent.report import html
from prudent.report.data_picture import data_picture, data_sentences
from prudent.report.predictions import predictions_picture, start_values
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]


def write(folder, name="cql", starts=None, **changes):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"algorithm": name, "members": [{"name": "seed=0"}], **changes}))
    if starts is not None:
        (folder / "evaluation.json").write_text(json.dumps({"starts": starts}))
    return read_run(folder)


def test_a_dot_per_start_state_and_the_share_kept(tmp_path):
    rows = {"seed=0": {"predicted": [1.0, 2.0, 9.0, None], "realized": [2.0, 2.0, 3.0, 1.0]}}
    run = write(tmp_path / "cql", starts=rows)
    sac = write(tmp_path / "sac", "sac", {"seed=0": {"predicted": [5.0, 6.0], "realized": [1.0, 7.0]}})
    figure = predictions_picture(run, {"SAC": sac, "BC": write(tmp_path / "bc", "bc", {})})
    assert figure is not None
    ours, theirs = figure.axes  # none for BC, which promises nothing
    assert [axes.get_title(loc="left") for axes in (ours, theirs)] == ["CQL", "SAC"]
    assert ours.get_xlim() == theirs.get_xlim()
    _, kept, broken = ours.lines
    assert kept.get_xydata().tolist() == [[1, 2], [2, 2]]
    assert broken.get_xydata().tolist() == [[9, 3]]
    said = [text.get_text() for axes in (ours, theirs) for text in axes.texts]
    assert said == ["bound held at 66 % of 3 starts", "bound held at 50 % of 2 starts"]


def test_of_several_settings_the_best_is_shown(make_run):
    setting, predicted, realized = start_values(read_run(make_run()))
    assert setting == "alpha=5"
    assert predicted.shape == realized.shape == (60,)


@pytest.mark.parametrize(
    "rows",
    [None, 5, {}, {"seed=0": 3}, {"seed=0": {"predicted": [1]}}, {"seed=0": {"predicted": [1], "realized": ["a"]}}],
)
def test_start_states_that_are_not_known_are_not_drawn(tmp_path, rows):
    assert predictions_picture(write(tmp_path / "run", starts=rows), {}) is None


@pytest.mark.parametrize("name", ["pendulum-mixed", "cartpole-mixed"])
def test_the_data_in_histograms(tmp_path, name):
    dataset = load_dataset(name)
    found = histograms(dataset)
    assert sum(found["returns"]["counts"]) == sum(found["lengths"]["counts"]) == dataset.n_episodes
    assert found["terminated"] + found["truncated"] == dataset.n_episodes
    if dataset.spec.discrete:
        shares = np.bincount(dataset.action) / len(dataset)
        np.testing.assert_allclose(found["actions"]["shares"], shares)
    else:
        (torque,) = found["actions"]
        assert [torque["edges"][i] for i in (0, -1)] == [-2, 2]
        assert sum(torque["counts"]) == len(dataset)
        assert found["covered"] == [1.0]
    run = write(tmp_path / "run")
    (run.folder / "dataset.json").write_text(json.dumps(found))
    run = read_run(run.folder)
    assert [axes.get_title(loc="left") for axes in data_picture(run).axes] == ["Returns", "Lengths", "Action coverage"]
    assert data_sentences(run)[0].startswith(f"{dataset.n_episodes} episodes: ")


@pytest.mark.parametrize(("first", "shown"), [(None, 0), (0, 0), (1, 1), (-3, -3), ("1", 0), (1e300, 0)])
def test_bars_stand_at_the_numbers_of_the_actions(tmp_path, first, shown):
    """A run of before has no such number, and a file may hold anything."""
    run = write(tmp_path / "run")
    found = histograms(load_dataset("cartpole-mixed"))
    (run.folder / "dataset.json").write_text(
        json.dumps(found | {"actions": found["actions"] | {"first_action": first}})
    )
    bars = data_picture(read_run(run.folder)).axes[2].patches
    assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars] == [shown, shown + 1]


@pytest.mark.usefixtures("blank_pictures")
def test_the_least_covered_feature_is_named(make_run):
    page = html.write_report(make_run(video=False)).read_text()
    assert "cover 75 % of the range of an action feature on average, feature 0 the least: 50 %" in page


@pytest.mark.parametrize(
    "damage",
    [{"returns": None}, {"lengths": {"edges": [0], "counts": []}}, {"returns": {"edges": [1, 0], "counts": [2]}}],
)
def test_damaged_histograms_are_left_out(make_run, damage):
    folder = make_run(alphas=(5.0,), seeds=(0,), video=False)
    found = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(found | damage))
    assert data_picture(read_run(folder)) is None

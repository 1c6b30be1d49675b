"""What the curves of a run are said to mean."""

import json

import numpy as np
import pytest

from prudent.report import html
from prudent.report.curves import of_dataset_q, readings
from prudent.runs.metrics import JsonlLogger
from prudent.runs.read import read_run

pytest_plugins = ["helpers.report_fixtures"]

STEPS = list(range(1000, 101_000, 1000))
T = np.linspace(0.01, 1, 100)
NOISE = np.random.default_rng(3).normal(0, 1, 100)


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (
            200 * T * (T < 0.6) + (120 - 150 * (T - 0.6)) * (T >= 0.6),
            "overfitting: dataset Q falling after step 60,000",
        ),
        (-160 * (1 - np.exp(-12 * T)), "settled at -160"),  # towards a negative return: learning
        (-160 * T, "still on its way down"),
        (160 * T, "still climbs"),
        (160 * (1 - np.exp(-9 * T)), "settled at 160"),
        (
            np.where(T < 0.3, -400 * T, np.where(T < 0.6, -120 + 200 * (T - 0.3), -60 - 200 * (T - 0.6))),
            "falling after",
        ),
    ],
)
def test_dataset_q_in_words(curve, said):
    assert said in of_dataset_q(STEPS, curve)
    if "after step" not in said:  # noise moves where the peak is, not how the curve reads
        assert said in of_dataset_q(STEPS, curve + 0.01 * NOISE)


def write(folder, data_mean=-600.0, **curves):
    folder.mkdir(exist_ok=True)
    config = {"algorithm": "cql", "config": {"reward_shift": 0.0}, "dataset": {"name": "d", "mean_return": data_mean}}
    (folder / "config.json").write_text(json.dumps(config))
    with JsonlLogger(folder / "metrics.jsonl", ["seed=0"]) as log:
        for i, step in enumerate(STEPS):
            log.log(step, {f"train/{name}": [float(np.broadcast_to(c, 100)[i])] for name, c in curves.items()})
    return read_run(folder)


def test_underfitting_is_high_error_with_a_high_gap(tmp_path):
    curves = {"q_data": 100.0, "q_random": 50.0}
    told = readings(write(tmp_path / "a", **curves, cql_gap=3.0, td_error=1600.0))
    assert any(text.startswith("Underfitting: the root of the TD error ends at 40.0") for text in told)
    for name, gap, error in (("b", -3.0, 1600.0), ("c", 3.0, 400.0)):
        told = " ".join(readings(write(tmp_path / name, **curves, cql_gap=gap, td_error=error)))
        assert "nderfitting" not in told, (gap, error)
        assert "settled at 100" in told


def test_critics_that_are_not_conservative_and_values_held_down(tmp_path):
    told = " ".join(readings(write(tmp_path / "a", q_data=10.0, q_random=20.0, cql_gap=-1.0, td_error=1.0)))
    assert "the critics are not conservative" in told
    low = {"q_data": -10.0, "q_random": -20.0, "cql_gap": -1.0, "td_error": 1.0}
    assert "alpha holds the values down" in " ".join(readings(write(tmp_path / "b", data_mean=500.0, **low)))
    assert "alpha holds" not in " ".join(readings(write(tmp_path / "c", data_mean=-500.0, **low)))


def test_a_critic_that_is_not_conservative_by_design_is_not_read(tmp_path):
    assert readings(write(tmp_path / "sac", q_data=100 * T, td_error=1.0)) == []


@pytest.mark.usefixtures("blank_pictures")
def test_the_report_tells_it_per_setting(make_run):
    page = html.write_report(make_run(alphas=(1.0, 5.0))).read_text()
    assert "<h3>What the curves show</h3>" in page
    assert "<li>alpha=1: dataset Q" in page
    assert "What the curves show" not in html.write_report(make_run("bc", algorithm="bc", alphas=(0.0,))).read_text()

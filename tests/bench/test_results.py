"""What came out of a suite: results.json and its table."""

import json

import pytest
from PIL import Image

from helpers.runs import columns
from helpers.suites import sample
from prudent import bench
from prudent.bench import results
from prudent.runs.folder import read_json

pytest_plugins = ["helpers.suite_fixtures"]


def test_the_results_are_those_of_the_runs(one_cell):
    suite = bench.load(str(one_cell / "toy.toml"))
    text = bench.render(suite, one_cell / "out")
    found = json.loads((one_cell / "out" / "results.json").read_text())
    (dataset,) = found["datasets"]
    bc, cql = dataset["algorithms"]
    evaluation = read_json(one_cell / "out/log/bc/evaluation.json")
    assert {key: bc[key] for key in results.FIGURES} == {key: evaluation["overall"][key] for key in results.FIGURES}
    assert bc["seed_returns"] == [evaluation["members"][f"seed={seed}"]["return_mean"] for seed in (0, 1)]
    assert bc["seed_iqm"] == [evaluation["members"][f"seed={seed}"]["iqm"] for seed in (0, 1)]
    assert (bc["state"], bc["steps"], bc["seeds"]) == ("complete", 20, 2)
    assert (cql["state"], cql["iqm"], cql["minutes"]) == ("missing", None, None)
    assert dataset["data"]["return_mean"] == pytest.approx(columns()["rewards"].reshape(6, 40).sum(1).mean(), rel=1e-5)
    assert found["machine"]["torch"]
    assert found["machine"]["processor"]
    for shown in (text, (one_cell / "out" / "table.md").read_text()):
        assert f"{bc['return_mean']:.1f}" in shown
        assert f"{found['datasets'][0]['data']['return_mean']:.1f}" in shown
        assert "log, CQL: missing" in shown
    with Image.open(one_cell / "out" / "comparison.png") as picture:
        assert picture.width > 400


def test_minutes_are_summed_over_the_lines(tmp_path):
    lines = [(10, 60.0), (10, 60.0), (15, 120.0), (30, 600.0)]
    rows = [json.dumps({"step": step, "member": 0, "time/ms_per_step": ms}) + "\n" for step, ms in lines]
    evaluation = json.dumps({"step": 30, "member": 0, "eval/return": 1.0}) + "\n"
    (tmp_path / "metrics.jsonl").write_text("".join([*rows, evaluation]))
    assert results.minutes(tmp_path) == pytest.approx((10 * 60 + 5 * 120 + 15 * 600) / 60_000)
    assert results.minutes(tmp_path / "nowhere") is None


def test_the_table_says_what_is_known_and_no_more():
    lines = results.markdown(sample()).splitlines()
    head = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert "score" not in head, "a column without figures"
    table = [dict(zip(head, (c.strip() for c in line.strip("|").split("|")), strict=True)) for line in lines[2:7]]
    assert [r["policy"] for r in table] == ["**one: the data**", "CQL", "BC", "SAC", "**two: the data**"]
    assert (table[0]["return"], table[4]["return"]) == ("3.5", "-")
    assert (table[1]["predicted"], table[1]["realised"], table[1]["bound held"]) == ("2.0", "3.0", "0%")
    assert table[2]["realised"] == "-", "a realised value without a prediction beside it"
    assert table[3]["IQM"] == "-"
    assert "one, SAC: 1 of 2 seeds diverged" in lines
    assert "torch 1 and 2" in lines[-1]
    assert max(len(line) for line in results.text(sample()).splitlines()) <= 120

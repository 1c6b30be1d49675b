"""The proof runs, goes on where it stopped, and adds up what it measured; and what gets chosen is no accident.

Its figures are in docs/trust.md.
"""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def proof(tmp_path, monkeypatch):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "tune_proof.py"
    specification = importlib.util.spec_from_file_location("tune_proof", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "tune.json")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "tune_regret.png")
    return module


@pytest.fixture
def small(proof, monkeypatch):
    """All of it in a moment, its figures worth nothing."""
    monkeypatch.setattr(proof, "STEPS", 20)
    monkeypatch.setattr(proof, "ALPHAS", (0.1, 10.0))
    monkeypatch.setattr(proof, "RANKING", replace(proof.RANKING, steps=20, behaviour_steps=20))
    monkeypatch.setattr(proof, "FINAL", replace(proof.FINAL, steps=20, n_bootstrap=2, behaviour_steps=20))
    monkeypatch.setattr(proof, "LEAVING", replace(proof.LEAVING, behaviour_steps=20))
    return proof


def test_it_goes_on_where_it_stopped(small):
    small.main(["--problems", "1"])
    first = json.loads(small.RESULTS.read_text(encoding="utf-8"))
    assert [(row["kind"], row["index"]) for row in first["problems"]] == [("leaving", 0), ("regret", 0)]
    small.main(["--problems", "2"])
    second = json.loads(small.RESULTS.read_text(encoding="utf-8"))
    assert all(row in second["problems"] for row in first["problems"]), "done again, or lost"
    regret = second["summary"]["regret"]["100"]
    assert regret["oracle"]["mean"] == 0
    assert 0 <= regret["tune"]["mean"] <= regret["tune"]["worst"]
    assert regret["uniform"]["problems"] == 2
    assert set(second["summary"]["skill"]) == {"0", "0.3"}
    assert small.PICTURE.stat().st_size > 3000


def test_what_is_chosen_is_better_than_any(proof, monkeypatch):
    """Two easy problems, two alphas far apart, fewer steps: a pick among them at random loses half of the gain."""
    monkeypatch.setattr(proof, "ALPHAS", (0.3, 10.0))
    monkeypatch.setattr(proof, "SEEDS", (0,))
    monkeypatch.setattr(proof, "RANKING", replace(proof.RANKING, steps=200))
    monkeypatch.setattr(proof, "FINAL", replace(proof.FINAL, steps=100, n_bootstrap=6))
    rows = [proof.one(index) for index in (4, 12)]
    assert {row["episodes"] for row in rows} == {400}
    lost = [proof.regrets(row) for row in rows]
    uniform = np.mean([own["uniform"] for own in lost])
    assert uniform > 0.2, "the problems are not what they were"
    assert np.mean([own["tune"] for own in lost]) < uniform / 2, f"choosing is no better than chance: {lost}"


def test_what_leaves_the_data_is_noticed(proof, monkeypatch):
    """Of one large log, with a smaller model: every policy that leaves it, and none that stays."""
    monkeypatch.setattr(proof, "LEAVING", replace(proof.LEAVING, hidden=(32,), lr=5e-3, behaviour_steps=300))
    row = proof.leaving(4)
    left, abstained = np.array(row["left"]), np.array(row["abstained"])
    assert (left > proof.GONE).sum() >= 4
    assert (left == 0).sum() >= 4
    assert abstained[left > 2 * proof.GONE].all(), "a policy left the data and was given a value"
    assert not abstained[left == 0].any(), "a policy within the data was refused a value"


def test_the_sums_are_right(proof):
    deploy, nothing = "deploy this policy", "the data do not support an improvement"
    rows = [
        {
            "kind": "regret", "index": k, "true": [1.0, 4.0, 2.0], "bc": 1.5, "behaviour": 1.0, "episodes": 100,
            "skill": 0.3, "chosen": {"tune": tune, "run": 2, "fqe": 1, "q": 0}, "verdict": told,
            "verdict_on_worst": nothing,
        }
        for k, (tune, told) in enumerate(((1, deploy), (None, "keep BC"), (2, deploy)))
    ]  # fmt: skip
    rows.append(
        {
            "kind": "leaving", "index": 0, "episodes": 400, "left": [0.0, 0.5, 0.05, 0.3],
            "outside": [0.04, 0.5, 0.0, 0.08], "abstained": [False, True, False, False],
        }
    )  # fmt: skip
    found = proof.summarise(rows)
    regret = found["regret"]["100"]
    assert regret["tune"]["mean"] == pytest.approx((0 + 2.5 / 3 + 2 / 3) / 3)  # the best gains 3 over the behaviour
    assert regret["uniform"]["mean"] == pytest.approx((4 - 7 / 3) / 3)
    assert regret["q"]["best_chosen"] == 0
    assert regret["tune"]["worst"] == pytest.approx(2.5 / 3)
    assert found["skill"]["0.3"]["run"]["mean"] == pytest.approx(2 / 3)
    verdicts = found["verdict"]["100"]
    assert (verdicts["wide"]["runs"], verdicts["wide"][deploy]) == (1, 1)
    assert (verdicts["slight"]["runs"], verdicts["slight"][deploy]) == (1, 1)  # 2 of 1.5, of a possible 3
    assert (verdicts["none"]["runs"], verdicts["none"]["keep BC"], verdicts["none"][nothing]) == (4, 1, 3)
    left = found["leaving"]["400"]
    assert (left["gone"]["policies"], left["gone"]["abstained"]) == (2, 0.5)
    assert left["gone"]["outside"] == {"0.03": 1.0, "0.05": 1.0, "0.1": 0.5, "0.2": 0.5}
    assert (left["stayed"]["policies"], left["stayed"]["abstained"]) == (1, 0.0)
    assert left["stayed"]["outside"]["0.03"] == 1.0

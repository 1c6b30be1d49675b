"""The proof runs, goes on where it stopped, and adds up what it measured. Its figures are in docs/trust.md."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture
def proof(tmp_path, monkeypatch):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "tune_proof.py"
    specification = importlib.util.spec_from_file_location("tune_proof", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "tune.json")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "tune_regret.png")
    monkeypatch.setattr(module, "STEPS", 60)
    monkeypatch.setattr(module, "RANKING", replace(module.RANKING, steps=60, behaviour_steps=20))
    monkeypatch.setattr(module, "FINAL", replace(module.FINAL, steps=20, n_bootstrap=2, behaviour_steps=20))
    return module


def test_it_goes_on_where_it_stopped(proof):
    proof.main(["--problems", "1"])
    first = json.loads(proof.RESULTS.read_text(encoding="utf-8"))
    assert [(row["kind"], row["index"]) for row in first["problems"]] == [("leaving", 0), ("regret", 0)]
    proof.main(["--problems", "2"])
    second = json.loads(proof.RESULTS.read_text(encoding="utf-8"))
    assert all(row in second["problems"] for row in first["problems"]), "done again, or lost"
    regret = second["summary"]["regret"]["100"]
    assert regret["oracle"]["mean"] == 0
    assert 0 <= regret["tune"]["mean"] <= regret["tune"]["worst"]
    assert regret["uniform"]["mean"] > 0
    assert second["summary"]["regret"]["400"]["tune"]["problems"] == 1
    assert proof.PICTURE.stat().st_size > 3000


def test_the_sums_are_right(proof):
    rows = [
        {
            "kind": "regret", "index": k, "true": [1.0, 4.0, 2.0], "bc": 1.5, "behaviour": 1.0, "episodes": 100,
            "chosen": {"tune": tune, "fqe": 1, "q": 0}, "verdict": verdict,
        }
        for k, (tune, verdict) in enumerate(((1, "deploy this policy"), (None, "keep BC"), (0, "deploy this policy")))
    ]  # fmt: skip
    rows.append({"kind": "leaving", "index": 0, "left": [0.0, 0.5, 0.05], "abstained": [False, True, False]})
    found = proof.summarise(rows)
    regret = found["regret"]["100"]
    assert regret["tune"]["mean"] == pytest.approx((0 + 2.5 / 3 + 1) / 3)  # the best gains 3 over the behaviour
    assert regret["uniform"]["mean"] == pytest.approx((4 - 7 / 3) / 3)
    assert regret["q"]["best_chosen"] == 0
    assert regret["tune"]["worst"] == 1
    assert found["verdict"]["deploy this policy"] == {"problems": 2, "winner_truly_better": 1}
    assert found["leaving"]["gone"] == 1
    assert found["leaving"]["gone_abstained"] == 1
    assert (found["leaving"]["stayed"], found["leaving"]["stayed_abstained"]) == (1, 0)

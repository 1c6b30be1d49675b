"""The proof runs, goes on where it stopped, and adds up what it measured. Its figures are in docs/trust.md."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture
def proof(tmp_path, monkeypatch):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "ope_proof.py"
    specification = importlib.util.spec_from_file_location("ope_proof", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "ope.json")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "images" / "ope.png")
    small = {
        kind: (make, 30, replace(settings, steps=10, n_bootstrap=2, behaviour_steps=5, min_effective=1.0))
        for kind, (make, _, settings) in module.KINDS.items()
    }
    monkeypatch.setattr(module, "KINDS", small)
    return module


def test_it_goes_on_where_it_stopped(proof, capsys):
    proof.main(["--datasets", "1"])
    first = json.loads(proof.RESULTS.read_text(encoding="utf-8"))
    assert {(row["kind"], row["index"]) for row in first["datasets"]} == {
        ("tabular", 0),
        ("quadratic", 0),
        ("long_tabular", 0),
        ("long_quadratic", 0),
        ("abstention", 0),
    }
    proof.main(["--datasets", "2", "--kinds", "tabular"])
    second = json.loads(proof.RESULTS.read_text(encoding="utf-8"))
    assert all(row in second["datasets"] for row in first["datasets"]), "done again, or lost"
    assert second["summary"]["tabular"]["wdr"]["datasets"] == 2
    assert proof.PICTURE.stat().st_size > 5000
    assert "tabular wdr" in capsys.readouterr().out


def test_figures_add_up(proof):
    found = [
        {"wdr": {"error": 0.1, "standard_error": 0.2, "covers": True}},
        {"wdr": {"error": -0.3, "standard_error": 0.2, "covers": False}},
        {"wdr": None},
    ]
    figures = proof.figures(found, "wdr")
    assert figures["datasets"] == 2
    assert figures["abstained"] == 1
    assert figures["bias"] == pytest.approx(-0.1)
    assert figures["rmse"] == pytest.approx(0.05**0.5)
    assert figures["coverage"] == 0.5

"""The benchmark runs and writes what it measured. Nothing is asserted about time."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch


@pytest.fixture
def cql_step(tmp_path, monkeypatch):
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "cql_step.py"
    specification = importlib.util.spec_from_file_location("cql_step", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def test_it_measures_pairs_and_says_on_what(cql_step, capsys):
    cql_step.main(["--rounds", "5", "--steps", "1", "--threads", "1"])
    (file,) = cql_step.RESULTS.glob("*.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["environment"]["threads"] == 1
    assert found["environment"]["torch"] == torch.__version__
    assert len(found["rounds"]) == 5
    ratio = found["step_over_products"]
    assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    shown = capsys.readouterr().out
    assert "1 threads" in shown
    assert "over products" in shown


def test_it_measures_the_plain_step_and_puts_everything_back(cql_step):
    covers, fused, prefers = cql_step.cpu.covers, cql_step.optim._fused_step, cql_step.products.prefers_onednn
    cql_step.main(["--rounds", "5", "--steps", "1", "--threads", "1", "--gradient", "sampled", "--plain", "--mkl"])
    (file,) = cql_step.RESULTS.glob("*.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert {"plain_step_ms", "mkl_step_ms"} <= found.keys()
    assert (cql_step.cpu.covers, cql_step.optim._fused_step) == (covers, fused)
    assert cql_step.products.prefers_onednn is prefers


def test_fewer_than_five_rounds_are_refused(cql_step, capsys):
    with pytest.raises(SystemExit):
        cql_step.main(["--rounds", "4"])
    assert "5 or more" in capsys.readouterr().err

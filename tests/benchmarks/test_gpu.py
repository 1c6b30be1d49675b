"""What a step needs is counted right, and everything that is measured on a GPU runs. Nothing is asserted about time."""

import pytest
import torch
from benchmarks.harness import Settings

from benchmarks import gpu
from prudent.algorithms import cql


def test_the_traffic_of_operations_whose_bytes_are_known():
    x, y = torch.ones(10, 4), torch.ones(4)
    table, rows = torch.zeros(1000, 4), torch.zeros(3, dtype=torch.int64)
    cases = {
        "several tensors changed, nothing returned": (
            lambda: torch._foreach_lerp_([x], [x], [y]),
            1,
            160 + 160 + 16 + 160,
        ),
        "a sum of broadcast": (lambda: x + y, 1, 160 + 16 + 160),
        "in place": (lambda: x.relu_(), 1, 160 + 160),
        "a view": (lambda: x.T.flatten(0, 0)[1:], 0, 0),
        "new memory": (lambda: torch.empty(5), 0, 0),
        "something read that was broadcast": (lambda: y.expand(100, 4).sum(0), 1, 16 + 16),
        "rows of a table": (lambda: table[rows], 1, 2 * 48 + 24),
    }
    for name, (act, operations, size) in cases.items():
        with gpu.Traffic() as found:
            act()
        assert (found.operations, found.bytes) == (operations, size), name


def test_a_step_needs_at_least_its_products():
    config = cql.Config(hidden=(64, 64), n_actions=2)
    one, two = gpu.needs(config, 1), gpu.needs(config, 2)
    rows = 256 * 7
    assert one.flops > 2 * 6 * rows * 64 * 64, "less than the critics' products of two hidden layers"
    assert two.flops == 2 * one.flops
    assert 0 < two.operations - one.operations < 60, "only what each member draws and steps for itself comes again"


def test_all_that_is_measured_on_a_gpu_runs():
    figures, lines = gpu.measure(torch.device("cpu"), [1], Settings(rounds=1, calls=1, small=True), steps=2)
    assert set(figures) == {"rates", "1 exact", "1 sampled"}
    for gradient in ("exact", "sampled"):
        found = figures[f"1 {gradient}"]
        assert all(ms["median"] > 0 for ms in found["ms"].values()), gradient
        assert found["breakdown"][0]["us"] >= found["breakdown"][-1]["us"], gradient
    assert any("a million in" in line for line in lines)


def test_without_a_gpu_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    monkeypatch.setattr(gpu, "needs", lambda *_: gpu.Needs(1, 2, 3))
    assert gpu.main(["--members", "1"]) == 0
    assert "times are not measured: there is no CUDA device here" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--members", "many"), ("--rounds", "0"), ("--steps", "0"), ("--steps", "30")])
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        gpu.main(words)
    assert "error" in capsys.readouterr().err

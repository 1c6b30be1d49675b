"""The benchmark of an export: each way of acting is a process of its own, whose figures are its own."""

import json
import math

from benchmarks import export


def test_a_process_says_what_it_took(tmp_path, monkeypatch):
    heavy = "held = bytearray(50_000_000)\nsum(range(2_000_000))\nact = lambda row: row\n"
    monkeypatch.setattr(export, "LOADS", {"light": "act = lambda row: row\n", "heavy": heavy})
    found = export.measure(tmp_path, rounds=1, decisions=20)
    assert set(found) == {"light", "heavy"}
    assert all(math.isfinite(value) for figures in found.values() for value in figures.values())
    assert found["heavy"]["memory_mb"] > found["light"]["memory_mb"] + 40
    assert found["heavy"]["load_s"] > found["light"]["load_s"]


def test_the_stored_figures_are_of_every_way():
    stored = json.loads(export.RESULT.read_text())["figures"]
    assert set(stored) == set(export.WAYS) == set(export.LOADS)

"""A few of the faults that ``make faults`` does by the hundred, in a process that has no threads to lose by forking."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.table import markdown

TESTS = Path(__file__).parent

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="faults are done to forked processes")


def test_a_few_faults_lose_nothing(tmp_path):
    places = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "faults", "--small", "--hooks", "--kills", "3", "--out", str(tmp_path / "found.json")],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [outcome["faults"] > 0 for outcome in found["outcomes"]] == [True] * 6
    assert found["outcomes"][0]["faults"] > 15, "too few calls of a save are seen"
    assert done.stdout.endswith(markdown(found) + "\n")


def test_the_table_adds_up():
    outcome = {"lost": 0, "silent": 1, "other": 2, "lost_steps": 7}
    found = {
        "outcomes": [{"name": "a", "faults": 1000, **outcome}, {"name": "b", "faults": 24, **outcome}],
        "ms_per_save": {"tiny": {"MB": 0.1, "median": 2.5, "longest": 9.0}},
    }
    table = markdown(found)
    assert "| a | 1,000 | 0 | 1 | 2 | 7 |" in table
    assert "| **all** | 1,024 | 0 | 2 | 4 | 7 |" in table
    assert "tiny (0.1 MB): 2.5 ms, at most 9.0" in table

"""The examples run as they stand, with fewer steps."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

from prudent import report
from prudent.data.builtin import datasets

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SERVICE = "serve.py"
"""Runs until it is stopped, and takes no steps: ``test_serve.py`` runs it."""


@pytest.mark.parametrize("path", [p for p in EXAMPLES if p.name != SERVICE], ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(datasets, "EPISODES", 3)
    monkeypatch.setattr(report, "write_report", lambda folder: folder)
    monkeypatch.setattr(sys, "argv", [str(path), "--steps", "4"])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_first_line_says_what_it_is_and_the_usage_is_right(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text is not None
    assert f"python examples/{path.name}" in text

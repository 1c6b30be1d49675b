"""Fixtures for tests of runs: name this module in ``pytest_plugins``."""

from pathlib import Path

import pytest

from helpers.runs import flags, prudent, write_log
from prudent import report


@pytest.fixture
def log(tmp_path) -> Path:
    """A readable log in a folder of its own."""
    (tmp_path / "data").mkdir()
    return write_log(tmp_path / "data" / "log.npz")


@pytest.fixture
def quick_report(monkeypatch):
    """A report without its pictures: they take longer than a tiny run."""

    def write(folder, _compare=None):
        (Path(folder) / "report.html").write_text("written")
        return Path(folder) / "report.html"

    monkeypatch.setattr(report, "write_report", write)
    assert report.write_report is write


@pytest.fixture
def run(tmp_path, log, quick_report, capsys):  # noqa: ARG001 - patches
    """A run on :func:`helpers.runs.columns` with two members, and nothing printed yet."""
    folder = tmp_path / "run"
    assert prudent("train", log, *flags("bc"), "--seeds", 0, 1, "--steps", 5, "--out", folder) == 0
    capsys.readouterr()
    return folder

"""Isolation of the data tests."""

import pytest


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No test finds a dataset by accident."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PRUDENT_DATA", raising=False)
    monkeypatch.delenv("PRUDENT_MAX_BYTES", raising=False)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(home / "minari"))
    monkeypatch.chdir(home)

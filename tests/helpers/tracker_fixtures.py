"""Fixtures for tests with trackers: everything they write is in the test's folder, and nothing of the user counts."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def _tables(tmp_path_factory):
    """A store of MLflow without runs: making its tables takes seconds."""
    from prudent.runs.trackers.mlflow_tracker import _quiet

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch, _quiet():
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_store(_tables):
    """Call it with a path, to have an empty store of MLflow there."""

    def copy(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_tables, path)

    return copy


@pytest.fixture
def tracker_home(tmp_path, monkeypatch):
    """No settings of the user's trackers; W&B's own folders below ``tmp_path``."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "home"))
    # As the trackers set them, so that monkeypatch takes them back.
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return tmp_path / "home"

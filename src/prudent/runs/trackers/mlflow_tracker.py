"""MLflow. Its store is ``mlflow.db`` beside the run folder, unless ``MLFLOW_TRACKING_URI`` names another.

The experiment is that of ``MLFLOW_EXPERIMENT_NAME``, or ``prudent``. MLflow's telemetry is off, unless
``MLFLOW_DISABLE_TELEMETRY`` says otherwise.
"""

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from prudent.runs.trackers.tracker import FAILED, FINISHED, INTERRUPTED, PROJECT, Tracked, Tracker, flat

_MOST_METRICS, _MOST_PARAMS = 1_000, 100
"""The most that one request takes, says MLflow."""
_MOST_TEXT = 5_000
_STATES = {FINISHED: "FINISHED", INTERRUPTED: "KILLED", FAILED: "FAILED"}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without deprecations inside of MLflow, and without its lines on how it makes its tables."""
    log = logging.getLogger("mlflow")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


class MlflowTracker(Tracker):
    """A run of MLflow."""

    keeps = True

    def __init__(self, run: Tracked, client: Any, run_id: str, store: str):
        super().__init__(run)
        self._client, self._run_id, self._store = client, run_id, store

    @classmethod
    def open(cls, run: Tracked) -> Self:
        """See :class:`Tracker`."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with _quiet():
            import mlflow
            from mlflow.entities import Param

            beside = run.folder.resolve().parent
            chosen = bool(os.environ.get("MLFLOW_TRACKING_URI")) or mlflow.is_tracking_uri_set()
            store = mlflow.get_tracking_uri() if chosen else f"sqlite:///{beside / 'mlflow.db'}"
            client = mlflow.MlflowClient(tracking_uri=store)
            if run.run_id is not None:
                try:
                    client.set_terminated(client.get_run(run.run_id).info.run_id, "RUNNING")
                    # Params never change, but a run may be taken further.
                    client.set_tag(run.run_id, "train.steps", str(run.config["train"].get("steps")))
                    return cls(run, client, run.run_id, store)
                except mlflow.MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
            found = client.get_experiment_by_name(name)
            place = None if chosen else (beside / "mlflow-artifacts").as_uri()
            experiment = client.create_experiment(name, place) if found is None else found.experiment_id
            run_id = client.create_run(experiment, run_name=run.folder.resolve().name).info.run_id
            params = [Param(key, str(value)[:_MOST_TEXT]) for key, value in flat(run.config).items()]
            for first in range(0, len(params), _MOST_PARAMS):
                client.log_batch(run_id, params=params[first : first + _MOST_PARAMS])
            return cls(run, client, run_id, store)

    @property
    def run_id(self) -> str:
        """See :class:`Tracker`."""
        return self._run_id

    @property
    def place(self) -> str:
        """See :class:`Tracker`."""
        return f"mlflow: run {self._run_id} in {self._store}"

    def send(self, lines: Mapping[int, Mapping[str, float]]) -> None:
        """See :class:`Tracker`."""
        with _quiet():
            from mlflow.entities import Metric

            now = int(1000 * time.time())
            metrics = [Metric(name, x, now, step) for step, line in lines.items() for name, x in line.items()]
            for first in range(0, len(metrics), _MOST_METRICS):
                self._client.log_batch(self._run_id, metrics=metrics[first : first + _MOST_METRICS])

    def attach(self, paths: Sequence[Path]) -> None:
        """See :class:`Tracker`."""
        with _quiet():
            for path in paths:
                parent = path.parent.relative_to(self.run.folder).as_posix()
                self._client.log_artifact(self._run_id, str(path), None if parent == "." else parent)

    def end(self, state: str) -> None:
        """See :class:`Tracker`."""
        with _quiet():
            self._client.set_terminated(self._run_id, _STATES[state])

"""Runs with real trackers: W&B offline and MLflow with a local store; what they wrote is read back."""

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest

from helpers import wandb_files
from helpers.runs import flags, prudent, tree, write_log
from prudent import CQL, load_dataset
from prudent.errors import ConfigError
from prudent.runs import loggers
from prudent.runs.metrics import METRIC_NAMES, read_metrics
from prudent.runs.trackers import mlflow_tracker, wandb_tracker

pytest_plugins = ["helpers.run_fixtures", "helpers.tracker_fixtures"]

pytestmark = pytest.mark.usefixtures("tracker_home")
EVERY = ["--log-every", 10, "--checkpoint-every", 20]


def wandb_runs(folder):
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def by_step(run, member=0, after=-1):
    """The figures of a run folder by step, as trackers should have them."""
    found = {}
    for row in read_metrics(run / "metrics.jsonl"):
        if row["member"] == member and row["step"] > after:
            figures = {name: value for name, value in row.items() if "/" in name}
            found.setdefault(row["step"], {}).update(figures)
    return found


def wandb_lines(path):
    return {
        row["_step"]: {k: v for k, v in row.items() if k.split("/")[0] in ("train", "eval", "time", "init", "guard")}
        for row in wandb_files.history(path)
    }


def store_of(folder):
    with mlflow_tracker._quiet():
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("prudent")
        assert experiment is not None
        return client, client.search_runs([experiment.experiment_id])


def mlflow_lines(client, run_id, names):
    found = {}
    for name in names:
        for metric in client.get_metric_history(run_id, name):
            assert name not in found.setdefault(metric.step, {}), "a double point"
            found[metric.step][name] = metric.value
    return found


def test_a_run_and_its_resumption_are_one_run_in_both_trackers(log, tmp_path, capsys, mlflow_store):
    run = tmp_path / "runs" / "first"
    mlflow_store(run.parent / "mlflow.db")
    words = [*flags("cql"), "--steps", 50, *EVERY, "--env", "Pendulum-v1", "--eval-every", 30, "--eval-episodes", 1]
    assert prudent("train", log, *words, "--logger", "wandb", "mlflow", "tensorboard", "--out", run) == 0
    said = capsys.readouterr().out
    (first,) = wandb_runs(run.parent)
    assert f"wandb: nothing is sent; to send it: wandb sync {first.parent}" in said
    assert wandb_lines(first) == by_step(run)
    assert list(run.glob("events.tensorboard/*/events*"))
    assert prudent("train", "--resume", run, "--steps", 80) == 0

    # W&B: two files of one run, each step once.
    one, two = wandb_runs(run.parent)
    assert {record.run_id for path in (one, two) for record in wandb_files.of_kind(path, "run")} == {
        json.loads((run / "trackers.json").read_text())["wandb"]["id"]
    }
    assert wandb_lines(two) == by_step(run, after=50)
    assert {name for line in wandb_lines(one).values() for name in line if not name.startswith("init/")} <= {
        *METRIC_NAMES
    }
    record = wandb_files.of_kind(one, "run")[0]
    assert (record.display_name, record.project) == ("first", "prudent")
    config = {item.key: json.loads(item.value_json) for item in record.config.update}
    assert config["algorithm"] == "cql"
    assert config["config"]["hidden"] == [8, 8]
    assert "sources" not in config["train"]
    pictures = {name.split("/")[1] for name in wandb_files.history(two)[-1] if name.startswith("pictures/")}
    assert pictures >= {"curves", "eval_returns", "data"}
    (artifact,) = wandb_files.of_kind(two, "artifact")
    contents = {item.path: item.local_path for item in artifact.manifest.contents}
    assert contents.keys() >= {"report.html", "curves.png", "config.json", "evaluation.json"}
    with open(contents["report.html"], "rb") as file:
        assert file.read() == (run / "report.html").read_bytes()
    assert [record.exit_code for record in wandb_files.of_kind(two, "exit")] == [0]

    # MLflow: one run.
    client, (found,) = store_of(run.parent)
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert found.data.params["config.hidden"] == "[8, 8]"
    assert (found.data.params["train.steps"], found.data.tags["train.steps"]) == ("50", "80")
    expected = by_step(run)
    names = {name for line in expected.values() for name in line}
    assert mlflow_lines(client, found.info.run_id, names) == expected
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert files >= {"report.html", "curves.png", "config.json", "evaluation.json"}
    with mlflow_tracker._quiet():
        kept = client.download_artifacts(found.info.run_id, "report.html", str(tmp_path))
    with open(kept, "rb") as file:
        assert hashlib.sha256(file.read()).digest() == hashlib.sha256((run / "report.html").read_bytes()).digest()
    # A run folder with trackers is as good as any other: no links in it, and it can be resumed again.
    assert prudent("report", run) == 0


@pytest.mark.parametrize("tracker", [wandb_tracker.WandbTracker, mlflow_tracker.MlflowTracker])
@pytest.mark.usefixtures("quick_report")
def test_a_tracker_that_fails_does_not_end_the_training(tracker, log, tmp_path, monkeypatch, capsys, mlflow_store):
    calls = []
    mlflow_store(tmp_path / "runs" / "mlflow.db")

    def send(_self, lines):
        calls.append(lines)
        raise ConnectionError("the server\nis gone")

    run, name = tmp_path / "runs" / "first", "wandb" if tracker is wandb_tracker.WandbTracker else "mlflow"
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "send", send)
        assert prudent("train", log, *flags("bc"), "--steps", 60, *EVERY, "--logger", name, "--out", run) == 0
    assert len(calls) == 1
    said = capsys.readouterr().out
    reason = f"tracker failed at step 20: {name} gets nothing more, metrics.jsonl has all figures: ConnectionError: the"
    assert said.count(reason) == 1
    assert said.splitlines()[-1].endswith("; not all went well: tracker failed")
    assert [row["step"] for row in read_metrics(run / "metrics.jsonl")] == [10, 20, 30, 40, 50, 60]
    # Once it works again, a resumed run hands over what is missing.
    assert prudent("train", "--resume", run, "--steps", 80) == 0
    expected = by_step(run)
    if name == "mlflow":
        client, (found,) = store_of(run.parent)
        assert mlflow_lines(client, found.info.run_id, {n for line in expected.values() for n in line}) == expected
    else:
        assert wandb_lines(wandb_runs(run.parent)[-1]) == expected


def test_a_tracker_that_cannot_begin_does_not_end_the_training(log, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{log}/store.db")  # in a folder that is a file
    run = tmp_path / "runs" / "first"
    assert prudent("train", log, *flags("bc"), "--steps", 10, "--logger", "mlflow", "--out", run) == 0
    assert "tracker failed at step 0: mlflow gets nothing more" in capsys.readouterr().out
    assert json.loads((run / "status.json").read_text())["incidents"][0]["kind"] == "tracker failed"


@pytest.mark.usefixtures("quick_report")
def test_a_population_has_a_figure_for_each_member(log, tmp_path, mlflow_store):
    run = tmp_path / "runs" / "grid"
    mlflow_store(run.parent / "mlflow.db")
    words = [*flags("td3_bc"), "--seeds", 0, 1, "--steps", 20, *EVERY]
    assert prudent("train", log, *words, "--logger", "mlflow", "--out", run) == 0
    client, (found,) = store_of(run.parent)
    for member in (0, 1):
        lines = {step: line["train/actor_loss"] for step, line in by_step(run, member).items()}
        history = client.get_metric_history(found.info.run_id, f"train/actor_loss/seed_{member}")
        assert {metric.step: metric.value for metric in history} == lines
        assert all(math.isfinite(value) for value in lines.values())


@pytest.mark.usefixtures("quick_report")
def test_the_users_own_store_and_experiment_are_taken(log, tmp_path, monkeypatch, mlflow_store):
    mlflow_store(tmp_path / "own.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'own.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "stock")
    monkeypatch.chdir(tmp_path)  # MLflow puts the files of a store in SQLite where the program runs
    data = load_dataset(log)
    CQL(hidden=(8, 8), batch_size=16).fit(data, 10, tmp_path / "runs" / "a", logger=["mlflow"], progress=False)
    assert not (tmp_path / "runs" / "mlflow.db").exists()
    with mlflow_tracker._quiet():
        import mlflow

        client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'own.db'}")
        experiment = client.get_experiment_by_name("stock")
        assert experiment is not None
        assert [run.info.run_name for run in client.search_runs([experiment.experiment_id])] == ["a"]


def test_fit_refuses_loggers_without_a_folder_or_of_the_wrong_kind(tmp_path):
    data = load_dataset(write_log(tmp_path / "log.npz"))
    with pytest.raises(ConfigError, match="logger: only with out"):
        CQL().fit(data, 10, logger=["wandb"])
    with pytest.raises(ConfigError, match="logger must be a list of names, got 'wandb'"):
        CQL().fit(data, 10, tmp_path / "run", logger="wandb")
    with pytest.raises(ConfigError, match="no logger is called 'mflow': did you mean mlflow"):
        CQL().fit(data, 10, tmp_path / "run", logger=["mflow"])
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick_report")
def test_fine_tuning_has_trackers_too(log, tmp_path, mlflow_store):
    mlflow_store(tmp_path / "runs" / "mlflow.db")
    run, online = tmp_path / "runs" / "offline", tmp_path / "runs" / "online"
    assert prudent("train", log, *flags("td3_bc"), "--steps", 10, "--out", run) == 0
    words = ["--env", "Pendulum-v1", "--steps", 20, "--start-after", 10, "--log-every", 5, "--eval-episodes", 1]
    assert prudent("finetune", run, *words, "--logger", "mlflow", "--out", online) == 0
    client, (found,) = store_of(run.parent)
    expected = by_step(online)
    assert set(expected) == {10, 15, 20}
    assert mlflow_lines(client, found.info.run_id, {n for line in expected.values() for n in line}) == expected
    assert found.data.params["finetuned_from.step"] == "10"


@pytest.mark.parametrize("verb", ["train", "bench", "resume", "finetune"])
@pytest.mark.usefixtures("quick_report")
def test_a_logger_that_is_missing_ends_before_anything_is_written(verb, log, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    if verb in ("resume", "finetune"):
        assert prudent("train", log, *flags("td3_bc"), "--steps", 10, "--out", run) == 0
        words = ["train", "--resume", run, "--steps", 20]
        if verb == "finetune":
            words = ["finetune", run, "--env", "Pendulum-v1", "--steps", 20, "--out", tmp_path / "online"]
    elif verb == "bench":
        words = ["bench", "quick", "--only", "bc", "--out", run]
    else:
        words = ["train", log, *flags("bc"), "--out", run]
    before = tree(tmp_path)
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    capsys.readouterr()
    assert prudent(*words, "--logger", "wandb") == 2
    assert capsys.readouterr().err.splitlines() == [
        "prudent: logger wandb is not installed: pip install 'prudent[wandb]'"
    ]
    assert tree(tmp_path) == before


@pytest.mark.usefixtures("quick_report")
def test_data_may_follow_the_loggers(log, tmp_path):
    assert prudent("train", "--logger", "jsonl", log, *flags("bc"), "--steps", 10, "--out", tmp_path / "run") == 0
    assert not (tmp_path / "run" / "events.tensorboard").exists()


_NO_NETWORK = """
import socket, sys

def refuse(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        print("SENT TO", address, file=sys.stderr)
        raise OSError("no network")
    return real(self, address, *rest)

real = socket.socket.connect
socket.socket.connect = refuse
real_lookup = socket.getaddrinfo

def lookup(host, *rest, **more):
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        print("LOOKED UP", host, file=sys.stderr)
        raise OSError("no network")
    return real_lookup(host, *rest, **more)

socket.getaddrinfo = lookup
from prudent.cli import main
main(sys.argv[1:])
"""


def test_nothing_is_sent_anywhere(log, tmp_path):
    run = tmp_path / "runs" / "first"
    words = ["train", log, *flags("bc"), "--steps", 20, *EVERY, "--logger", "wandb", "mlflow", "--out", run]
    unset = ("WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY", "CI", "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", _NO_NETWORK, *map(str, words)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, "SENT TO" in done.stderr, "LOOKED UP" in done.stderr) == (0, False, False), done.stderr
    assert len(wandb_runs(run.parent)) == 1
    assert (run.parent / "mlflow.db").exists()

"""The run folder: what is in it, and what is said when it is not what it should be."""

import json
import math

import pytest

from helpers.runs import TINY, flags, prudent, task_of, write_log
from prudent import algorithms
from prudent.data import load_dataset
from prudent.engine.members import grid
from prudent.engine.options import Options
from prudent.engine.population import new_population
from prudent.errors import ConfigError, PrudentError
from prudent.runs import begin, folder
from prudent.training import start
from prudent.training.resume import resume

pytest_plugins = ["helpers.run_fixtures"]


def test_a_run_folder_holds_what_is_documented(log, tmp_path):
    run = tmp_path / "run"
    words = [*flags("cql"), "--alpha", 1, 5, "--steps", 4, "--env", "Pendulum-v1"]
    words += ["--eval-every", 2, "--eval-episodes", 1]
    assert prudent("train", log, *words, "--video", "--out", run) == 0
    assert {path.name for path in run.iterdir()} == {
        "config.json",
        "environment.json",
        "status.json",
        "metrics.jsonl",
        "evaluation.json",
        "events.tensorboard",
        "checkpoints",
        "videos",
        "curves.png",
        "eval_returns.png",
        "promises.png",
        "dataset.json",
        "data.png",
        "support.json",
        "support.png",
        "report.html",
    }
    assert {path.name for path in (run / "videos").iterdir()} == {"step_2.gif", "step_4.gif"}
    assert (run / "videos" / "step_4.gif").read_bytes()[:4] == b"GIF8"
    assert list(run.glob("events.*/*/events.out.tfevents.*"))
    assert {f.name for f in (run / "checkpoints" / "step_4").iterdir()} == {
        "state.safetensors",
        "checkpoint.json",
        "manifest.json",
    }
    config = folder.read_run(run)
    assert config["algorithm"] == "cql"
    assert config["config"]["alpha"] == [1.0, 5.0]
    assert config["config"]["hidden"] == [8, 8]
    assert config["members"] == [{"name": f"alpha={a:g},seed=0", "seed": 0, "alpha": a} for a in (1.0, 5.0)]
    assert config["env"] == "Pendulum-v1"
    assert config["train"]["eval_every"] == 2
    assert config["dataset"]["transitions"] == 240
    environment = folder.read_json(run / "environment.json")
    assert {
        "prudent",
        "commit",
        "python",
        "torch",
        "gymnasium",
        "processor",
        "threads",
        "dataset",
    } <= environment.keys()
    assert environment["dataset"]["fingerprint"] == load_dataset(log).fingerprint == config["dataset"]["fingerprint"]
    assert folder.read_json(run / "status.json") == {
        "state": "finished",
        "step": 4,
        "steps": 4,
        "message": "finished, step 4 of 4",
    }
    for line in (run / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is not strict JSON"))


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_members_come_back_from_config_json(tmp_path, algorithm):
    settings = {"cql": {"gap_clip": (-200.0, math.inf), "proposals": ("uniform",)}}.get(algorithm, {})
    config = algorithms.get(algorithm).Config(**TINY[algorithm], **settings)
    members = grid(config, {"discount": [0.9, 0.95]}, [3, 4])
    dataset = load_dataset(write_log(tmp_path / "log.npz", **task_of(algorithm)[1]))
    population = new_population(dataset, algorithm, members, "cpu")
    described = begin.describe(population, dataset, {"env": None})
    assert folder.members(json.loads(json.dumps(described, allow_nan=False))) == members


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"algorithm": 1}', '{"algorithm": "cql", "config": {}}', b"\xff\xfe", "null"]
)
def test_a_damaged_config_is_told_in_one_line(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PrudentError, match=r"config\.json is damaged") as caught:
        resume(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_run_folder(tmp_path):
    with pytest.raises(PrudentError, match=r"is not a run folder: config\.json"):
        resume(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_environment_of_a_run_and_of_its_checkpoints(tmp_path):
    (tmp_path / "checkpoints" / "step_1").mkdir(parents=True)
    with pytest.raises(PrudentError, match="does not say which environment"):
        folder.environment_of(tmp_path)
    folder.write_json(tmp_path / "config.json", {"env": "Pendulum-v1"})
    assert folder.environment_of(tmp_path) == "Pendulum-v1"
    assert folder.environment_of(tmp_path / "checkpoints" / "step_1") == "Pendulum-v1"
    folder.write_json(tmp_path / "config.json", {"env": None})
    with pytest.raises(PrudentError, match="without an environment"):
        folder.environment_of(tmp_path)


def test_a_taken_folder_is_refused_and_a_free_one_made(tmp_path):
    folder.check_free(tmp_path / "new")
    assert folder.create(tmp_path / "a" / "b").is_dir()
    folder.check_free(tmp_path / "a" / "b")
    (tmp_path / "a" / "file").write_text("taken")
    for taken in (tmp_path / "a", tmp_path / "a" / "file"):
        with pytest.raises(ConfigError, match="exists and is not empty"):
            folder.check_free(taken)
    below = tmp_path / "a" / "file" / "below"
    for refuse in (folder.check_free, folder.create):
        with pytest.raises(ConfigError, match="below cannot be created"):
            refuse(below)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folder.os, "access", lambda _path, _mode: False)
    with pytest.raises(ConfigError, match="may not be written to"):
        folder.check_free(tmp_path / "run")


def test_json_files_are_replaced_whole(tmp_path):
    path = tmp_path / "x.json"
    folder.write_json(path, {"a": 1})
    with pytest.raises(PrudentError, match="a figure in it is infinite or NaN"):
        folder.write_json(path, {"a": math.nan})
    assert folder.read_json(path) == {"a": 1}
    folder.write_json(path, {"a": 2})
    assert [f.name for f in tmp_path.iterdir()] == ["x.json"]


def test_one_process_at_a_time(tmp_path):
    with folder.locked(tmp_path):
        with pytest.raises(ConfigError, match="another process is training"), folder.locked(tmp_path):
            pass
        assert list(tmp_path.iterdir()) == []
    with folder.locked(tmp_path):
        pass


def test_settings_read_back_are_those_written(log, tmp_path, quick_report):  # noqa: ARG001
    options = Options(steps=2, log_every=1, checkpoint_every=1, keep=7, threads=1)
    config = algorithms.get("bc").Config(**TINY["bc"])
    sources = {"source": log, "horizon": 50}
    members = grid(config, {}, [0])
    start.train(start.Request(load_dataset(log), "bc", members, options, tmp_path / "run", sources))
    stored = folder.read_run(tmp_path / "run")["train"]
    assert stored.pop("sources") == {"source": [str(log)], "horizon": 50}
    assert Options(**stored) == options

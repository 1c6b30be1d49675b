"""The names of loggers, and what is said when one is missing."""

import pytest

from prudent.errors import ConfigError
from prudent.runs import loggers


@pytest.mark.parametrize("extra", ["tensorboard", "wandb", "mlflow"])
def test_a_logger_that_is_not_installed_names_its_extra(extra, monkeypatch):
    missing = {"mlflow": "sqlalchemy"}.get(extra, extra)
    find = loggers.find_spec
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(ConfigError, match=rf"logger {extra} is not installed: pip install 'prudent\[{extra}\]'"):
        loggers.check(["jsonl", extra])


def test_loggers_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="no logger is called 'wandbb': did you mean wandb"):
        loggers.check(["wandbb"])
    with pytest.raises(ConfigError, match="no logger is called 'x': there are jsonl, tensorboard, wandb, mlflow"):
        loggers.check(["x"])
    loggers.check(None)
    loggers.check(["jsonl"])


def test_a_mode_that_wandb_does_not_have_is_refused(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(ConfigError, match="WANDB_MODE is 'onlin', which is none of offline, online, disabled"):
        loggers.check(["wandb"])
    loggers.check(["mlflow"])


@pytest.mark.parametrize(
    ("chosen", "written"),
    [(None, {"metrics.jsonl", "events.tensorboard"}), (["jsonl"], {"metrics.jsonl"}), (["wandb"], {"metrics.jsonl"})],
)
def test_the_jsonl_is_always_written_and_tensorboard_when_chosen_or_by_default(chosen, written, tmp_path):
    with loggers.local_loggers(chosen, tmp_path, ["a"]) as log:
        log.log(1, {"train/alpha": 1.0})
    assert {path.name for path in tmp_path.iterdir()} == written

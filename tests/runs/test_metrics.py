"""Metrics files survive kills and resumes; progress reads well with and without a terminal."""

import errno
import io
import json
import math

import numpy as np
import pytest
import torch

from prudent.errors import ConfigError, DataError
from prudent.progress import Wait, quiet
from prudent.runs import metrics as run_metrics
from prudent.runs.loggers import local_loggers
from prudent.runs.metrics import (
    METRIC_NAMES,
    JsonlLogger,
    Logger,
    Loggers,
    TensorBoardLogger,
    read_metrics,
    rows,
)
from prudent.training.progress import Progress

NAMES = ["alpha=5,seed=0", "alpha=5,seed=1"]


def lines_of(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not strict JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_documented_names_are_complete():
    assert len(METRIC_NAMES) == 33
    assert {"train/critic_loss", "time/ms_per_step", "eval/lower_bound_share"} <= set(METRIC_NAMES)


def test_one_line_per_member_and_event_flushed_at_once(tmp_path):
    logger = JsonlLogger(tmp_path / "metrics.jsonl", NAMES)
    logger.log(1000, {"train/critic_loss": torch.tensor([1.5, 2.5]), "time/ms_per_step": 4})
    logger.log(1000, {"eval/return": np.array([7.0, 8.0])})
    # Not closed: what a kill would leave behind.
    assert lines_of(tmp_path / "metrics.jsonl") == [
        {"step": 1000, "member": 0, "name": NAMES[0], "train/critic_loss": 1.5, "time/ms_per_step": 4.0},
        {"step": 1000, "member": 1, "name": NAMES[1], "train/critic_loss": 2.5, "time/ms_per_step": 4.0},
        {"step": 1000, "member": 0, "name": NAMES[0], "eval/return": 7.0},
        {"step": 1000, "member": 1, "name": NAMES[1], "eval/return": 8.0},
    ]
    logger.close()
    logger.close()


def test_no_number_is_null_in_the_file_and_nan_when_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with local_loggers(None, tmp_path, NAMES) as logger:
        logger.log(1, {"train/critic_loss": [math.nan, -math.inf], "eval/normalized_score": None})
    assert [line["train/critic_loss"] for line in lines_of(path)] == [None, None]
    assert all(math.isnan(row["eval/normalized_score"]) for row in read_metrics(path))


def test_events_of_some_members(tmp_path):
    with JsonlLogger(tmp_path / "m.jsonl", NAMES) as logger:
        logger.log(5, {"eval/return": [3.0]}, members=[1])
    assert read_metrics(tmp_path / "m.jsonl") == [{"step": 5, "member": 1, "name": NAMES[1], "eval/return": 3.0}]


@pytest.mark.parametrize("metrics", [{"x": [1.0, 2.0, 3.0]}, {"step": 1.0}, {"name": [1.0, 2.0]}])
def test_figures_that_belong_to_nobody_are_refused(metrics):
    with pytest.raises(ValueError):
        rows(metrics, 2)


def write_run(path, steps):
    with JsonlLogger(path, NAMES) as logger:
        for step in steps:
            logger.log(step, {"train/critic_loss": [step / 1000, step / 500]})


def test_resumed_file_equals_an_uninterrupted_one(tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    write_run(whole, [1000, 2000, 3000, 4000])
    write_run(killed, [1000, 2000, 3000])
    with killed.open("a") as file:
        file.write('{"step": 4000, "member": 0, "na')
    # The newest checkpoint is of step 2000: 3000 will be run again.
    with JsonlLogger(killed, NAMES, resume_at=2000) as logger:
        for step in [3000, 4000]:
            logger.log(step, {"train/critic_loss": [step / 1000, step / 500]})
    assert killed.read_bytes() == whole.read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


@pytest.mark.parametrize("cut", range(1, 80, 7))
def test_a_kill_at_any_byte_loses_the_torn_line_only(tmp_path, cut):
    path = tmp_path / "metrics.jsonl"
    write_run(path, [1000, 2000])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert [row["step"] for row in read_metrics(path)][:3] == [1000, 1000, 2000]
    with JsonlLogger(path, NAMES, resume_at=1000) as logger:
        logger.log(2000, {"train/critic_loss": [2.0, 4.0]})
    assert path.read_bytes() == whole


def test_resume_before_the_first_checkpoint_starts_over(tmp_path):
    write_run(tmp_path / "m.jsonl", [1000])
    JsonlLogger(tmp_path / "m.jsonl", NAMES, resume_at=0).close()
    assert (tmp_path / "m.jsonl").read_bytes() == b""
    JsonlLogger(tmp_path / "absent.jsonl", NAMES, resume_at=500).close()
    assert read_metrics(tmp_path / "absent.jsonl") == read_metrics(tmp_path / "nowhere.jsonl") == []


def test_an_earlier_run_is_never_overwritten(tmp_path):
    write_run(tmp_path / "m.jsonl", [1000])
    before = (tmp_path / "m.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="already holds"):
        JsonlLogger(tmp_path / "m.jsonl", NAMES)
    assert (tmp_path / "m.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", ["{torn", "[1]", '{"no": "step"}', '{"step": "7"}'])
def test_damage_in_the_middle_is_told_with_its_line(tmp_path, damage):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{damage}\n{{"step": 2}}\n')
    with pytest.raises(DataError, match="line 2"):
        read_metrics(path)
    with pytest.raises(DataError, match="line 2"):
        JsonlLogger(path, NAMES, resume_at=1)
    assert damage in path.read_text()


def test_tensorboard_reads_what_was_written_and_forgets_what_was_cut(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with local_loggers(None, tmp_path, NAMES) as logger:
        for step in [1000, 2000, 3000]:
            logger.log(step, {"train/critic_loss": torch.tensor([step / 1000, 0.0])})
    with local_loggers(None, tmp_path, NAMES, resume_at=2000) as logger:
        logger.log(3000, {"train/critic_loss": [30.0, math.nan]})
    folder = tmp_path / "events.tensorboard"
    assert sorted(p.name for p in folder.iterdir()) == NAMES
    events = EventAccumulator(str(folder / NAMES[0]))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/critic_loss")] == [
        (1000, 1.0),
        (2000, 2.0),
        (3000, 30.0),
    ]


def test_member_names_cannot_leave_the_folder(tmp_path):
    pytest.importorskip("tensorboard")
    names = ["../../etc", "..", "a/b", "a b", "a_b"]
    TensorBoardLogger(tmp_path / "tb", names).close()
    made = [p.name for p in (tmp_path / "tb").iterdir()]
    assert len(made) == len(names)
    assert {p.name for p in tmp_path.iterdir()} == {"tb"}


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_plain_progress_has_rate_time_left_and_key_metrics():
    clock, stream = Clock(), io.StringIO()
    with Progress(10_000, stream=stream, clock=clock) as progress:
        clock.now += 2.0
        progress.update(500)
        progress.log(1000, {"train/critic_loss": torch.tensor([1.0, 2.0]), "train/q_data": [1.0, 1.0]})
        clock.now += 1.0
        progress.log(1000, {"eval/return": [-200.0, -100.0], "eval/normalized_score": None})
        clock.now += 1.0
        progress.log(2000, {"train/critic_loss": 0.25})
        progress.say("no display: no picture")
    first, evaluation, second, said = stream.getvalue().splitlines()
    assert first == "step  1000/10000  500 steps/s  2 ms/step  ETA 0:18  critic_loss 1.5"
    assert evaluation == "step  1000/10000  return -150"
    # The pace is of the last stretch; the time left counts the evaluation too.
    assert second == "step  2000/10000  1000 steps/s  1 ms/step  ETA 0:16  critic_loss 0.25"
    assert said == "no display: no picture"


def test_progress_of_a_resumed_run_reckons_from_where_it_resumed():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(20_000, start=10_000, stream=stream, clock=clock)
    clock.now += 3600.0
    progress.log(12_000, {})
    assert "ETA 4:00:00" in stream.getvalue()


def test_progress_breaks_a_long_silence():
    """Slow steps: the first event that is logged may be minutes away."""
    clock, stream = Clock(), io.StringIO()
    with Progress(1000, stream=stream, clock=clock) as progress:
        for step in range(1, 101):
            clock.now += 1.0
            progress.update(step)
            if step == 70:
                progress.log(step, {})
    steps = [int(line.split()[1].split("/")[0]) for line in stream.getvalue().splitlines()]
    assert steps == [5, 35, 65, 70, 100]  # after 5 seconds, then after 30 of silence; the event counts as a word
    assert stream.getvalue().startswith("step    5/1000  1 steps/s  1e+03 ms/step  ETA 16:35\n")


def test_progress_can_be_off():
    clock, stream = Clock(), io.StringIO()
    with quiet(), Progress(10, stream=stream, clock=clock) as progress:
        clock.now += 60
        progress.update(5)
        progress.log(10, {"train/critic_loss": 1.0})
        progress.say("this is no progress")
    assert stream.getvalue() == "this is no progress\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_a_wait_inside_a_training_is_shown_with_it(stream, capsys, monkeypatch):
    monkeypatch.setattr("prudent.progress.PATIENCE", 5.0)
    clock = Clock()
    with Progress(100, stream=stream, clock=clock) as progress:
        progress.update(50)
        with Wait("evaluating", 10, clock=clock) as wait:
            clock.now += 20
            wait.update(4)
    assert "evaluating  40%  0:30 left" in stream.getvalue()
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_a_bar():
    clock, stream = Clock(), Terminal()
    with Progress(100, stream=stream, clock=clock) as progress:
        clock.now += 1.0
        progress.update(40)
        progress.log(50, {"eval/return": [1.0], "train/critic_loss": [math.nan]})
        progress.say("[half] way")
        clock.now += 1.0
        progress.update(100)
    shown = stream.getvalue()
    assert "100/100" in shown
    assert "50 steps/s" in shown
    assert "ETA 0:00" in shown
    assert "critic_loss nan" in shown
    assert "[half] way" in shown


def test_what_a_full_disk_does_not_take_waits_for_the_next_event(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = JsonlLogger(path, ["a"])
    log.log(1, {"train/alpha": 1.0})
    real, taken = log._file, [7, OSError(errno.ENOSPC, "No space left on device")]

    class Full:
        """Takes seven bytes, then none."""

        def write(self, content):
            step = taken.pop(0)
            if isinstance(step, OSError):
                raise step
            return real.write(content[:step])

    log._file = Full()
    with pytest.raises(OSError, match=r"No space left on device.*metrics\.jsonl"):
        log.log(2, {"train/alpha": 2.0})
    assert [row["step"] for row in read_metrics(path)] == [1]
    taken.append(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output"):
        log.sync()
    log._file = real
    log.log(3, {"train/alpha": 3.0})
    log.close()
    assert [row["train/alpha"] for row in read_metrics(path)] == [1.0, 2.0, 3.0]


def test_one_logger_that_fails_does_not_keep_the_others_from_theirs():
    told = []

    class Broken(Logger):
        def log(self, *_words):
            raise OSError("broken")

    class Works(Logger):
        def log(self, step, *_words):
            told.append(step)

        def close(self):
            told.append("closed")

    both = Loggers([Broken(), Works()])
    with pytest.raises(OSError, match="broken"):
        both.log(1, {})
    both.sync()
    both.close()
    assert told == [1, "closed"]


def test_a_clock_that_is_set_back_does_not_disorder_tensorboard(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    for nanoseconds in (3_000, 1_000, 5_000):
        monkeypatch.setattr(run_metrics.time, "time_ns", lambda now=nanoseconds: now)
        run_metrics.TensorBoardLogger(tmp_path, ["a"]).close()
    assert [int(p.name.rpartition(".")[2]) for p in sorted((tmp_path / "a").iterdir())] == [3_000, 3_001, 5_000]

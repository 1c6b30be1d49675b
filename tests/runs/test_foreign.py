"""Run folders that somebody tampered with: nothing elsewhere is written or removed, and nothing is read without end."""

import json
import math
import os
import random
import shutil

import edits
import numpy as np
import pytest

from helpers.runs import columns, flags, prudent, tree, write_log
from prudent import report
from prudent.bench import cells
from prudent.errors import PrudentError
from prudent.report import html
from prudent.runs import checkpoint, metrics, read
from prudent.runs.foreign import as_written, parse_json, read_bytes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and FIFOs")
SHORT = ["--steps", 6, "--checkpoint-every", 2, "--log-every", 2, "--threads", 1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run and its log; tests copy it."""
    folder = tmp_path_factory.mktemp("trained")
    log = write_log(folder / "log.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda *_: None)
        assert prudent("train", log, *flags("bc"), *SHORT, "--out", folder / "run") == 0
        assert prudent("train", log, *flags("bc"), *SHORT, "--seeds", 7, "--out", folder / "other") == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def without_pictures(monkeypatch):
    """Reports whose pictures are not drawn, which takes longer than everything else."""
    monkeypatch.setattr(html, "draw_figures", lambda *_: {})


def refused(*words) -> bool:
    return prudent(*words) == 2


def line(capsys) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", "events.tensorboard", "status.json", "report.html"])
def test_a_link_is_refused_and_its_target_left_alone(run, trained, tmp_path, capsys, name):
    target = tmp_path / "elsewhere" / name
    shutil.copytree(trained / "run", tmp_path / "elsewhere")
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)
    before = tree(tmp_path / "elsewhere")
    for words in (["train", "--resume", run, "--steps", 20], ["report", run]):
        assert refused(*words), words
        assert f"{path} is a link" in line(capsys)
    assert tree(tmp_path / "elsewhere") == before


def test_a_dangling_link_is_not_filled(run, tmp_path, capsys):
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(tmp_path / "planted")
    assert refused("train", "--resume", run, "--steps", 20)
    assert "is a link" in line(capsys)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("name", ["config.json", "status.json", "environment.json", "metrics.jsonl"])
def test_a_fifo_does_not_hang(run, capsys, name):
    (run / name).unlink()
    os.mkfifo(run / name)
    assert refused("train", "--resume", run, "--steps", 20)
    assert f"{run / name} is no regular file" in line(capsys)


def test_a_run_may_be_reached_through_a_link(run, tmp_path):
    (tmp_path / "latest").symlink_to(run)
    assert prudent("train", "--resume", tmp_path / "latest", "--steps", 8) == 0


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", 5])
def test_groups_stay_below_their_folder(run, capsys, name):
    (run / "given").mkdir()
    (run / "given" / "groups.json").write_text(json.dumps({"groups": [name]}))
    before = (run / "status.json").read_bytes()
    assert refused("train", "--resume", run / "given", "--steps", 20)
    assert "no list of groups" in line(capsys)
    assert (run / "status.json").read_bytes() == before


def test_checkpoints_of_another_run_are_refused(run, trained, capsys):
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(trained / "other" / "checkpoints", run / "checkpoints")
    before = tree(run)
    assert refused("train", "--resume", run, "--steps", 20)
    assert "belong to another run (bc, seed=7)" in line(capsys)
    assert tree(run) == before


def test_a_renamed_checkpoint_is_skipped(run, capsys):
    (run / "checkpoints" / "step_6").rename(run / "checkpoints" / "step_600")
    assert prudent("train", "--resume", run, "--steps", 8) == 0
    assert "step_600: holds the checkpoint of step 6: rename it back" in capsys.readouterr().out
    assert 8 in [step for step, _ in checkpoint.steps(run)]


def test_metrics_that_end_before_the_checkpoint_are_said(run, capsys):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text(lines[0])
    assert prudent("train", "--resume", run, "--steps", 8) == 0
    assert "ends at step 2, before the checkpoint of step 6: curves have a gap" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["train"].update(sources=5), "does not say where the dataset is"),
        (lambda c: c["train"].update(sources={"source": 5}), "does not say where the dataset is"),
        (lambda c: c["train"]["sources"].update(bogus=1), "does not say where the dataset is"),
        (lambda c: c["train"].update(threads=10**30), "threads"),
        (lambda c: c.update(any=float("nan")), "not JSON"),
        (lambda c: c.update(finetuned_from={}), "prudent finetune RUN"),
        (lambda c: c.update(finetuned_from=3), "prudent finetune RUN"),
        (lambda c: c.update(any=10**400), "not JSON"),
    ],
)
def test_an_edited_config_is_one_line(run, capsys, change, message):
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))
    assert refused("train", "--resume", run, "--steps", 20)
    assert message in line(capsys)


@pytest.mark.parametrize("name", ["config.json", "status.json", "dataset.json", "environment.json", "metrics.jsonl"])
@pytest.mark.parametrize("content", ["[" * 200_000, '{"step": 1' + "0" * 400 + "}"])
def test_deep_and_absurd_json_is_one_line(run, capsys, name, content):
    (run / name).write_text(content + "\n" + content)
    assert refused("report", run)
    assert name in line(capsys)


def test_json_is_strict():
    for text in ("NaN", "[Infinity]", "1" * 41, "[" * 100_000):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text)
    assert parse_json('{"a": [1, -2.5, null]}') == {"a": [1, -2.5, None]}


def test_long_files_are_not_read(tmp_path):
    (tmp_path / "long.json").write_bytes(b" " * 2000)
    assert len(read_bytes(tmp_path / "long.json")) == 2000
    with pytest.raises(OSError, match="longer than"):
        read_bytes(tmp_path / "long.json", most=1999)
    with pytest.raises(OSError, match="no regular file"):
        read_bytes(tmp_path)


def test_a_report_of_a_damaged_run_is_refused_as_the_library_does(run):
    (run / "x").symlink_to(run / "config.json")
    with pytest.raises(PrudentError, match="is a link"):
        report.read_run(run)


def test_a_number_without_a_value_is_refused():
    for text in ("1e999", '{"a": -1e400}'):
        with pytest.raises(ValueError, match="too large"):
            parse_json(text)
    assert parse_json("[NaN, 1e999]", strict=False)[1] == float("inf")


def test_a_tuned_folder_with_a_link_is_refused(tmp_path, capsys):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tuned" / "ranking").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tuned" / "plan.json").write_text("{}")
    np.savez(tmp_path / "log.npz", **columns(960))
    assert refused("tune", tmp_path / "log.npz", "--out", tmp_path / "tuned")
    assert "ranking is a link" in line(capsys)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_metrics_that_no_plot_can_show_are_none(run):
    figures = {"train/q_data": -1e308, "eval/return": 1e308, "train/actor_loss": 1e308}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 20, "member": 0, "name": "seed=0", **figures}) + "\n")
    assert report.write_report(run).is_file()
    assert math.isnan(report.read_run(run).series["eval/return"]["seed=0"][20])


def test_endless_metrics_are_not_read_as_a_whole(run, monkeypatch):
    monkeypatch.setattr(read, "_MOST_FIGURES", 40)
    with (run / "metrics.jsonl").open("a") as file:
        for step in range(100):
            file.write(json.dumps({"step": step, "member": 0, "name": "seed=0", f"a/{step}": 1.0}) + "\n")
    with pytest.raises(PrudentError, match="holds more than 40 figures, too many for a report"):
        report.read_run(run)


def test_a_line_without_end_is_no_line_of_metrics(run, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LINE_BYTES", 2000)
    kept = len(metrics.read_metrics(run / "metrics.jsonl"))
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b" " * 1999 + b"{")
    assert len(metrics.read_metrics(run / "metrics.jsonl")) == kept
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b" " * 10**4 + b"{")
    with pytest.raises(PrudentError, match=f"line {kept + 1}: not a metrics line"):
        metrics.read_metrics(run / "metrics.jsonl")


@pytest.mark.parametrize("name", ["metrics.jsonl", "status.json"])
def test_what_a_hard_link_leads_to_stays_as_it_is(run, tmp_path, name):
    """Files of a run are replaced, never written in place, so backups made of hard links are safe."""
    outside = tmp_path / "outside"
    outside.write_bytes((run / name).read_bytes() if (run / name).exists() else b"x")
    (run / name).unlink(missing_ok=True)
    os.link(outside, run / name)
    before = outside.read_bytes()
    assert prudent("train", "--resume", run, "--steps", 8) == 0
    assert report.write_report(run).is_file()
    assert outside.read_bytes() == before


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize(
    ("file", "place", "value"),
    [
        ("config.json", ("members",), []),
        ("config.json", ("members",), [None]),
        ("config.json", ("members", 0, "name"), 3),
        ("config.json", ("train", "sources", "action_low"), {}),
        ("config.json", ("env",), 5),
        ("config.json", ("config", "hidden"), ["a"]),
        ("config.json", ("dataset",), {}),
        ("status.json", ("incidents",), [{"step": 1, "kind": "k", "why": "w", "v": None}]),
        ("status.json", ("step",), 10**30),
        ("support.json", ("histogram",), 5),
        ("dataset.json", (), {"returns": 5}),
        ("metrics.jsonl", (0, "step"), 10**30),
    ],
)
def test_an_edited_file_is_refused_in_one_line_or_read(run, file, place, value):
    edits.write(run / file, edits.edited(edits.read(run / file), place, value))
    edits.refusals(run)


@pytest.mark.usefixtures("without_pictures")
def test_a_handful_of_edits_at_random(run):
    rng = random.Random(0)
    for file in ("config.json", "status.json", "support.json", "dataset.json"):
        sound = (run / file).read_bytes()
        for place, value in rng.sample(list(edits.edits(edits.read(run / file))), 4):
            edits.write(run / file, edits.edited(edits.read(run / file), place, value))
            edits.refusals(run, edits.verbs(run)[:2])
            (run / file).write_bytes(sound)


def test_json_of_another_shape_is_said_with_its_place_and_keeps_its_cause():
    with (
        pytest.raises(PrudentError, match=r"run seems damaged: .*KeyError: 'x', in test_foreign.py line \d+") as caught,
        as_written("run"),
    ):
        {}["x"]
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(PrudentError, match=r"^as it is$"), as_written("run"):
        raise PrudentError("as it is")
    with pytest.raises(ZeroDivisionError), as_written("run"):
        1 / 0  # noqa: B018


@pytest.mark.parametrize("step", [[], {}, None, "3"])
def test_a_bench_whose_status_was_edited_is_refused_in_one_line(trained, tmp_path, capsys, monkeypatch, step):
    monkeypatch.setattr(cells, "_difference", lambda *_: "")  # the status alone is looked at
    lines = ['title = "t"', "seeds = [0]", "[train]", "steps = 6", "[settings]", "hidden = [8, 8]", "batch_size = 16"]
    lines += ["[[dataset]]", 'name = "d"', f'source = "{trained / "log.npz"}"', 'env = "Pendulum-v1"']
    (tmp_path / "suite.toml").write_text("\n".join([*lines, 'algorithms = ["bc"]']))
    cell = tmp_path / "out" / "d" / "bc"
    shutil.copytree(trained / "run", cell)
    words = ["bench", tmp_path / "suite.toml", "--out", tmp_path / "out", "--dry-run"]
    (cell / "status.json").write_text(json.dumps({"state": "finished", "step": step}))
    assert refused(*words)
    assert "its step is" in line(capsys)

"""Folders that the system itself does not let a run write to or read: real mounts and permissions, where one may set
them; ``test_train.py`` has what stands in for them elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from helpers.runs import assert_same_weights, flags, metrics_of, prudent, tree, write_log
from prudent.engine.population import Population
from prudent.runs import checkpoint
from prudent.runs.folder import read_json

pytest_plugins = ["helpers.run_fixtures"]
pytestmark = pytest.mark.usefixtures("quick_report")

EVERY = ["--steps", 40, "--log-every", 10, "--checkpoint-every", 10, "--threads", 1]
OVERRIDES = "-dac_override,-dac_read_search"
"""The capabilities by which root passes over permissions."""


@contextmanager
def read_only(folder):
    """The folder on a file system that may not be written to; skips where mounting is not permitted."""
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode
    ):
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_checkpoints_on_a_read_only_file_system_are_tried_again_and_earlier_ones_stay(
    log, tmp_path, monkeypatch, capsys
):
    assert prudent("train", log, *flags("bc"), *EVERY, "--out", tmp_path / "whole") == 0
    run, mounts, step = tmp_path / "run", [], Population.step

    def stepped(population, data):
        if population.state.step == 15:
            mounts.append(read_only(run / "checkpoints"))
            mounts[0].__enter__()
        return step(population, data)

    monkeypatch.setattr(Population, "step", stepped)
    try:
        assert prudent("train", log, *flags("bc"), *EVERY, "--out", run) == 2
        said = capsys.readouterr()
        assert said.err.startswith("prudent: the last steps are not saved: ")
        assert "Read-only file system; mend that and go on with: prudent train --resume" in said.err
        assert said.err.count("\n") == 1
        assert said.out.count("save failed at step") == 2
        assert checkpoint.load(run)[0].state.step == 10
    finally:
        monkeypatch.undo()
        for mount in mounts:
            mount.__exit__(None, None, None)
    assert read_json(run / "status.json")["state"] == "failed"
    assert prudent("train", "--resume", run) == 0
    assert_same_weights(run, tmp_path / "whole")
    assert metrics_of(run) == metrics_of(tmp_path / "whole")


def test_a_run_on_a_read_only_file_system_is_not_resumed_but_can_be_used(log, tmp_path, capsys):
    run = tmp_path / "run"
    assert prudent("train", log, *flags("bc"), *EVERY, "--out", run) == 0
    before = tree(run)
    with read_only(run):
        capsys.readouterr()
        assert prudent("train", "--resume", run, "--steps", 50) == 2
        assert capsys.readouterr().err == (
            f"prudent: {run} may not be written to: mend its permissions, or copy it and resume the copy\n"
        )
        assert prudent("train", log, "--out", run / "new") == 2
        assert "may not be written to" in capsys.readouterr().err
        assert prudent("evaluate", run, "--env", "Pendulum-v1", "--episodes", 1) == 0
    assert tree(run) == before


ONE_BY_ONE = """
import contextlib, io, json, sys
from prudent import cli

done = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = end.code
    done.append((code, errors.getvalue()))
print(json.dumps(done))
"""


def without_overrides(commands):
    """Command lines in a process that heeds permissions, even as root: the exit code and the errors of each."""
    words = json.dumps([[str(word) for word in command] for command in commands])
    command = [sys.executable, "-c", ONE_BY_ONE, words]
    if os.geteuid() == 0:
        command = ["setpriv", f"--bounding-set={OVERRIDES}", f"--inh-caps={OVERRIDES}", *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or (os.geteuid() == 0 and shutil.which("setpriv") is None),
    reason="as root, permissions count only for processes without its capabilities",
)
def test_what_one_has_no_permission_for_is_one_line(tmp_path):
    log = write_log(tmp_path / "log.npz")
    run, closed = tmp_path / "run", tmp_path / "closed"
    assert prudent("train", log, *flags("bc"), *EVERY, "--out", run) == 0
    closed.mkdir()
    (run / "checkpoints/step_40/state.safetensors").chmod(0)
    for folder in (run, closed):
        folder.chmod(0o500)
    log.chmod(0)
    try:
        refused = (
            (("train", "--resume", run, "--steps", 50), f"{run} may not be written to: mend its permissions"),
            (("train", write_log(tmp_path / "other.npz"), "--out", closed / "run"), f"{closed} may not be written to"),
            (("train", log, "--out", tmp_path / "new"), "log.npz: cannot be opened (Permission denied)"),
            (
                ("evaluate", run / "checkpoints/step_40", "--env", "Pendulum-v1"),
                "step_40: cannot be read (Permission denied)",
            ),
        )
        outcomes = without_overrides([words for words, _ in refused])
        for (words, told), (code, error) in zip(refused, outcomes, strict=True):
            assert code == 2, f"{words}: {error}"
            assert told in error
            assert error.count("\n") == 1, error
        assert not (tmp_path / "new").exists()
    finally:
        for folder in (run, closed):
            folder.chmod(0o700)

"""Fixtures for tests of suites: name this module in ``pytest_plugins``."""

from pathlib import Path

import pytest

from helpers.patches import replace_everywhere
from helpers.runs import write_log
from helpers.suites import TOY, run
from prudent import bench, report
from prudent.training import resume, start

pytest_plugins = ["helpers.run_fixtures"]


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A suite file beside its log, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log.npz")
    path = tmp_path / "toy.toml"
    path.write_text(TOY)
    return path


@pytest.fixture
def trained(monkeypatch):
    """Names of the run folders that train and resume are called for."""
    called = []

    def watch(module, name):
        function = getattr(module, name)

        def call(first, *arguments, **named):
            folder = first.folder if isinstance(first, start.Request) else Path(first)
            called.append((name, folder.name))
            return function(first, *arguments, **named)

        replace_everywhere(monkeypatch, module, name, call)

    watch(start, "train")
    watch(resume, "resume")
    return called


@pytest.fixture(scope="session")
def one_cell(tmp_path_factory) -> Path:
    """A folder with a log and a run of BC."""
    folder = tmp_path_factory.mktemp("bench")
    write_log(folder / "log.npz")
    (folder / "toy.toml").write_text(TOY)
    suite = bench.load(str(folder / "toy.toml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda *_: None)
        run(suite, folder / "out", only=["bc"])
    return folder

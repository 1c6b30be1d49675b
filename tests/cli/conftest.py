"""A finished run for the tests of several verbs."""

import pytest

from helpers.runs import flags, prudent, write_log
from prudent import report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two members that has ended, made without a report."""
    folder = tmp_path_factory.mktemp("finished")
    log = write_log(folder / "log.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write_report", lambda _folder: None)
        words = ["--alpha", 1, 5, "--steps", 5, "--env", "Pendulum-v1", "--eval-episodes", 1]
        assert prudent("train", log, *flags("cql"), *words, "--out", folder / "run") == 0
    return folder / "run"

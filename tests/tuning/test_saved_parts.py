"""The parts in a tuned folder: written once, written again where they are of another division."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import tunings
from helpers.runs import tree
from prudent.errors import ConfigError
from prudent.runs import tuned
from prudent.tuning.parts import divide
from prudent.tuning.saved_parts import plain, save


@pytest.fixture(scope="module")
def log():
    return tunings.PROBLEM.log(40, 0)


def test_what_is_there_stays(log, tmp_path):
    save(tmp_path, log, divide(log, 0, 0, 6), None)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    save(tmp_path, log, divide(log, 0, 0, 6), None)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    (tmp_path / "parts" / "parts.json").write_text("{")
    save(tmp_path, log, divide(log, 0, 0, 6), None)
    assert tree(tmp_path / "parts")["parts.json"].startswith(b"{\n")
    parts = divide(log, 1, 0, 6)
    save(tmp_path, log, parts, None)
    assert tuned.part(tmp_path, "final").fingerprint == parts.final.fingerprint


def test_the_numbers_are_those_of_the_parts(log, tmp_path):
    parts = divide(log, 3, 2, 6)
    save(tmp_path, log, parts, None)
    for name in ("train", "evaluation", "final"):
        numbers = np.load(tmp_path / "parts" / f"{name}.npy")
        assert log.episodes(numbers).fingerprint == getattr(parts, name).fingerprint, name
        assert tuned.part(tmp_path, name).fingerprint == getattr(parts, name).fingerprint, name


def test_a_column_that_no_file_can_hold_leaves_the_numbers(log, tmp_path):
    wards = replace(log, extra={"group": np.array([f"ward {e % 20}" for e in log.episode_of_row])})
    parts = divide(wards, 0, 0, 6)
    save(tmp_path, wards, parts, None)
    assert sorted(tree(tmp_path / "parts")) == ["evaluation.npy", "final.npy", "parts.json", "train.npy"]
    assert wards.episodes(np.load(tmp_path / "parts" / "final.npy")).fingerprint == parts.final.fingerprint


def test_sources_are_as_a_file_can_hold_them(tmp_path):
    assert plain(None) is None
    assert plain({"source": [tmp_path / "log.npz"]}) == {"source": [str(tmp_path / "log.npz")]}
    with pytest.raises(ConfigError, match="sources holds what no file can"):
        plain({"source": object()})

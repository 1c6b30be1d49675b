"""Readers that an installed package offers for a suffix."""

import sys

import numpy as np
import pytest

import prudent
from helpers.own import SMALL, installed
from helpers.runs import prudent as command
from prudent.errors import DataError

READER = """
import json
import numpy as np
import prudent


def read(path):
    rows = json.loads(path.read_text())
    observation = np.asarray(rows["x"], np.float32)
    if len(observation) < 3:
        raise ValueError("too short")
    action = np.asarray(rows["u"], np.float32)
    ends = np.arange(1, len(action) + 1) % 4 == 0
    return prudent.Dataset.from_columns(
        observation=observation[:-1], action=action, reward=np.asarray(rows["r"], np.float32),
        next_observation=observation[1:], terminated=ends, truncated=ends & False, name=path.stem,
    )


nothing = "no function"


def path_of(path):
    return str(path)


def stops(path):
    raise SystemExit(1)
"""
POINTS = {
    "prudent.readers": {
        "dials": "dial_logs:read",
        "npz": "dial_logs:nothing",
        ".Knob": "dial_logs:read",
        "no1": "dial_logs:nothing",
        "no2": "dial_logs:path_of",
        "no3": "dial_logs:stops",
        "no4": "dial_logs:absent",
    }
}


@pytest.fixture
def offered(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, POINTS, {"dial_logs": READER})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log(path, rows=12, **changes):
    import json

    rng = np.random.default_rng(0)
    content = {
        "x": rng.normal(size=(rows + 1, 3)).tolist(),
        "u": rng.uniform(-1, 1, (rows, 1)).tolist(),
        "r": rng.normal(size=rows).tolist(),
    }
    path.write_text(json.dumps(content | changes))
    return path


def test_a_file_of_its_suffix_is_read_by_it(offered):
    path = log(offered / "may.dials")
    data = prudent.load_dataset(path)
    assert (len(data), data.n_episodes, data.name) == (12, 3, "may")
    assert len(prudent.load_dataset([path, log(offered / "june.DIALS")])) == 24, "several are joined"
    assert len(prudent.load_dataset(log(offered / "july.knob"))) == 12, "the dot and the case do not matter"
    assert command("train", path, "--algo", "bc", "--out", offered / "run", *SMALL) == 0
    assert command("train", "--resume", offered / "run", "--steps", "6") == 0, "a resumed run finds it again"


def test_nothing_is_imported_for_other_files(offered):
    sys.modules.pop("dial_logs", None)
    np.savez(offered / "log.npz", x=1)
    with pytest.raises(DataError, match=r"log\.npz: "):
        prudent.load_dataset(offered / "log.npz")  # prudent's own format stays its own
    assert "dial_logs" not in sys.modules


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("short.dials", r"^short\.dials: the reader of somebody 1\.2: dial_logs\.py line 11: ValueError: too short$"),
        ("nan.dials", r"observation"),
        ("x.no1", r"^x\.no1: the reader of somebody 1\.2: TypeError: 'str' object is not callable$"),
        ("x.no2", r"^x\.no2: the reader of somebody 1\.2 returned str, expected a prudent\.Dataset$"),
        ("x.no3", r"^x\.no3: the reader of somebody 1\.2: dial_logs\.py line \d+: SystemExit: 1$"),
        ("x.no4", r"^no4 \(dial_logs:absent, somebody 1\.2\): AttributeError: .*absent"),
        ("x.other", r"^x\.other: \.other is not a dataset format; accepted: \.hdf5, .*\.dials"),
        ("absent.dials", r"^absent\.dials: no such file$"),
    ],
)
def test_whatever_goes_wrong_is_one_line(name, line, offered):
    if name == "nan.dials":
        log(offered / name, x=[[float("nan")] * 3] * 13)
    elif not name.startswith("absent"):
        log(offered / name, rows=1 if name.startswith("short") else 12)
    with pytest.raises(DataError, match=line) as caught:
        prudent.load_dataset(name)
    assert "skip" not in str(caught.value), "advice that the reader cannot follow"


def test_what_it_says_itself_cannot_be_declared(offered):
    path = log(offered / "may.dials")
    for declared in ({"horizon": 4}, {"discrete": True}, {"action_low": -1.0}, {"skip_bad_episodes": True}):
        with pytest.raises(DataError, match=r"^may\.dials: "):
            prudent.load_dataset(path, **declared)

"""Every part of the benchmark suite measures something small and writes it. Nothing is asserted about time."""

import json

import pytest
import torch
from benchmarks.harness import RESULTS, Settings, spread, take_turns
from benchmarks.peers.client import Peer, PeerError, save_columns

from benchmarks import __main__ as suite_main
from benchmarks import passes, picture, suite

TINY = Settings(rounds=1, calls=1, small=True)


@pytest.mark.parametrize("part", suite.PARTS)
def test_a_part_measures_writes_and_shows(part, tmp_path):
    module = suite.module(part)
    result = module.measure(TINY)
    found = json.loads(result.write(tmp_path).read_text(encoding="utf-8"))
    assert found["part"] == part
    assert found["environment"]["torch"] == torch.__version__
    assert found["environment"]["threads"] == 1
    assert found["ratios"], "nothing for the check to compare"
    for name, ratio in found["ratios"].items():
        assert 0 < ratio["min"] <= ratio["q1"] <= ratio["median"] <= ratio["q3"] <= ratio["max"], name
    assert module.lines(result), "nothing to show"


def test_turns_alternate_and_the_first_does_not_count():
    asked = []

    def measure(name):
        return lambda calls: asked.append((name, calls)) or float(len(asked))

    turns = take_turns({"ours": measure("ours"), "theirs": measure("theirs")}, Settings(rounds=2, calls=3))
    assert asked == [("ours", 3), ("theirs", 3)] * 3
    assert turns == [{"ours": 3.0, "theirs": 4.0}, {"ours": 5.0, "theirs": 6.0}]


def test_the_spread():
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == {"median": 3, "min": 1, "max": 5, "q1": 2, "q3": 4}


def test_passes_puts_everything_back():
    before = [getattr(module, name) for changes in passes.WAYS.values() for module, name, _ in changes]
    with pytest.raises(RuntimeError):
        passes.within(passes.WAYS["plain"], lambda: (_ for _ in ()).throw(RuntimeError()))(1)
    assert [getattr(module, name) for changes in passes.WAYS.values() for module, name, _ in changes] == before


def test_a_peer_that_cannot_start_says_why(tmp_path):
    data = save_columns(tmp_path, {})
    with pytest.raises(PeerError, match="corl ended: KeyError"):
        Peer("corl", data, 1, options={"hidden": [4], "batch": 2, "n_actions": 1})


@pytest.mark.parametrize("words", [["--rounds", "4"], ["nothing"], ["step", "passes", "--threads", "1"]])
def test_wrong_words_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        suite_main.main(words)
    assert "error" in capsys.readouterr().err


def test_the_picture_is_drawn_from_the_stored_results(tmp_path):
    path = picture.draw(RESULTS, tmp_path / "bench.png")
    assert path.read_bytes().startswith(b"\x89PNG"), "no picture"

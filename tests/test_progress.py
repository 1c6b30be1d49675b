"""What is shown while something takes long, by a clock that the tests move."""

import io
import json
import sys
from pathlib import Path

import pytest

import prudent
from helpers.runs import prudent as run_command
from helpers.runs import write_log
from prudent import progress
from prudent.progress import Wait, clock_face, hosted, quiet, ticking, watched


class Clock:
    """Seconds, moved by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def five_seconds(patience, monkeypatch):
    """The patience that users meet."""
    assert patience is None
    monkeypatch.setattr(progress, "PATIENCE", 5.0)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "_clock", clock)
    return clock


def run(wait, clock, seconds, steps, total):
    """``steps`` of ``total`` steps, each of ``seconds``; with the wait's own clock."""
    for step in range(1, steps + 1):
        clock.now += seconds
        wait.update(step * total / steps)


def test_nothing_is_shown_before_five_seconds_and_a_line_every_thirty_then():
    clock, out = Clock(), io.StringIO()
    with Wait("fitting", 1000, "steps", stream=out, clock=clock) as wait:
        for step in range(1, 1001):
            clock.now += 0.1
            wait.update(step)
            if clock.now < 104.9:
                assert out.getvalue() == ""
    lines = out.getvalue().splitlines()
    assert lines[0] in ("fitting  50/1,000 steps  1:35 left", "fitting  51/1,000 steps  1:35 left")
    assert len(lines) == 1 + 3  # after 5, 35, 65 and 95 of 100 seconds
    assert lines[-1].endswith("0:05 left")


def test_a_line_on_a_terminal_renews_itself_and_disappears():
    clock, out = Clock(), Terminal()
    with Wait("reading log.csv", 200, stream=out, clock=clock) as wait:
        for done in range(1, 201):
            clock.now += 0.1
            wait.update(done)
    drawn = out.getvalue().split("\r")
    assert drawn[1].startswith("reading log.csv  2")
    assert 25 < len(drawn) < 35  # every half second for 15 seconds
    assert "\n" not in out.getvalue()
    assert out.getvalue().endswith("\r" + " " * len(drawn[-3]) + "\r")


def test_without_a_total_the_time_so_far():
    clock = Clock()
    wait = Wait("reading", clock=clock)
    assert wait.text(clock.now + 83) == "reading  1:23 so far"
    wait = Wait("reading", None, "rows", clock=clock)
    wait.update(1234)
    assert wait.text(clock.now + 3) == "reading  1,234 rows  0:03 so far"
    wait = Wait("reading", 0, "rows", clock=clock)
    wait.update(3)
    assert wait.text(clock.now + 3) == "reading  3 rows  0:03 so far"


def test_more_than_all_is_all():
    clock = Clock()
    wait = Wait("evaluating", 10, clock=clock)
    wait.update(12)
    assert wait.text(clock.now + 9) == "evaluating  100%  0:00 left"


def test_control_characters_of_a_file_name_are_spelled_out():
    clock, out = Clock(), io.StringIO()
    wait = Wait("reading a\x1b[2J\r", 10, stream=out, clock=clock)
    run(wait, clock, 6, 1, 5)
    assert out.getvalue() == "reading a\\x1b[2J\\x0d  50%  0:06 left\n"


def test_quiet_is_quiet(capsys, clock):
    def work():
        for _ in watched(range(20), "working", "parts"):
            clock.now += 1

    with quiet():
        assert progress.is_quiet()
        with quiet(False):
            work()
    assert capsys.readouterr() == ("", "")
    assert not progress.is_quiet()
    work()
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err == "working  5/20 parts  0:15 left\n"


def test_the_innermost_is_shown(capsys, clock):
    """It knows more: the patience of the waits around it counts for it, too."""
    with Wait("outside", 100, "parts") as outer:
        clock.now += 4
        outer.update(1)
        with Wait("inside", 10, "parts") as inner:
            clock.now += 1.1
            outer.update(2)  # leaves it to the one inside
            inner.update(1)
            clock.now += 29
            outer.update(11)
            inner.update(5)  # not yet
            clock.now += 1
            outer.update(12)
            inner.update(6)
        clock.now += 31
        outer.update(50)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["inside", "inside", "outside"]
    assert lines[0] == "inside  1/10 parts  0:10 left"


def test_many_short_waits_inside_a_long_one_are_one_line_in_thirty_seconds(capsys, clock):
    with Wait("outside", 100, "parts") as outer:
        for part in range(100):
            for _ in watched(range(4), "inside", "steps"):
                clock.now += 0.15
            outer.update(part + 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["outside", "outside"]


def test_one_inside_that_has_not_begun_does_not_hide_the_one_around_it(capsys, clock):
    with Wait("outside", 100, "parts") as outer, Wait("inside"):
        clock.now += 5.5
        outer.update(1)
        assert capsys.readouterr().err == ""
        clock.now += 1
        outer.update(1)
    assert capsys.readouterr().err == "outside  1/100 parts  10:44 left\n"


def test_a_host_shows_it_in_its_place(capsys, clock):
    class Bar:
        def __init__(self):
            self.texts = []

        def aside(self, text):
            self.texts.append(text)
            return True

    bar = Bar()
    with hosted(bar):
        for _ in watched(range(3), "evaluating", "episodes"):
            clock.now += 6
    assert bar.texts == ["evaluating  1/3 episodes  0:12 left", "evaluating  2/3 episodes  0:06 left", *bar.texts[2:]]
    assert bar.texts[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_a_wait_that_ends_with_an_error_leaves_no_line(monkeypatch, clock):
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    wait = Wait("reading", 10)
    run(wait, clock, 6, 1, 1)
    assert out.getvalue() == "\rreading  10%  0:54 left"
    progress.clear()
    assert out.getvalue().endswith("\r" + " " * 23 + "\r")
    progress.clear()
    assert out.getvalue().count("\r") == 3


def test_a_closed_or_missing_stream_stops_nothing(monkeypatch, clock):
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        for _ in watched(range(3), "working", "parts"):
            clock.now += 60


def test_ticking_shows_the_time_of_what_has_no_loop(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.05)
    monkeypatch.setattr(progress, "_RENEWED", 0.01)
    import time

    with ticking("packing"):
        deadline = time.monotonic() + 10
        while not (shown := capsys.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert shown == "packing  0:00 so far\n"


FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def impatient(monkeypatch, tmp_path):
    """Every update is shown; the working folder has a log and a table."""
    for name in ("PATIENCE", "PAUSE", "_GRACE"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log.npz")
    rows = "".join(f"{i // 10},{i / 7},{i % 3 - 1},{i},{int(i % 10 == 9)}\n" for i in range(200))
    (tmp_path / "table.csv").write_text("run,x,push,gain,done\n" + rows)
    roles = {"episode": "run", "observation": ["x"], "action": "push", "reward": "gain", "terminated": "done"}
    (tmp_path / "map.toml").write_text("".join(f"{role} = {json.dumps(column)}\n" for role, column in roles.items()))
    return tmp_path


SETTINGS = {"hidden": (8, 8), "batch_size": 16, "device": "cpu"}


def agent():
    return prudent.BC(**SETTINGS).fit(prudent.load_dataset("log.npz"), steps=3)


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (lambda: prudent.load_dataset("log.npz"), ["reading log.npz  100%", "going through the rows  240/240 rows"]),
        (
            lambda: prudent.load_dataset("table.csv", mapping="map.toml", action_low=-1, action_high=1),
            ["reading table.csv"],
        ),
        (lambda: command("data", "import", "log.npz", "--out", "log.hdf5"), ["looking for problems"]),
        (
            lambda: (command("data", "import", "log.npz", "--out", "b.hdf5"), prudent.load_dataset("b.hdf5")),
            ["reading b.hdf5  100%"],
        ),
        (
            lambda: prudent.load_dataset(FIXTURES / "d3rlpy2_continuous.h5", action_low=-9.0, action_high=9.0),
            ["reading d3rlpy2_continuous.h5  1/"],
        ),
        (lambda: prudent.load_dataset(FIXTURES / "robomimic_success.hdf5"), ["reading robomimic_success.hdf5  1/"]),
        (lambda: prudent.load_dataset(FIXTURES / "sb3_ring.npz"), ["reading sb3_ring.npz  100%"]),
        (lambda: command("data", "convert", "log.npz", "--out", "folder"), ["writing folder  240/240 rows"]),
        (agent, ["training  1/3 steps", "training  3/3 steps  0:00 left"]),
        (lambda: agent().evaluate("Pendulum-v1", episodes=2), ["evaluating in Pendulum-v1, sampled actions  50%"]),
        (
            lambda: prudent.support(agent(), prudent.load_dataset("log.npz")),
            ["comparing decisions with the log  240/240"],
        ),
        (
            lambda: prudent.value(agent(), prudent.load_dataset("log.npz"), steps=3, behaviour_steps=3, folds=2),
            [
                "fitting the behaviour model  3/3 steps",
                "learning features of the log  3/3 steps",
                "asking the policy  240/240 rows",
            ],
        ),
        (
            lambda: prudent.CQL(n_actions=2, value_init="regression", value_init_steps=4, **SETTINGS).fit(
                prudent.load_dataset("log.npz"), steps=1
            ),
            ["fitting first values  3/4 steps"],
        ),
    ],
    ids=[
        "npz",
        "csv",
        "import",
        "hdf5",
        "d3rlpy",
        "robomimic",
        "buffer",
        "convert",
        "fit",
        "evaluate",
        "support",
        "value",
        "first values",
    ],
)
def test_what_may_take_long_is_shown(work, says, impatient, capsys):
    assert impatient.is_dir()
    work()
    shown = capsys.readouterr().err
    for words in says:
        assert words in shown
    with quiet():
        agent()
    assert capsys.readouterr().err == ""


def command(*words):
    assert run_command(*words) == 0


def test_fit_can_be_silent(impatient, capsys):
    assert impatient.is_dir()
    data = prudent.load_dataset("log.npz")
    capsys.readouterr()
    one = prudent.BC(**SETTINGS).fit(data, steps=3, progress=False)
    one.fit(data, steps=3, warm_start=True, progress=False)
    assert capsys.readouterr() == ("", "")
    one.fit(data, steps=3, warm_start=True)
    assert "training  3/3 steps" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "face"), [(0, "0:00"), (59.6, "1:00"), (123, "2:03"), (3723, "1:02:03")])
def test_clock_faces(seconds, face):
    assert clock_face(seconds) == face

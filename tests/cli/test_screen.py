"""Output that fails must not stop the work, and text from files must not reach the terminal as control codes."""

import io
import os
import subprocess
import sys

import pytest

from helpers.runs import flags, prudent, write_log
from prudent.cli.screen import Screen, screens
from prudent.errors import printable
from prudent.runs.folder import read_json

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
SHORT = ["--steps", "40", "--log-every", "5", "--checkpoint-every", "20", "--threads", "1"]


class Failing(io.StringIO):
    """A stream that fails after so many characters."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def write(self, text):
        if self.tell() + len(text) > self.room:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def shell(command, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False, env=environment, **more
    )


def train(log, run):
    words = [sys.executable, "-m", "prudent", "train", str(log), *flags("bc"), *SHORT, "--out", str(run)]
    return " ".join(words)


def test_control_characters_are_spelled_out():
    assert printable("a\x1b[2Jb\x07\x9b\tc\n") == "a\\x1b[2Jb\\x07\\x9b\tc\n"
    unseen = "\u061c\u200b\u2028\u2029\u2060\ufeff"
    assert printable(unseen) == "".join(f"\\u{ord(mark):04x}" for mark in unseen)


def test_what_the_encoding_lacks_is_escaped():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = Screen(raw)
    print("b\u00e4se \udcff", file=screen)
    screen.flush()
    assert raw.buffer.getvalue() == b"b\\xe4se \\udcff\n"


def test_output_after_a_failure_is_dropped():
    raw = Failing(5)
    screen = Screen(raw)
    for _ in range(3):
        print("abc", file=screen)
    assert raw.getvalue() == "abc\n"
    assert isinstance(screen.failed, BrokenPipeError)


def test_no_stream_at_all_is_fine(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with screens() as (out, _):
        print("nobody reads this")
    assert out.failed is None
    assert not out.isatty()


def test_names_out_of_files_do_not_reach_the_terminal(tmp_path, capsys):
    log = write_log(tmp_path / "a\x1b[31m.npz")
    assert prudent("data", "describe", log) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "a\\x1b[31m.npz" in shown
    assert prudent("data", "describe", tmp_path / "b\x1b[31m.npz") == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("redirection", "code"), [("| head -1", 1), ("> /dev/full", 1), (">&-", 0), ("2>&-", 0)], ids=str
)
def test_training_goes_on_when_the_screen_fails(tmp_path, redirection, code):
    log = write_log(tmp_path / "log.npz")
    done = shell(f"set -o pipefail; {train(log, tmp_path / 'run')} {redirection}")
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["step"]) == ("finished", 40)
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_lost_result_is_an_error(tmp_path):
    log = write_log(tmp_path / "log.npz")
    done = shell(f"{sys.executable} -m prudent data describe {log} > /dev/full")
    assert done.returncode == 1
    assert "standard output could not be written" in done.stderr


def test_the_end_of_the_terminal_saves(tmp_path):
    log = write_log(tmp_path / "log.npz")
    run = tmp_path / "run"
    command = train(log, run).replace("--steps 40", "--steps 1000000")
    script = (
        f"{command} > {tmp_path / 'out'} & pid=$!; while ! grep -q 'step ' {tmp_path / 'out'}; do sleep 0.1; done; "
    )
    done = shell(script + "kill -HUP $pid; wait $pid")
    assert done.returncode == 130, done
    assert read_json(run / "status.json")["state"] == "interrupted"

"""Every hostile file is refused in one line, soon, within little memory, and nothing of it runs or is followed."""

import ctypes
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path

import corpus
import pytest

from prudent import cli

SECONDS, MEGABYTES = 2.0, 500
_IN_OPEN = 0x20


class Watch:
    """Tells whether anything opened the files of a folder, from Python or from a library in C (Linux)."""

    def __init__(self, folder: Path):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_NONBLOCK)
        for path in folder.iterdir():
            assert self.libc.inotify_add_watch(self.descriptor, str(path).encode(), _IN_OPEN) >= 0, path

    def opened(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "files"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, about a name that is there twice
        return folder, corpus.build(folder)


def test_there_are_sixty_or_more_over_all_formats(hostile):
    found = hostile[1]
    assert len(found) >= 60
    assert len({one.path for one in found}) == len(found)
    assert {one.path.parent.name for one in found} >= {
        "npz",
        "hdf5",
        "layouts",
        "folders",
        "minari",
        "parquet",
        "csv",
        "maps",
        "suites",
        "runs",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="watches files as Linux does")
def test_each_is_refused_in_one_line_and_touches_nothing(hostile, capsys, monkeypatch):
    folder, found = hostile
    monkeypatch.chdir(folder / "canary")
    monkeypatch.setattr(sys, "path", [str(folder / "canary"), *sys.path])
    (folder / "canary" / "canary.py").write_text("open('ran', 'w')\n")
    watch = Watch(folder / "canary")
    wrong = []
    for one in found:
        if one.bomb:
            continue  # below, each in a process of its own
        start = sum(os.times()[:4])
        try:
            cli.main(one.command)
            ended = "was read"
        except SystemExit as error:
            ended = "" if error.code == 2 else f"exit code {error.code}"
        except BaseException as error:  # noqa: BLE001 - whatever comes out is what the test is about
            ended = f"raised {type(error).__name__}: {error}"
        spent = sum(os.times()[:4]) - start
        line = capsys.readouterr().err
        problems = [ended] if ended else _problems(line, one)
        problems += ["something of it ran"] if (folder / "canary" / "ran").exists() else []
        problems += ["the file outside was opened"] if watch.opened() else []
        wrong += [f"{one.id}: {problem}: {line.strip()}" for problem in problems]
        # Of the first, the imports count as well.
        if one is not found[0] and spent > SECONDS:
            wrong.append(f"{one.id}: took {spent:.1f} s")
    assert not wrong, "\n".join(wrong)
    # The watch itself works.
    (folder / "canary" / "secret").read_bytes()
    assert watch.opened()


def _problems(line: str, one: corpus.Hostile) -> list[str]:
    problems = []
    if line.count("\n") != 1 or len(line) > 800:
        problems.append("not one line")
    if one.words not in line:
        problems.append(f"does not say {one.words!r}")
    if one.path.name not in line:
        problems.append("does not name the file")
    return problems


def test_bombs_take_little_time_and_memory(hostile):
    """All in one process, whose peak says what the worst of them took; imports and a sound file come first."""
    found = [one for one in hostile[1] if one.bomb]
    assert len(found) >= 8
    script = Path(__file__).with_name("_bombs.py")
    done = subprocess.run(
        [sys.executable, str(script), *(f"{one.words}|{'|'.join(one.command)}" for one in found)],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(found)
    for line in lines:
        megabytes, seconds = (float(part) for part in line.split()[:2])
        assert megabytes < MEGABYTES, line
        assert seconds < SECONDS, line

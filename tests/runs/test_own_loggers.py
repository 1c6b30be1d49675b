"""Loggers that an installed package offers."""

import pytest

from helpers.own import installed
from prudent.errors import ConfigError
from prudent.runs import loggers, own_loggers

LOGGER = """
class Lines:
    def __init__(self, folder, names, resume_at):
        self.file = (folder / "lines.txt").open("a")
        self.file.write(f"{','.join(names)} {resume_at}\\n")

    def log(self, step, metrics, members=None):
        if "bad" in metrics:
            raise ValueError("no such metric")
        if "full" in metrics:
            raise OSError(28, "No space left on device")
        self.file.write(f"{step} {sorted(metrics)} {members}\\n")

    def sync(self):
        self.file.flush()

    def close(self):
        self.file.close()


def fails(folder, names, resume_at):
    return names[99]


def makes_none(folder, names, resume_at):
    return None


word = "no function"
"""
POINTS = {name: f"line_logger:{place}" for name, place in (
    ("lines", "Lines"), ("fails", "fails"), ("none", "makes_none"), ("word", "word"), ("gone", "absent")
)}  # fmt: skip


@pytest.fixture
def offered(tmp_path, monkeypatch):
    installed(tmp_path, monkeypatch, {"prudent.loggers": POINTS}, {"line_logger": LOGGER})
    return tmp_path


def test_the_flag_takes_it_by_its_name(offered):
    """Beside those of the library, and a name that nobody offers is told what there is."""
    loggers.check(["jsonl", "lines"])
    with loggers.local_loggers(["lines"], offered, ["seed=0"]) as several:
        several.log(10, {"train/critic_loss": [1.0]})
    assert "10 ['train/critic_loss'] None" in (offered / "lines.txt").read_text()
    assert "train/critic_loss" in (offered / "metrics.jsonl").read_text()
    with pytest.raises(ConfigError, match="did you mean lines"):
        loggers.check(["line"])
    for name, line in (("gone", "absent"), ("word", "expected a function")):  # before a folder is made
        with pytest.raises(ConfigError, match=line):
            loggers.check([name])


def test_it_gets_every_event(offered):
    assert own_loggers.names() == sorted(POINTS)
    with own_loggers.opened("lines", offered, ["seed=0", "seed=1"], 40) as logger:
        logger.log(50, {"train/critic_loss": [1.0, 2.0]})
        logger.log(60, {"guard/stopped": [1.0]}, members=[1])
        logger.sync()
    lines = (offered / "lines.txt").read_text().splitlines()
    assert lines == ["seed=0,seed=1 40", "50 ['train/critic_loss'] None", "60 ['guard/stopped'] [1]"]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("fails", r"^logger fails \(somebody 1\.2\): line_logger\.py line \d+: IndexError: list index out of range$"),
        ("none", r"^logger none \(somebody 1\.2\) made NoneType, which has no log"),
        ("word", r"^logger word \(somebody 1\.2\) is str, expected a function of \(folder, names, resume_at\)$"),
        ("gone", r"^gone \(line_logger:absent, somebody 1\.2\): AttributeError"),
        ("nobody", r"^no installed package has an entry point 'nobody' in prudent\.loggers$"),
    ],
)
def test_what_cannot_be_opened_is_one_line(name, line, offered):
    with pytest.raises(ConfigError, match=line):
        own_loggers.opened(name, offered, ["seed=0"])


def test_what_it_raises_later_is_one_line_and_a_full_disk_stays_one(offered):
    with own_loggers.opened("lines", offered, ["seed=0"]) as logger:
        with pytest.raises(
            ConfigError, match=r"^logger lines \(somebody 1\.2\): line_logger\.py line 9: ValueError: no "
        ):
            logger.log(1, {"bad": 1.0})
        with pytest.raises(OSError, match="No space left"):
            logger.log(1, {"full": 1.0})

"""``--algo FILE``: every verb works with the file, and refuses in one line without it."""

import json

import pytest

from helpers.own import SMALL, algorithm_file
from helpers.runs import assert_same_weights, prudent, tree, write_log
from prudent.algorithms.own import registry

AGAIN = "'mine.py', and code is never run by itself: give the file again, --algo mine.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with ``mine.py``, ``log.npz`` and ``run``, trained with the file."""
    folder = tmp_path_factory.mktemp("own")
    log = write_log(folder / "log.npz")
    algorithm_file(folder)
    words = ["--env", "Pendulum-v1", "--eval-episodes", "1", "--seeds", "0", "1", *SMALL]
    assert prudent("train", log, "--algo", folder / "mine.py", "--out", folder / "run", *words) == 0
    registry.forget("mine")
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def one_line(capsys, *words):
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert prudent(*words) == 2, words
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_the_run_remembers_the_file(here):
    stored = json.loads((here / "run" / "config.json").read_text())
    (checkpoint,) = (here / "run" / "checkpoints").iterdir()
    description = json.loads((checkpoint / "checkpoint.json").read_text())
    assert stored["algorithm"] == description["algorithm"] == "mine"
    assert stored["code"] == description["code"]
    assert stored["code"].keys() == {"file", "sha256"}
    assert stored["code"]["file"] == "mine.py"
    assert (here / "run" / "code" / "mine.py").read_bytes() == (here / "mine.py").read_bytes()
    assert not list(here.glob("**/__pycache__"))


VERBS = {
    "evaluate": ["evaluate", "run", "--episodes", "1"],
    "support": ["support", "run"],
    "value": ["value", "run", "--out", "value-out.json"],
    "export": ["export", "run", "--out", "exported"],
    "finetune": ["finetune", "run", "--steps", "2", "--out", "online"],
    "resume": ["train", "--resume", "run", "--steps", "6"],
    "collect": ["data", "collect", "--env", "Pendulum-v1", "--policy", "run", "--steps", "20", "--out", "new.hdf5"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_without_the_file_it_is_refused_and_nothing_is_written(verb, here, capsys):
    before = tree(here)
    assert AGAIN in one_line(capsys, *VERBS[verb])
    assert tree(here) == before


@pytest.mark.parametrize("verb", VERBS)
def test_another_file_is_refused_and_nothing_is_written(verb, here, tmp_path, capsys):
    other = algorithm_file(tmp_path, more="\n# another comment\n")
    before = tree(here)
    assert "its SHA-256 differs" in one_line(capsys, *VERBS[verb], "--algo", other)
    assert tree(here) == before


@pytest.mark.parametrize("verb", ["evaluate", "support", "value", "export", "finetune", "collect"])
def test_with_the_file_it_works(verb, here, tmp_path, capsys):
    words = [*VERBS[verb], "--algo", here / "mine.py"]
    if "--out" in words:
        words[words.index("--out") + 1] = tmp_path / words[words.index("--out") + 1]
    if verb == "export":
        words += ["--format", "torch"]  # which needs no extra
    if verb == "value":
        words[1:2] = [next((here / "run" / "checkpoints").iterdir())]
        words += ["--data", here / "log.npz"]
    assert prudent(*words) == 0, capsys.readouterr().err
    if verb == "export":
        registry.forget("mine")
        check = ["export", "--check", words[words.index("--out") + 1]]
        assert AGAIN in one_line(capsys, *check)
        assert prudent(*check, "--algo", here / "mine.py") == 0, capsys.readouterr().err


def test_a_file_that_nothing_was_trained_with_is_refused(here, tmp_path, capsys):
    other = algorithm_file(tmp_path, "theirs")
    words = ["evaluate", "run", "--algo", here / "mine.py", "--algo", other]
    assert f"--algo {other} is not used: run was trained with mine; leave it out" in one_line(capsys, *words)


def test_report_needs_no_file_and_runs_no_code(here, tmp_path, capsys):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(here / "run", run)
    (run / "code" / "mine.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    (run / "report.html").unlink()
    assert prudent("report", run) == 0
    assert "mine on" in (run / "report.html").read_text()
    assert AGAIN in one_line(capsys, "evaluate", run)
    monkey = [path for path in tmp_path.iterdir() if path.name == "executed"]
    assert monkey == [], "a copy in a run is never run by itself"


def test_a_resumed_run_ends_as_one_that_never_stopped(here, tmp_path):
    file, log = here / "mine.py", here / "log.npz"
    small = [*SMALL, "--seeds", "0", "1"]
    assert prudent("train", log, "--algo", file, "--out", tmp_path / "whole", *small, "--steps", "6") == 0
    assert prudent("train", log, "--algo", file, "--out", tmp_path / "parts", *small) == 0
    registry.forget("mine")
    assert prudent("train", "--resume", tmp_path / "parts", "--steps", "6", "--algo", file) == 0
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_groups_ask_for_the_file_once(here, tmp_path, capsys):
    words = ["--out", tmp_path / "groups", *SMALL, "--n-critics", "1", "2"]
    assert prudent("train", here / "log.npz", "--algo", here / "mine.py", *words) == 0
    registry.forget("mine")
    again = ["train", "--resume", tmp_path / "groups", "--steps", "6"]
    assert AGAIN in one_line(capsys, *again)
    assert prudent(*again, "--algo", here / "mine.py") == 0


def test_a_suite_takes_a_name_whose_file_is_given(here, tmp_path, capsys):
    suite = tmp_path / "own.toml"
    text = (
        '[train]\nsteps = 4\neval_episodes = 1\ndevice = "cpu"\n[settings]\nhidden = [8, 8]\nbatch_size = 8\n'
        '[[dataset]]\nname = "log"\nsource = "LOG"\nenv = "Pendulum-v1"\nalgorithms = ["NAME", "bc"]\n'
    ).replace("LOG", str(here / "log.npz"))
    suite.write_text(text.replace("NAME", "mine"))
    out = ["--out", tmp_path / "bench"]
    assert "unknown algorithm 'mine'" in one_line(capsys, "bench", suite, *out)
    assert prudent("bench", suite, *out, "--algo", here / "mine.py") == 0
    assert "Mine" in capsys.readouterr().out
    registry.forget("mine")
    assert "unknown algorithm 'mine'" in one_line(capsys, "bench", suite, *out, "--dry-run")
    assert prudent("bench", suite, *out, "--algo", here / "mine.py", "--dry-run") == 0
    suite.write_text(text.replace("NAME", "./mine.py"))
    said = one_line(capsys, "bench", suite, *out)
    assert "a suite names no files: write mine, and give the file with --algo ./mine.py" in said


def test_tune_takes_the_library_s_algorithms_only(here, capsys):
    for words in (["--algo", "mine.py"], ["--algo", "./mine.py"]):
        said = one_line(capsys, "tune", "log.npz", "--out", "tuned", *words)
        assert "is an algorithm of your own, and tune knows only how the library's become more cautious" in said
    assert not (here / "tuned").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("edits", "line"),
    [
        ({'"gaussian"': "1 / 0"}, "broken.py line 10: ZeroDivisionError: division by zero"),
        ({"def draw(": "def drow("}, "broken.py is no algorithm: draw(spec, hyper, rng) is missing"),
        (
            {"def init(spec, hyper, rng):": "def init(spec, hyper, rng):\n    None.w"},
            "AttributeError: 'NoneType' object",
        ),
    ],
)
def test_a_file_that_is_none_is_one_line_and_writes_nothing(edits, line, tmp_path, capsys):
    file = algorithm_file(tmp_path, "broken", **edits)
    assert line in one_line(capsys, "train", "log.npz", "--algo", file, "--out", tmp_path / "out", *SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
def test_an_error_in_training_is_one_line(tmp_path, capsys):
    file = algorithm_file(tmp_path, "late", **{"    q_PB = networks.q_min(": "    1 / 0\n    q_PB = networks.q_min("})
    capsys.readouterr()
    assert prudent("train", "log.npz", "--algo", file, "--out", tmp_path / "out", *SMALL) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("prudent: late.py: update_actor: late.py line 5")
    assert said[-1].endswith("ZeroDivisionError: division by zero")


@pytest.mark.usefixtures("here")
def test_absent_files_are_one_line(capsys):
    for words in (["train", "log.npz", "--algo", "./absent.py"], ["evaluate", "run", "--algo", "absent.py"]):
        assert "absent.py: no such file" in one_line(capsys, *words)


@pytest.mark.usefixtures("here")
def test_help_shows_the_settings_of_the_file(capsys):
    assert prudent("train", "--algo", "mine.py", "--help") == 0
    assert "weight of Q, which is divided by its mean size" in " ".join(capsys.readouterr().out.split())

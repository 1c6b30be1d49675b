"""``prudent new algorithm``: a start that trains, and mistakes that write nothing."""

import pytest

from helpers.runs import prudent, tree, write_log
from prudent.testing import check_algorithm

SMALL = ["--steps", "4", "--batch-size", "8", "--hidden", "8", "8", "--device", "cpu"]


def test_what_it_writes_keeps_the_contract_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert prudent("new", "algorithm", "my_own_cql") == 0
    said = capsys.readouterr().out
    assert "train DATA --algo my_own_cql.py" in said
    assert "python -m prudent.testing my_own_cql.py" in said
    text = (tmp_path / "my_own_cql.py").read_text()
    assert 'TITLE, POLICY, NEEDS = "MyOwnCql", "gaussian", ()' in text
    code = [line for line in text.splitlines() if line.strip()]
    assert len(code) <= 50, "a start that fits on a screen"
    check_algorithm("my_own_cql.py")
    log = write_log(tmp_path / "log.npz")
    assert prudent("train", log, "--algo", "my_own_cql.py", "--alpha", "1", "2", "--out", "run", *SMALL) == 0
    assert (tmp_path / "run" / "code" / "my_own_cql.py").read_text() == text


def test_a_folder_or_a_file_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "algorithms").mkdir()
    assert prudent("new", "algorithm", "one", "--out", "algorithms") == 0
    assert prudent("new", "algorithm", "two", "--out", "algorithms/two.py") == 0
    assert sorted(p.name for p in (tmp_path / "algorithms").iterdir()) == ["one.py", "two.py"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["taken"], "taken.py exists and is not overwritten"),
        (["dangling"], "dangling.py exists and is not overwritten"),
        (["cql"], "prudent has an algorithm cql already"),
        (["sql"], "prudent has an algorithm sql already"),
        (["My-CQL"], "a name has small letters, digits and _"),
        (["../up"], "a name has small letters, digits and _"),
        (["mine", "--out", "other.py"], "so the file is called mine.py"),
        (["mine", "--out", "nowhere/mine.py"], "there is no folder nowhere"),
        ([], "NAME"),
        (["mine", "--force"], "--force"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.py").write_text("mine = 1\n")
    (tmp_path / "dangling.py").symlink_to("nowhere_at_all")
    before = tree(tmp_path)
    assert prudent("new", "algorithm", *words) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path, monkeypatch, capsys):
    from prudent import files

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "replace", refuse)
    assert prudent("new", "algorithm", "mine") == 2
    assert "mine.py cannot be written: " in capsys.readouterr().err

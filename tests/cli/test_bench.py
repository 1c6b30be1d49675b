"""``prudent bench``: its flags, its exit codes."""

from pathlib import Path

import pytest

import helpers.toys  # noqa: F401 - registers the environments
from helpers.runs import prudent, tree
from helpers.suites import OTHER, TOY
from prudent import bench
from prudent.bench.cells import FAILED, CellStatus

pytest_plugins = ["helpers.suite_fixtures"]


@pytest.mark.usefixtures("quick_report", "toy")
def test_failed_cells_end_in_one_line_and_code_1(capsys, monkeypatch):
    train_cell = bench.train_cell

    def fails(cell, out, datasets):
        return CellStatus(FAILED, 0, "for a test") if cell.algorithm == "cql" else train_cell(cell, out, datasets)

    monkeypatch.setattr(bench, "train_cell", fails)
    assert prudent("bench", "toy.toml") == 1
    error = capsys.readouterr().err
    assert error == ("prudent: 1 of 2 cells failed: log/cql; the table says why, the same command tries again\n")
    assert Path("bench/toy/comparison.png").exists()
    assert prudent("bench", "toy.toml", "--only", "bc") == 0


def test_missing_data_are_one_line_before_anything_is_written(toy, capsys):
    toy.write_text(TOY + OTHER)
    before = tree(toy.parent)
    assert prudent("bench", "toy.toml") == 2
    assert capsys.readouterr().err == (
        "prudent: gone.npz: no such file (dataset gone of the suite; --datasets can leave it out)\n"
    )
    assert tree(toy.parent) == before


def test_the_list_names_the_suites(capsys):
    assert prudent("bench", "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(bench.shipped())


def test_a_dry_run_writes_nothing(toy, trained, capsys):
    before = tree(Path())
    assert prudent("bench", toy, "--dry-run", "--only", "cql,bc", "--datasets", "log") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["log/bc", "log/cql"]
    assert tree(Path()) == before
    assert not trained


def test_rendering_trains_nothing(one_cell, trained, capsys):
    assert prudent("bench", one_cell / "toy.toml", "--render", "--out", one_cell / "out") == 0
    assert "log, CQL: missing" in capsys.readouterr().out
    assert not trained


COMMANDS = {
    "no suite": ([], "bench: name a suite"),
    "unknown flag": (["toy.toml", "--onyl", "bc"], "unknown argument --onyl; did you mean --only?"),
    "unknown algorithm": (["toy.toml", "--only", "bc,cq"], "suite toy: no algorithm is called 'cq'; did you mean cql?"),
    "algorithm of other suites": (
        ["toy.toml", "--only", "iql"],
        "suite toy: iql is not in this suite, which has bc, cql",
    ),
    "unknown dataset": (["toy.toml", "--datasets", "lag"], "suite toy: no dataset is called 'lag'; did you mean log?"),
    "two at once": (["toy.toml", "--dry-run", "--render"], "not allowed with"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_mistakes_on_the_command_line(toy, command, capsys):
    words, told = COMMANDS[command]
    before = tree(toy.parent)
    assert prudent("bench", *words) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert tree(toy.parent) == before

"""``prudent support``: its table, its JSON, its picture, its mistakes."""

import json

import numpy as np
import pytest

from helpers.runs import columns, discrete_columns, prudent, tree, write_log

pytest_plugins = ["helpers.run_fixtures"]


def test_it_finds_the_data_of_the_run_and_writes_nothing(run, capsys):
    before = tree(run)
    assert prudent("support", run) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        f"{run}, step 5: 240 decisions per member at states of log.npz, each compared with 160 of log.npz"
    )
    assert [line.split("  ")[0] for line in lines[3:7]] == ["seed=0", "seed=1", "all", "the log itself"]
    assert "action feature" in lines[8]
    assert "of the log's own would" in lines[12]
    assert tree(run) == before
    assert prudent("support", run / "checkpoints" / "step_5") == 0
    assert capsys.readouterr().out.splitlines()[3:] == lines[3:]


def test_json_holds_what_the_table_shows(run, capsys):
    assert (
        prudent("support", run, "--json", "--neighbours", 3, "--decisions", 100, "--seed", 2, "--no-deterministic") == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["step"], found["neighbours"], found["seed"], found["deterministic"]) == (5, 3, 2, False)
    assert found["rows"]["decisions"] == 100
    assert set(found["members"]) == {"seed=0", "seed=1"}
    assert sum(found["histogram"]["policy"]) == pytest.approx(1)
    assert sum(found["histogram"]["logged"]) == pytest.approx(1)


def test_every_setting_takes_effect(run, capsys):
    def figures(*words):
        assert prudent("support", run, "--json", *words) == 0
        found = json.loads(capsys.readouterr().out)
        return json.dumps({key: found[key] for key in ("rows", "thresholds", "overall")})

    plain = figures()
    assert figures() == plain
    for words in (
        ("--neighbours", 5),
        ("--level", 0.9),
        ("--decisions", 100),
        ("--reference", 50),
        ("--no-deterministic",),
        ("--seed", 1),
    ):
        assert figures(*words) != plain, words


def test_other_data_and_other_states(run, tmp_path, capsys):
    far = {**columns(), **{key: columns()[key] + 50 for key in ("observations", "next_observations")}}
    rollouts = write_log(tmp_path / "rollouts.npz", **far)
    assert prudent("support", run, "--at", rollouts, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dataset"], found["states"]) == ("log.npz", "rollouts.npz")
    assert found["overall"]["state_outside"] == 1.0
    assert prudent("support", run, "--data", rollouts, "--json") == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "rollouts.npz"


def test_the_picture_is_a_png(run, tmp_path):
    assert prudent("support", run, "--picture", tmp_path / "support.png") == 0
    assert (tmp_path / "support.png").read_bytes()[:4] == b"\x89PNG"


def test_mistakes_are_one_line(run, tmp_path, capsys):
    short = write_log(
        tmp_path / "short.npz",
        **{name: column[:40] if np.ndim(column) else column for name, column in columns().items()},
    )
    other = write_log(tmp_path / "other.npz", **discrete_columns())
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    for words, told in (
        ((tmp_path / "nowhere",), "no such folder"),
        ((tmp_path / "empty",), "no checkpoint here to load"),
        ((run, "--data", short), "one episode only"),
        ((run, "--data", other), "policy for other spaces"),
        ((run, "--neighbours", 1000), "fewer than the 1000"),
        ((run, "--level", 2), "level must lie within"),
        ((run, "--horizon", 40), "--horizon says how to read data that are named here"),
        ((run, "--leval", 0.9), "did you mean --level?"),
    ):
        assert prudent("support", *words) == 2, words
        captured = capsys.readouterr()
        assert told in captured.err, words
        assert captured.err.count("\n") == 1, captured.err
        assert captured.out == ""
    assert tree(tmp_path) == before


def test_a_bare_checkpoint_asks_for_the_data(run, log, tmp_path, capsys):
    import prudent as library

    library.load(run).save(tmp_path / "saved")
    assert prudent("support", tmp_path / "saved") == 2
    assert "name the log with --data" in capsys.readouterr().err
    assert prudent("support", tmp_path / "saved", "--data", log) == 0


@pytest.mark.parametrize(
    ("name", "said"), [("suite.toml", "end in .png"), ("old.png", "exists"), ("no/a.png", "no folder")]
)
def test_a_picture_overwrites_nothing(run, tmp_path, capsys, name, said):
    for kept in ("suite.toml", "old.png"):
        (tmp_path / kept).write_text("mine")
    assert prudent("support", run, "--picture", tmp_path / name) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert (tmp_path / "suite.toml").read_text() == (tmp_path / "old.png").read_text() == "mine"

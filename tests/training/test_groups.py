"""Members that cannot train together: who is in which group, their runs, and how what was stopped goes on."""

import json
import shutil
import signal

import numpy as np
import pytest

from helpers.runs import TINY, assert_same_weights, flags, metrics_of, prudent, tree, write_log
from prudent import algorithms
from prudent.engine import members as grids
from prudent.errors import ConfigError
from prudent.runs import checkpoint
from prudent.training import groups, session
from prudent.training.recorder import Recorder

pytest_plugins = ["helpers.report_fixtures", "helpers.run_fixtures"]

NAMES = ["n_actions=2", "n_actions=3"]
SETTINGS = ["--alpha", 1, 5, "--seeds", 0, 1]


@pytest.fixture
def begin(log, tmp_path):
    """Trains two groups of four members; more words may follow."""

    def made(*words, out="out"):
        base = [word for word in flags("cql") if word != "--n-actions"]
        position = flags("cql").index("--n-actions")
        del base[position]
        command = ["train", log, *base, "--n-actions", 2, 3, *SETTINGS, "--steps", 20, "--checkpoint-every", 10]
        return prudent(*command, "--threads", 1, *words, "--out", tmp_path / out), tmp_path / out

    return made


# --- who is in which group --------------------------------------------------------------------------------------------


def test_numbers_of_a_float_share_a_group_and_whole_numbers_and_choices_divide():
    settings = {"alpha": [1.0, 5.0], "n_actions": [2, 3], "gradient": ["exact", "sampled"], "batch_size": 16}
    found = grids.groups(algorithms.get("cql").Config(), settings, [0, 1])
    assert [group.name for group in found] == [
        f"n_actions={n},gradient={g}" for n in (2, 3) for g in ("exact", "sampled")
    ]
    for group in found:
        assert [m.name for m in group.members] == [f"alpha={a},seed={s}" for a in (1, 5) for s in (0, 1)]
        for member in group.members:
            told = f"n_actions={member.config.n_actions},gradient={member.config.gradient}"
            assert (told, member.config.batch_size) == (group.name, 16)


def test_one_value_makes_one_group_without_a_name():
    for given in ({}, {"n_actions": 3}, {"n_actions": [3], "alpha": [1.0, 2.0]}):
        (group,) = grids.groups(algorithms.get("cql").Config(), given, [0])
        assert group.name == ""
        assert group.members[0].config.n_actions == given.get("n_actions", 10) or given["n_actions"] == [3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_actions": [2, 2]}, "n_actions must be one or more different values"),
        ({"n_actions": []}, "n_actions must be one or more different values"),
        ({"n_actions": [2, 0]}, "n_actions must be above 0"),
        ({"gradient": ["exact", "best"]}, "gradient cannot be 'best'"),
    ],
)
def test_values_that_make_no_groups(settings, message):
    with pytest.raises(ConfigError, match=message):
        grids.groups(algorithms.get("cql").Config(), settings, [0])


def test_every_scalar_setting_may_have_several_values():
    """All but switches, which have no list, and settings whose value is a list."""
    for name in algorithms.names():
        config_type = algorithms.get(name).Config
        several = grids.member_fields(config_type) | grids.group_fields(config_type)
        single = {n: v for n, v in vars(config_type()).items() if n not in several}
        for setting, value in single.items():
            assert isinstance(value, bool | tuple) or setting == "gap_clip", f"{name}: {setting} takes one value only"


# --- their runs -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_report")
def test_a_group_is_a_run_like_any_other(begin, log, tmp_path, capsys):
    code, out = begin()
    assert code == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith(("group", "finished"))] == [
        *(f"group {name}" for name in NAMES),
        *(f"finished: {out / name / 'report.html'}" for name in NAMES),
    ]
    for name in NAMES:
        alone = tmp_path / f"alone-{name}"
        base = [
            *flags("cql"),
            "--n-actions",
            name[-1],
            *SETTINGS,
            "--steps",
            20,
            "--checkpoint-every",
            10,
            "--threads",
            1,
        ]
        assert prudent("train", log, *base, "--out", alone) == 0
        assert_same_weights(out / name, alone)
        assert json.loads((out / name / "status.json").read_text())["state"] == "finished"


@pytest.mark.usefixtures("blank_pictures")
def test_each_report_shows_the_other_groups(begin):
    _, out = begin()
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        page = (out / name / "report.html").read_text()
        assert "Comparison with other runs" in page
        assert other in page


@pytest.mark.usefixtures("quick_report")
def test_what_was_stopped_goes_on_whichever_group_was_under_way(begin, monkeypatch, capsys):
    _, whole = begin(out="whole")
    stepped = Recorder.stepped

    def stop(self, step, totals):
        if self.folder.name == stopped_in and step == 7:
            self.requests.append(15)
        stepped(self, step, totals)

    for stopped_in in NAMES:
        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "stepped", stop)
            code, out = begin(out=f"stopped-{stopped_in}")
        assert code == 130
        told = capsys.readouterr().err
        assert f"stopped by SIGTERM at step 7; its policy is saved; go on with: prudent train --resume {out}\n" in told
        assert prudent("train", "--resume", out) == 0
        assert "starts over" not in capsys.readouterr().out
        for name in NAMES:
            assert_same_weights(out / name, whole / name)
            assert metrics_of(out / name) == metrics_of(whole / name)
    assert prudent("train", "--resume", out, "--steps", 25) == 0
    assert {checkpoint.load(out / name)[0].state.step for name in NAMES} == {25}


@pytest.mark.usefixtures("quick_report")
def test_a_group_that_fails_leaves_the_others_to_train(begin, monkeypatch, capsys):
    original = groups.resume_run

    def failing(folder, *words, **named):
        if folder.name == NAMES[0]:
            raise error
        return original(folder, *words, **named)

    for error in (ConfigError("it has diverged"), RuntimeError("out of\nmemory"), MemoryError()):
        told = " ".join(str(error).split()) or "MemoryError"
        with monkeypatch.context() as patch:
            patch.setattr(groups, "resume_run", failing)
            code, out = begin(out=type(error).__name__)
        assert code != 0, told
        errors = capsys.readouterr().err.splitlines()
        assert errors == [
            f"group {NAMES[0]} failed: {told}",
            f"prudent: 1 of 2 groups failed, as said above: {NAMES[0]}",
        ]
        assert checkpoint.load(out / NAMES[1])[0].state.step == 20
        assert (out / NAMES[1] / "report.html").exists()


@pytest.mark.usefixtures("quick_report")
def test_the_time_limit_is_for_all_groups(begin, monkeypatch, capsys):
    clock = iter(range(0, 6000, 60))
    monkeypatch.setattr(groups.time, "monotonic", lambda: float(next(clock)))
    given = []
    monkeypatch.setattr(groups, "resume_run", lambda *_, max_minutes, **__: given.append(max_minutes))
    code, out = begin("--max-minutes", 1.5)
    assert (code, given) == (130, [0.5])
    said = f"stopped before this group after the minutes of max_minutes; go on with: prudent train --resume {out}"
    assert said in capsys.readouterr().err
    assert prudent("train", "--resume", out, "--max-minutes", 9) == 0
    assert given == [0.5, 8, 7]


def test_the_folder_is_there_with_all_of_its_groups_or_not_at_all(begin, monkeypatch, tmp_path, capsys):
    begun = groups.begin

    def failing(request):
        if request.folder.name == NAMES[1]:
            raise error
        return begun(request)

    before = tree(tmp_path)
    for error, code in ((ConfigError("no"), 2), (KeyboardInterrupt(), 130)):
        with monkeypatch.context() as patch:
            patch.setattr(groups, "begin", failing)
            assert begin()[0] == code
        assert tree(tmp_path) == before, error
    assert "nothing has trained yet" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(groups, "resume", lambda *_, **__: None)
    assert begin()[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["groups.json", *NAMES]


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_are_one_line_and_leave_nothing(begin, tmp_path, capsys):
    for words, message in (
        (["--batch-size", 0, 8], "batch_size must be above 0"),
        (["--batch-size", 8, 8], "batch_size must be one or more different values"),
        (["--env", "CartPole-v1"], "does not fit"),
    ):
        before = tree(tmp_path)
        code, _ = begin(*words)
        assert code == 2, words
        assert message in capsys.readouterr().err
        assert tree(tmp_path) == before, words


@pytest.mark.usefixtures("quick_report")
def test_the_folder_is_refused_where_one_run_is_wanted(begin, capsys):
    _, out = begin()
    verbs = ["evaluate", "report", "value", "support", "finetune"]
    for words in (*[[verb, out] for verb in verbs], ["report", out / NAMES[0], "--compare", f"other={out}"]):
        capsys.readouterr()
        assert prudent(*words) == 2, words
        assert f"{out} holds a run for each of {' '.join(NAMES)}: name one of them" in capsys.readouterr().err


@pytest.mark.usefixtures("quick_report")
@pytest.mark.parametrize("when", ["begin", "support"])
def test_a_signal_that_no_training_is_there_to_heed_stops_before_the_next_group(begin, monkeypatch, capsys, when):
    """While folders are made, and behind a group's last step."""
    signalled, module = [], {"begin": groups, "support": session.support}[when]
    name = {"begin": "begin", "support": "write"}[when]
    real = getattr(module, name)

    def raising(*words):
        if not signalled:
            signalled.append(signal.raise_signal(signal.SIGTERM))
        return real(*words)

    monkeypatch.setattr(module, name, raising)
    code, out = begin()
    assert code == 130
    said = f"stopped before this group by SIGTERM; go on with: prudent train --resume {out}"
    assert said in capsys.readouterr().err
    steps = [len(checkpoint.steps(out / name)) for name in NAMES]
    assert steps == ([0, 0] if when == "begin" else [2, 0])
    assert prudent("train", "--resume", out) == 0
    assert {checkpoint.load(out / name)[0].state.step for name in NAMES} == {20}


@pytest.mark.usefixtures("quick_report")
def test_what_cannot_go_on_is_refused_before_any_group_trains(begin, log, capsys):
    _, out = begin()
    other = write_log(log.with_name("other.npz"), rewards=np.ones(240, np.float32))
    log.unlink()
    (out / NAMES[1] / "status.json").unlink()
    before = tree(out)
    for words, message in (
        ([], "no such file"),
        ([other], "was trained on other data"),
        ([other, "--device", "cuda:99"], "was trained on other data"),
        (["--steps", 30], "no such file"),
    ):
        capsys.readouterr()
        assert prudent("train", "--resume", out, *words) == 2, words
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1, errors
        assert message in errors[0]
        assert tree(out) == before, words
    shutil.rmtree(out / NAMES[1])
    assert prudent("train", "--resume", out) == 2
    assert f"{out / NAMES[1]} is not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", ["{", '{"groups": 3}', '{"groups": []}', '{"groups": ["../else"]}', '{"groups": [1]}']
)
def test_a_damaged_index_is_told(tmp_path, content, capsys):
    (tmp_path / groups.INDEX).write_text(content)
    assert prudent("train", "--resume", tmp_path) != 0
    assert "is damaged" in capsys.readouterr().err


def test_settings_of_one_population_say_who_takes_several():
    with pytest.raises(
        ConfigError, match="n_actions must be the same for all members: give one value, and start a run"
    ):
        grids.split_settings(algorithms.get("cql").Config(), {"n_actions": [2, 3]})
    assert "n_actions" in TINY["cql"], "the runs above take it from there"

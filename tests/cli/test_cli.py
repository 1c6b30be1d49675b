"""The command line: every flag takes effect, every mistake is one line and leaves nothing behind."""

import os
import subprocess
import sys
import types
import typing
from dataclasses import fields

import numpy as np
import pytest

from helpers.patches import replace_everywhere
from helpers.runs import TINY, columns, flags, prudent, tree, write_log
from prudent import algorithms, cli, presets
from prudent.config import FloatOrAuto, member_fields
from prudent.engine.options import Options
from prudent.runs import checkpoint, machine, status
from prudent.training import start
from prudent.version import __version__

pytest_plugins = ["helpers.run_fixtures"]


@pytest.fixture
def asked(monkeypatch):
    """What the command line asks of :func:`prudent.training.start.train`, which does not run."""
    found = types.SimpleNamespace()

    def record(request):
        vars(found).update(vars(request))

    monkeypatch.setattr(start, "train", record)
    return found


# --- help -------------------------------------------------------------------------------------------------------------

HEAVY = ("torch", "numpy", "matplotlib", "gymnasium", "h5py", "pyarrow", "rich")


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["data"], ["evaluate", "--help"]])
def test_help_imports_nothing_heavy(words):
    heavy = HEAVY[:1] if "evaluate" in words else HEAVY
    program = (
        f"import sys; from prudent import cli\ntry: cli.main({words})\nexcept SystemExit: pass\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_importing_the_package_waits_for_nothing():
    program = "import sys, prudent; print('torch' in sys.modules, prudent.__version__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"False {__version__}\n"


@pytest.mark.parametrize("verb", ["demo", "train", "evaluate", "report", "data describe", "train --algo bc"])
def test_every_verb_explains_itself(verb, capsys):
    assert prudent(*verb.split(), "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: prudent ")
    if verb.startswith("train"):
        algorithm = "bc" if "bc" in verb else "cql"
        for f in [*fields(algorithms.get(algorithm).Config), *fields(Options)]:
            assert "--" + f.name.replace("_", "-") in text


def test_the_installed_command_is_this_one(capsys):
    from importlib.metadata import entry_points

    (point,) = entry_points(group="console_scripts", name="prudent")
    assert point.load() is cli.main
    assert prudent("--version") == 0
    assert capsys.readouterr().out == f"prudent {__version__}\n"


# --- flags ------------------------------------------------------------------------------------------------------------


def another(hint, default):
    """A value of a field's type that is not its default."""
    if isinstance(hint, types.UnionType):
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if hint is bool:
        return not default
    if typing.get_origin(hint) is typing.Literal:
        return next(choice for choice in typing.get_args(hint) if choice != default)
    if hint == FloatOrAuto:
        hint = float
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return {int: (5, 6), str: ("uniform",), float: (-1.5, 2.5)}[inner]
    return {int: (default or 0) + 2, float: 0.5 if default != 0.5 else 0.25}[hint]


@pytest.mark.parametrize("algorithm", algorithms.names())
def test_every_setting_of_every_algorithm_is_a_flag(log, asked, algorithm):
    config_type = algorithms.get(algorithm).Config
    hints = typing.get_type_hints(config_type)
    together = {"alpha_final": ["--alpha-anneal-steps", 10], "alpha_anneal_steps": ["--alpha-final", 0.1]}
    for f in fields(config_type):
        value = another(hints[f.name], f.default)
        flag = f.name.replace("_", "-")
        words = [f"--{flag}", *(value if isinstance(value, tuple) else (value,))]
        if isinstance(value, bool):
            words = [f"--{flag}" if value else f"--no-{flag}"]
        assert prudent("train", log, "--algo", algorithm, *words, *together.get(f.name, ()), "--out", "x") == 0, f.name
        assert asked.algorithm == algorithm
        assert getattr(asked.members[0].config, f.name) == value, f.name
        assert len(asked.members) == 1
        if f.name in member_fields(config_type) and f.name not in together:
            assert prudent("train", log, "--algo", algorithm, words[0], 0.5, 0.25, 0.75, "--out", "x") == 0
            assert [getattr(m.config, f.name) for m in asked.members] == [0.5, 0.25, 0.75], f.name


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--steps 7", "steps", 7),
        ("--env Pendulum-v1", "env", "Pendulum-v1"),
        ("--log-every 3", "log_every", 3),
        ("--eval-every 3", "eval_every", 3),
        ("--eval-episodes 3", "eval_episodes", 3),
        ("--checkpoint-every 3", "checkpoint_every", 3),
        ("--keep 9", "keep", 9),
        ("--video --env Pendulum-v1", "video", True),
        ("--device cpu", "device", "cpu"),
        ("--threads 1", "threads", 1),
        ("--preset antmaze", "eval_episodes", 100),
        ("--preset antmaze --eval-episodes 4", "eval_episodes", 4),
    ],
)
def test_options_of_training(log, asked, words, name, value):
    assert prudent("train", log, *words.split(), "--out", "x") == 0
    assert getattr(asked.options, name) == value
    assert Options() == Options(**{n: getattr(Options(), n) for n in vars(Options())})


def test_intervals_by_default_are_those_promised():
    options = Options()
    assert (options.log_every, options.eval_every, options.checkpoint_every) == (1000, 5000, 5000)


def test_lists_make_one_population(log, asked, tmp_path):
    words = ["--algo", "cql", "--seeds", 3, 1, "--alpha", 1, 5, "--actor-lr", "1e-4", "3e-4"]
    words += ["--hidden", 64, 64, "--batch_size", 32]
    assert prudent("train", log, *words, "--out", tmp_path / "r") == 0
    assert [m.name for m in asked.members] == [
        f"alpha={a},actor_lr={lr},seed={s}" for a in (1, 5) for lr in ("0.0001", "0.0003") for s in (3, 1)
    ]
    assert {(m.config.hidden, m.config.batch_size) for m in asked.members} == {((64, 64), 32)}
    assert asked.folder == tmp_path / "r"


def test_a_preset_is_the_base_of_what_is_typed(log, asked):
    assert prudent("train", log, "--preset", "locomotion", "--alpha", 2, "--out", "x") == 0
    config, preset = asked.members[0].config, presets.locomotion().config
    assert (config.alpha, config.actor_lr, config.hidden) == (2.0, preset.actor_lr, preset.hidden)


def test_data_flags(tmp_path, asked):
    ends = np.arange(1, 241) % 40 == 0
    log = write_log(tmp_path / "ends.npz", terminals=None, timeouts=None, dones=ends)
    words = ["--dones", "terminated", "--action-low", -3, "--action-high", 3, "--horizon", 40]
    assert prudent("train", log, log, *words, "--out", "x") == 0
    assert asked.sources == {
        "source": [str(log)] * 2,
        "dones": "terminated",
        "action_low": -3.0,
        "action_high": 3.0,
        "horizon": 40,
    }
    assert len(asked.dataset) == 480
    assert asked.dataset.spec.action_high == (3.0,)
    assert prudent("train", log, "--out", "x", log) == 0
    assert asked.sources["source"] == [str(log)] * 2


def test_without_out_runs_are_numbered(log, asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prudent("train", log, "--algo", "bc") == 0
    assert str(asked.folder) == "runs/log.npz-bc"
    asked.folder.mkdir(parents=True)
    assert prudent("train", log, "--algo", "bc") == 0
    assert str(asked.folder) == "runs/log.npz-bc-2"


def test_problems_of_the_data_are_said_before_training_and_in_the_report(tmp_path, capsys):
    path = write_log(tmp_path / "log.npz", rewards=np.zeros(240, dtype=np.float32))
    assert prudent("train", path, *flags("bc"), "--steps", 3, "--out", tmp_path / "run") == 0
    told = "constant reward (240): every policy is worth the same; is this the right column?"
    assert f"log.npz: {told}\n" in capsys.readouterr().out
    assert f"Data: {told}<" in (tmp_path / "run" / "report.html").read_text()


def test_training_without_an_environment(log, tmp_path, quick_report, capsys):  # noqa: ARG001
    assert prudent("train", log, *flags("bc"), "--steps", 3, "--out", tmp_path / "run") == 0
    assert capsys.readouterr().out.endswith(f"finished: {tmp_path / 'run' / 'report.html'}\n")
    assert not (tmp_path / "run" / "evaluation.json").exists()
    assert prudent("evaluate", tmp_path / "run") == 2
    assert "trained without an environment: name one with --env" in capsys.readouterr().err


def test_single_decisions_take_n_steps_as_1_and_say_so(tmp_path, capsys):
    log = write_log(tmp_path / "log.npz", terminals=np.ones(240, dtype=bool), timeouts=np.zeros(240, dtype=bool))
    words = ("train", log, *flags("cpql"), "--n-steps", 5, "--steps", 2, "--out", tmp_path / "run")
    assert prudent(*words) == 0
    assert "log.npz: every episode is a single step, so n_steps 5 is taken as 1\n" in capsys.readouterr().out
    assert checkpoint.load(tmp_path / "run")[0].members[0].config.n_steps == 1


# --- mistakes ---------------------------------------------------------------------------------------------------------


def damaged(name):
    """A function that writes a log with something wrong with it."""

    def write(folder):
        path = folder / "log.npz"
        if name == "missing key":
            return write_log(path, rewards=None)
        if name == "NaN":
            return write_log(path, rewards=np.full(240, np.nan, dtype=np.float32))
        if name == "wrong shape":
            return write_log(path, rewards=np.zeros((240, 2), dtype=np.float32))
        if name == "out of bounds":
            return write_log(path, actions=9 * columns()["actions"])
        if name == "objects":
            return write_log(path, rewards=np.array([None] * 240))
        if name == "discrete":
            return write_log(
                path, actions=np.arange(240) % 3, discrete=np.array(True), action_low=None, action_high=None
            )
        if name == "shuffled":
            order = np.random.default_rng(0).permutation(240)
            mixed = ("observations", "actions", "rewards", "next_observations")
            return write_log(path, **{key: columns()[key][order] for key in mixed})
        if name == "truncated":
            write_log(path)
            path.write_bytes(path.read_bytes()[:700])
        elif name == "empty":
            path.write_bytes(b"")
        elif name == "absent":
            return folder / "absent.npz"
        elif name == "wrong extension":
            return write_log(folder / "log.npz").rename(folder / "log.csv")
        return path

    return write


MISTAKES = [
    # words after "prudent train DATA --out OUT", the log's damage, what has to be said
    ("", "missing key", "rewards"),
    ("", "NaN", "rewards"),
    ("", "wrong shape", "rewards"),
    ("", "out of bounds", "action"),
    ("", "objects", "rewards"),
    ("", "truncated", "log.npz"),
    ("", "empty", "empty"),
    ("", "absent", "no such file"),
    ("", "wrong extension", ".csv"),
    ("", "discrete", "cql is for continuous actions, log.npz has discrete ones: choose from"),
    ("--algo bc", "discrete", "bc is for continuous actions"),
    ("--algo cqk", None, "did you mean cql?"),
    ("--algo", None, "expected one argument"),
    ("--preset locomotive", None, "did you mean locomotion?"),
    ("--preset locomotion --algo bc", None, "preset locomotion is for cql, not for bc"),
    ("--alhpa 3", None, "did you mean --alpha?"),
    ("--alpha", None, "expected at least one argument"),
    ("--alpha five", None, "'five'"),
    ("--alpha -1", None, "alpha must not be negative"),
    ("--alpha 5 -1", None, "alpha must not be negative"),
    ("--alpha nan", None, "'nan'"),
    ("--alpha 5 5", None, "different values"),
    ("--algo bc --alpha 5", None, "bc has no alpha, which is a setting of"),
    ("--seeds 1 1", None, "seeds must be one or more different values"),
    ("--seeds x", None, "'x'"),
    ("--steps 5 10", None, "--steps takes fewer values"),
    ("--n-actions 5 5", None, "n_actions must be one or more different values"),
    ("--n-actions 0", None, "n_actions must be above 0"),
    ("--hidden 0", None, "hidden"),
    ("--steps -5", None, "steps must be a whole number, 1 or more, got -5"),
    ("--steps 1.5", None, "'1.5'"),
    ("--eval-every 0", None, "eval_every"),
    ("--device abacus", None, "device"),
    ("--device cuda:77", None, "not available"),
    ("--video", None, "video needs an environment"),
    ("--env Pendulum-v77", None, "Pendulum-v77"),
    ("--env NoSuchThing-v0", None, "NoSuchThing-v0"),
    ("--env MountainCarContinuous-v0", None, "does not fit the dataset"),
    ("--env CartPole-v1", None, "does not fit the dataset"),
    ("--dones maybe", None, "maybe"),
    ("--action-high 1", None, "action"),
    ("--action-low 1 2 3", None, "action_low"),
    ("--horizon 0", None, "horizon"),
    ("--map map.toml", None, "log.npz: a mapping (--map) is for CSV and Parquet tables"),
    ("--horizon 40", None, "log.npz: horizon does not apply to it, its flags say where the recording was cut"),
    ("--dones truncated", None, "log.npz: dones does not apply to it, its flags tell terminations from time limits"),
    ("more.npz", None, "more.npz: no such file"),
    ("--backup best", None, "best"),
    ("--proposals dice", None, "proposals must be some of"),
    ("--gap-clip 3 1", None, "gap_clip"),
    ("--n-steps 0", None, "n_steps must be a whole number, 1 or more, got 0"),
    ("--n-steps -3", None, "n_steps must be a whole number, 1 or more, got -3"),
    ("--n-steps 1.5", None, "'1.5'"),
    ("--n-steps 41", None, "n_steps 41 is longer than every episode of log.npz: the longest has 40 steps"),
    ("--n-steps 2", "shuffled", "rows do not lead to the next one"),
    ("--algo cpql", "shuffled", "without an order of time"),
    ("--n-steps 5 --trace 1.5", None, "trace must lie within [0, 1], got 1.5"),
    ("--n-steps 5 --trace 0.5 -0.1", None, "trace must lie within [0, 1], got -0.1"),
    ("--algo bc --n-steps 5", None, "bc has no n_steps, which is a setting of"),
    ("--alpha-final 1", None, "go together"),
    ("--out", None, "expected one argument"),
]


@pytest.mark.parametrize(("words", "damage", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, monkeypatch, capsys, words, damage, said):
    (tmp_path / "data").mkdir()
    data = damaged(damage)(tmp_path / "data") if damage else write_log(tmp_path / "data" / "log.npz")
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    place = [] if words == "--out" else ["--out", "out"]
    with np.errstate(all="ignore"):
        code = prudent("train", data, *place, *words.split())
    out, errors = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said in errors
    assert errors.startswith("prudent: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "runs").exists()


OTHER_MISTAKES = [
    ("fly", "unknown verb 'fly'"),
    ("trian x", "did you mean train?"),
    ("data shuffle", "data shuffle"),
    ("data describe", "required: data"),
    ("data describe nowhere.npz", "no such file"),
    ("train", "name a dataset"),
    ("train --steps 5", "name a dataset"),
    ("train no-such-task-v2", "no-such-task-v2"),
    ("train full --out full", "full"),
    ("train pendulum-mixed --out full", "full exists and is not empty"),
    ("train pendulum-mixed --out full/file/below", "full/file/below cannot be created:"),
    ("train log.npz --out /proc/nothing/here", "/proc/nothing/here cannot be created"),
    ("train --resume full", "full is not a run folder"),
    ("train --resume nowhere", "nowhere is not a run folder"),
    ("train --resume full --alpha 3", "unknown argument --alpha"),
    ("train --resume full --map map.toml", "--map says how to read data that are named here"),
    ("train --resume", "expected one argument"),
    ("train pendulum-mixd", "pendulum-mixd: no such dataset; did you mean pendulum-mixed?"),
    ("evaluate", "required: run"),
    ("evaluate nowhere", "nowhere: no such folder"),
    ("evaluate log.npz", "log.npz: a file, expected a run folder"),
    ("evaluate full", "no checkpoint here to load"),
    ("evaluate full --episodes 0", "--episodes must be 1 or more"),
    ("evaluate full --episode 3", "did you mean --episodes?"),
    ("report nowhere", "nowhere is not a run folder"),
    ("report full --compare x", "--compare takes NAME=RUN"),
    ("demo --steps 0", "steps must be a whole number"),
    ("demo --out full", "full exists and is not empty"),
]


@pytest.mark.parametrize(("words", "said"), OTHER_MISTAKES)
def test_mistakes_with_other_verbs(tmp_path, monkeypatch, capsys, words, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("something")
    write_log(tmp_path / "log.npz")
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert prudent(*words.split()) == 2
    out, errors = capsys.readouterr()
    assert said in errors
    assert out == ""
    assert errors.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    """As a user sees it: no traceback, exit code 2, nothing written."""
    command = [sys.executable, "-m", "prudent", "train", "nowhere.npz", "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "prudent: nowhere.npz: no such file\n"
    assert list(tmp_path.iterdir()) == []


NO_MEMORY = (
    "prudent: not enough memory for this, on this machine or under its ulimit -v; take smaller networks or batches\n"
)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PermissionError(13, "Permission denied", "/root/x"), 2, "prudent: /root/x: Permission denied\n"),
        (OSError(28, "No space left on device"), 2, "prudent: No space left on device\n"),
        (OSError("odd\nlines"), 2, "prudent: odd lines\n"),
        (MemoryError(), 2, NO_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nlines"), 2, NO_MEMORY),
        (KeyboardInterrupt(), 130, "prudent: interrupted\n"),
    ],
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error, code, said):
    def refuse(_words):
        raise error

    monkeypatch.setitem(cli.VERBS, "demo", refuse)
    assert prudent("demo") == code
    assert capsys.readouterr().err == said


INTERRUPTS = {
    "in a callback": (
        "thing = Thing(); ref = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT)); del thing\n"
        "    for _ in range(3000): time.sleep(0.01)",
        (130, "prudent: interrupted\n"),
    ),
    "while it ends": ("atexit.register(signal.raise_signal, signal.SIGINT)", (0, "")),
}


@pytest.mark.parametrize("when", INTERRUPTS)
def test_ctrl_c_is_one_line_or_too_late(when):
    does, ends = INTERRUPTS[when]
    script = f"""
import atexit, signal, sys, time, weakref
from prudent import cli

class Thing: ...

def verb(words):
    {does}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
cli.VERBS["demo"] = verb
sys.argv = ["prudent", "demo"]
cli.main()
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == ends


@pytest.mark.parametrize("where", ["write_status", "environment"])
def test_ctrl_c_at_once_names_the_command_that_goes_on(log, tmp_path, monkeypatch, capsys, where):
    def strike(*_args):
        raise KeyboardInterrupt

    replace_everywhere(monkeypatch, {"write_status": status, "environment": machine}[where], where, strike)
    run = tmp_path / "run"
    assert prudent("train", log, *flags("bc"), "--steps", 3, "--out", run) == 130
    assert capsys.readouterr().err == f"prudent: interrupted; go on with: prudent train --resume {run}\n"


def test_a_bug_is_not_dressed_up_as_a_mistake(monkeypatch):
    def broken(_words):
        raise KeyError("oops")

    monkeypatch.setitem(cli.VERBS, "demo", broken)
    with pytest.raises(KeyError):
        prudent("demo")


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m prudent --help | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_tiny_settings_are_valid():
    for name, settings in TINY.items():
        algorithms.get(name).Config(**settings)

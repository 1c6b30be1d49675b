"""The suite file and its mistakes."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import helpers.toys  # noqa: F401 - registers the environments
from helpers.suites import TOY, change, run
from prudent import algorithms, bench
from prudent.data import BUILTIN, load_dataset
from prudent.errors import ConfigError

pytest_plugins = ["helpers.suite_fixtures"]


def test_settings_reach_the_algorithms_that_have_them(toy):
    suite = bench.load(str(toy))
    assert (suite.name, suite.title, suite.seeds) == ("toy", "A toy", (0, 1))
    bc, cql = suite.cells
    assert (bc.name, cql.name) == ("log/bc", "log/cql")
    assert bc.members[0].config == algorithms.get("bc").Config(hidden=(8, 8), batch_size=16)
    assert cql.members[0].config == algorithms.get("cql").Config(hidden=(8, 8), batch_size=16, n_actions=2)
    assert [m.seed for m in cql.members] == [0, 1]
    assert (cql.options.steps, cql.options.env) == (20, "Pendulum-v1")


def test_a_dataset_has_settings_and_training_of_its_own(toy):
    own = "\n[dataset.train]\nsteps = 30\n[dataset.settings]\nbatch_size = 8\n[dataset.settings.cql]\nalpha = 2.0\n"
    toy.write_text(toy.read_text() + own)
    bc, cql = bench.load(str(toy)).cells
    assert (cql.options.steps, cql.options.log_every) == (30, 10)
    assert (cql.members[0].config.batch_size, cql.members[0].config.alpha, cql.members[0].config.n_actions) == (8, 2, 2)
    assert bc.members[0].config.batch_size == 8


def test_all_algorithms_for_the_kind_of_actions(toy):
    for env, discrete in (("Pendulum-v1", False), ("CartPole-v1", True)):
        text = TOY.replace('["bc", "cql"]', '"all"').replace("Pendulum-v1", env)
        toy.write_text(text.replace("[settings.cql]\nn_actions = 2\n", ""))
        expected = [name for name in algorithms.names() if algorithms.is_discrete(name) == discrete]
        if expected:
            assert [cell.algorithm for cell in bench.load(str(toy)).cells] == expected


MISTAKES = {
    "unknown key": ("seeds =", "seed =", "toy.toml: no key is called 'seed'; did you mean seeds?"),
    "unknown training": (
        "log_every",
        "log_evry",
        r"\[train\]: no setting is called 'log_evry'; did you mean log_every",
    ),
    "training of the wrong type": ("steps = 20", 'steps = "20"', r"\[train\]: steps cannot be '20'"),
    "no steps": ("steps = 20", "steps = 0", r"\[train\]: steps must be a whole number"),
    "env in train": ("steps = 20", 'env = "Pendulum-v1"', r"\[train\]: env belongs to \[\[dataset\]\]"),
    "shared setting": ("batch_size", "batch_sise", "no setting is called 'batch_sise'; did you mean batch_size?"),
    "own setting": ("n_actions", "n_action", "dataset log, cql: no setting is called 'n_action'; did you mean n_act"),
    "value out of range": ("n_actions = 2", "alpha = -1.0", "dataset log, cql: alpha must"),
    "value of the wrong type": ("n_actions = 2", 'alpha = "five"', "dataset log, cql: alpha cannot be 'five'"),
    "several values": ("n_actions = 2", "alpha = [1.0, 5.0]", "dataset log, cql: alpha takes one value in a suite"),
    "settings of none": ("[settings.cql]", "[settings.cq]", "no algorithm is called 'cq'; did you mean cql?"),
    "settings that are a number": ("[settings.cql]\nn_actions", "cql", "no setting is called 'cql'"),
    "settings of one not trained": ('"bc", "cql"', '"bc"', r"\[settings.cql\] changes nothing"),
    "unknown algorithm": ('"bc", "cql"', '"bc", "cqll"', "dataset log: unknown algorithm 'cqll'; did you mean cql?"),
    "no algorithm": ('["bc", "cql"]', "[]", "algorithms must be"),
    "algorithm twice": ('"bc", "cql"', '"cql", "cql"', "log/cql is there twice"),
    "key of a dataset": ("source =", "sources =", "dataset log: no key is called 'sources'; did you mean source?"),
    "source": ('"log.npz"', "5", "dataset log: source must be"),
    "no environment": ('env = "Pendulum-v1"\n', "", "dataset log: give env"),
    "name as a path": ('"log"', '"../log"', "name must be of letters"),
    "title": ('"A toy"', "3", "title must be text, got 3"),
    "seeds twice": ("[0, 1]", "[1, 1]", "seeds must be one or more different values"),
    "seeds of text": ("[0, 1]", '["a"]', "seeds must be whole numbers, got"),
    "seeds of fractions": ("[0, 1]", "[0.0, 1.0]", "seeds must be whole numbers, got"),
    "algorithms as text": ('["bc", "cql"]\n', '"al"\n', 'algorithms must be "all" or a list'),
    "no dataset": ("[[dataset]]", "[other]", "no key is called 'other'"),
    "no TOML": ("title =", "title", "is not TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line_before_anything_is_trained(toy, mistake, trained):
    old, new, told = MISTAKES[mistake]
    with pytest.raises(ConfigError, match=told) as error:
        run(change(toy, old, new))
    assert "\n" not in str(error.value)
    assert not trained
    assert not Path("out").exists()


def test_a_suite_that_does_not_exist():
    with pytest.raises(ConfigError, match="'quik': did you mean quick"):
        bench.load("quik")
    with pytest.raises(ConfigError, match=r"no suite and no file is called 'mine\.toml'"):
        bench.load("mine.toml")


@pytest.mark.parametrize("name", bench.shipped())
def test_shipped_suites_parse(name):
    suite = bench.load(name)
    assert suite.cells
    assert suite.title == bench.shipped()[name] != ""
    for cell in suite.cells:
        assert cell.algorithm in algorithms.names()


def test_quick_has_every_algorithm():
    suite = bench.load("quick")
    assert {cell.algorithm for cell in suite.cells} == set(algorithms.names())
    assert {data.name for data in suite.datasets} <= set(BUILTIN), "a dataset that has to be downloaded"


def test_the_suite_of_the_docs_parses():
    page = (Path(__file__).resolve().parents[2] / "docs" / "bench.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    suite = bench.parse(tomllib.loads(block), "docs", "docs/bench.md")
    alpha = {cell.name: cell.members[0].config.alpha for cell in suite.cells if cell.algorithm == "cql"}
    assert alpha == {"mine/cql": 5.0, "pendulum-mixed/cql": 1.0}


def test_a_dataset_takes_every_option_of_loading(toy):
    options = {"dones": '"truncated"', "horizon": 40, "action_low": -2, "action_high": [2], "discrete": "false"}
    options |= {"n_actions": 3, "mapping": '"map.toml"', "last_rows": '"terminated"', "recorders": 4}
    options |= {"skip_bad_episodes": "true", "first_action": 1}
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    sources = change(toy, "env =", f"{lines}env =").datasets[0].sources
    known = set(inspect.signature(load_dataset).parameters) - {"seed"}
    assert sources.keys() == known, "load_dataset knows other options"
    assert sources["source"] == [str(toy.parent / "log.npz")]


@pytest.mark.parametrize("key", ["source", "mapping"])
def test_a_name_too_long_for_a_file_is_taken_for_none(toy, key):
    told = f'{key} = "{"x" * 5000}"'
    lines = [line for line in toy.read_text().splitlines() if not line.startswith("source")]
    place = next(i for i, line in enumerate(lines) if line.startswith("name"))
    toy.write_text("\n".join([*lines[: place + 1], told, *lines[place + 1 :]]))
    assert "x" * 5000 in str(bench.load(str(toy)).datasets[0].sources)

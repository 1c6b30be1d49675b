"""What README.md and docs/ say is what the code does."""

import ast
import importlib.util
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

import prudent
from helpers.own import algorithm_file
from prudent import algorithms, cli
from prudent.engine.options import Options
from prudent.runs.metrics import METRIC_NAMES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    """The fenced blocks of one language that a person wrote."""
    by_hand = re.sub(r"<!-- generated:.*?<!-- end -->", "", text(page), flags=re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", by_hand, flags=re.DOTALL | re.MULTILINE)


def script(name):
    """A module of docs/, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_generated_parts_are_fresh(page):
    written = text(page)
    assert script("tables").render(written) == written, "the code has changed since: run make docs"


def test_the_map_shows_the_source_as_it_is():
    house = script("house")
    rooms = {room for layer in house.layers() for room in layer}
    there = {p.name for p in house.SOURCE.iterdir() if (p / "__init__.py").is_file()}
    there |= {p.stem for p in house.SOURCE.glob("*.py") if not p.stem.startswith("__")}
    assert rooms == there, "a room is missing in the import contract"
    assert house.PICTURE.read_text(encoding="utf-8") == house.picture(), "the rooms have changed since: run make docs"
    assert set(house.direct({"a": {"b", "c"}, "b": {"c"}, "c": set()})["a"]) == {"b"}


def test_every_file_is_named_by_the_face_of_its_package():
    missing = []
    for package in sorted((ROOT / "src" / "prudent").rglob("__init__.py")):
        if package.parent.name in ("prudent", "algorithms", "cli"):
            continue  # the face of the library; the registry and the verbs list their files themselves
        face = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
        names = [p.stem for p in package.parent.glob("*.py") if p.stem != "__init__"]
        missing += [f"{package.parent.name}/{name}" for name in names if name not in face]
    assert not missing, "name them in the docstring of their package's __init__.py"


def test_every_setting_is_documented():
    page = text("docs/algorithms.md")
    for name in algorithms.names():
        own = algorithms.get(name).Config
        extended = {t: n for n in algorithms.names() if (t := algorithms.get(n).Config) is not own}.get(own.__base__)
        # What extends another algorithm shows where it differs; the rest stands in that one's section.
        shared = {} if extended is None else {f.name: f.default for f in fields(own.__base__)}
        differing = [f.name for f in fields(own) if shared.get(f.name, fields) != f.default]
        marker = f"config {name}" if extended is None else f"extends {name} {extended}"
        section = page.partition(f"<!-- generated: {marker} -->")[2].partition("<!-- end -->")[0]
        missing = [setting for setting in differing if f"| `{setting}` |" not in section]
        assert f"`{name}`" in page, f"{name}: not in docs/algorithms.md"
        assert not missing, f"{name}: not in docs/algorithms.md"
    for f in fields(Options):
        assert f"| `{f.name}` |" in text("docs/training.md")


def test_every_metric_is_documented():
    missing = [name for name in METRIC_NAMES if f"| `{name}` |" not in text("docs/training.md")]
    assert not missing


def test_every_preset_has_a_source():
    from prudent.presets import PRESETS

    sources = text("docs/algorithms.md").partition("| preset | source |")[2]
    assert not [name for name in PRESETS if f"| `{name}` |" not in sources]


def test_every_test_that_is_named_exists():
    there = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = {name for page in PAGES for name in re.findall(r"`(test_\w+)`", text(page))}
    assert not [name for name in sorted(named) if f"def {name}(" not in there]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            # As GitHub makes anchors: lower case, punctuation gone, dashes for spaces.
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{page.name}: {target}"


def test_make_targets_exist():
    there = set(re.findall(r"^(\w+):", text("Makefile"), flags=re.MULTILINE))
    named = {
        target for page in PAGES for target in re.findall(r"(?:`|^ {4}|^)make (\w+)", text(page), flags=re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= there


class Understood(BaseException):
    """The command line was understood, and the work would begin."""


COMMANDS = {
    line.strip()
    for page in PAGES
    for block in blocks(page, "sh") + re.findall(r"(?:^ {4}\S.*\n)+", text(page), flags=re.MULTILINE)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip().startswith("prudent ")
}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_are_understood(command, monkeypatch, tmp_path):
    """Every command parses: the next thing is to load something."""

    def understood(*_, **__):
        raise Understood

    for place in (
        "prudent.data.load_dataset",
        "prudent.data.convert",
        "prudent.data.split",
        "prudent.training.resume.resume",
        "prudent.runs.checkpoint.load",
        "prudent.online.finetune.finetune",
        "prudent.report.read_run",
        "prudent.report.write_report",
        "prudent.cli.demo.run_demo",
        "prudent.bench.load",
        "prudent.online.collect.collect",
        "prudent.export.write.check",
        "prudent.cli.new._write",
    ):
        monkeypatch.setattr(place, understood)
    monkeypatch.chdir(tmp_path)
    # Whoever tried the documentation's commands has the data that they make.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    words = shlex.split(command, comments=True)[1:]
    if "my_cql.py" in words:
        algorithm_file(tmp_path, "my_cql")
    if words[0] in ("evaluate", "finetune", "support", "value", "export"):
        for run in (words[1], *(word.partition("=")[2] for word in words[2:] if "=" in word)):
            if not (run.startswith("--") or ".py:" in run):
                Path(run).mkdir(parents=True)
    if "--from" in words:
        Path(words[words.index("--from") + 1]).mkdir(parents=True)
    if any("rules.py:" in word for word in words):
        Path("rules.py").write_text(next(block for block in blocks("docs/value.md", "python") if "# rules.py" in block))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Understood):
        cli.main(words)
    assert sorted(tmp_path.rglob("*")) == before, "something was written"


def words_and_missing_cells(folder):
    """A table for the mapping of docs/data.md, six days of a shop."""
    mapping = next(block for block in blocks("docs/data.md", "toml") if "action_labels" in block)
    (folder / "map.toml").write_text('episode = "shop"\nreward = "profit"\nlast_rows = "truncated"\n' + mapping)
    days = ("Mon", "Thu", "Fri", "Sat", "Thu", "Sun")
    rows = [
        f"a,{stock},{day},none,S,,{order},1.5"
        for stock, day, order in zip((10, 20, 60, 0, 40, 41), days, (0, 20, 40, 60, 80, 0), strict=True)
    ]
    (folder / "log.csv").write_text("\n".join(["shop,on_hand,weekday,promo,size,demand,order,profit", *rows]))
    return prudent.load_dataset(folder / "log.csv", mapping=folder / "map.toml")


def test_the_examples_of_given_policies_run(monkeypatch, tmp_path):
    import numpy as np

    from prudent.data.builtin import datasets
    from prudent.ope import given
    from prudent.types import Spec

    examples = [block for block in blocks("docs/value.md", "python") if "def " in block]
    rules: dict = {}
    exec(next(block for block in examples if "# rules.py" in block), rules)  # noqa: S102 - our own page
    spec, observation = Spec(2, 5, discrete=True), np.array([[3.0, 1.0], [19.0, 0.0]], np.float32)
    for name in ("order_up_to", "cautious"):
        table = given.policy_of(rules[name], spec, names=["on_hand", "day"]).probability(observation, None)
        assert table.shape == (2, 5)
        np.testing.assert_allclose(table.sum(1), 1)
    data = words_and_missing_cells(tmp_path)
    table = given.policy_of(rules["before_weekends"], data.spec, encoding=data.meanings.encoding)
    assert data.meanings.encoding.names[:2] == ("on_hand", "weekday")
    chosen = table.probability(data.observation, None).argmax(1)
    assert data.meanings.encoding.label(chosen) == ["40", "80", "0", "40", "80", "0"]
    monkeypatch.setattr(datasets, "EPISODES", 8)
    exec(next(block for block in examples if "always_right" in block), {"__name__": "example"})  # noqa: S102


def test_the_usage_names_every_verb():
    for verb in cli.VERBS:
        assert re.search(rf"^  {verb}\b", cli.USAGE, flags=re.MULTILINE), verb


def test_no_page_is_forgotten_by_the_generator():
    assert "docs/tables.py" in text("Makefile")
    for page in PAGES:
        opened, closed = text(page).count("<!-- generated: "), text(page).count("<!-- end -->")
        assert opened == closed, page.name

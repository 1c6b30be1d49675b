"""The Python in README.md and docs/ runs, and the guide for researchers shows CQL as it is."""

import inspect
import re
import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

import prudent
from helpers.data_logs import model_of
from helpers.patches import leave_pictures_blank
from prudent.algorithms import cql

ROOT = Path(__file__).resolve().parents[1]
GENERATED = re.compile(r"<!-- generated: source.*?<!-- end -->", re.DOTALL)
# What would take an hour, and a number that does not.
SHORTER = {
    "steps=100_000": "steps=2",
    "steps=1000": "steps=2",
    'env="Pendulum-v1"': 'env="Pendulum-v1", eval_episodes=1',
}


@pytest.fixture
def logs(tmp_path, monkeypatch):
    """A folder with the files that the pages speak of, and the arrays."""
    monkeypatch.chdir(tmp_path)
    leave_pictures_blank(monkeypatch)
    generator = np.random.default_rng(0)
    columns = {
        "observations": generator.normal(size=(300, 3)).astype(np.float32),
        "actions": generator.uniform(-1, 1, size=(300, 1)).astype(np.float32),
        "rewards": generator.normal(size=300).astype(np.float32),
    }
    ends = np.arange(1, 301) % 50 == 0
    np.savez("logs.npz", next_observations=columns["observations"] + 1, dones=ends, **columns)
    for name in ("hopper-medium.hdf5", "hopper-expert.hdf5"):
        with h5py.File(name, "w") as file:
            for key, column in {**columns, "terminals": np.zeros(300, dtype=bool), "timeouts": ends}.items():
                file[key] = column
    return columns


def python(page):
    """The blocks of Python that a person wrote in a page."""
    text = GENERATED.sub("", (ROOT / page).read_text(encoding="utf-8"))
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def toml(page):
    """The blocks of TOML in a page."""
    return re.findall(r"^```toml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def run(code, **names):
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    names = {"prudent": prudent, **names}
    exec(code, names)  # noqa: S102 - the project's own pages
    return names


def test_the_six_lines_run(logs):
    (code,) = python("README.md")
    assert len(code.strip().splitlines()) == 6
    names = run(code)
    assert names["action"].shape == (1,)
    assert names["agent"].names == ["seed=0", "seed=1", "seed=2"]
    observation = logs["observations"][:5]
    again = prudent.load("run")
    np.testing.assert_array_equal(again.predict(observation), names["agent"].predict(observation))


def shop(path):
    """A policy that learned from a table with words in it, by the mapping of docs/data.md."""
    rng = np.random.default_rng(0)
    rows = [
        f"{row // 5},{row},{rng.choice(['Mon', 'Tue'])},{rng.choice(['none', 'flyer'])},{rng.choice(['S', 'L'])},"
        f"{rng.uniform(5, 20) if row % 3 else ''},{rng.choice([0, 20, 40, 60, 80])},1"
        for row in range(60)
    ]
    path.write_text("\n".join(["id,on_hand,weekday,promo,size,demand,order,profit", *rows]))
    (mapping,) = (code for code in toml("docs/data.md") if "[categories]" in code)
    Path("map.toml").write_text(f'episode = "id"\nreward = "profit"\n{mapping}')
    data = prudent.load_dataset(path, mapping="map.toml")
    return prudent.DiscreteCQL(hidden=(8, 8), batch_size=8).fit(data, steps=1, progress=False)


@pytest.mark.parametrize("page", ["docs/data.md", "docs/training.md"])
def test_the_docs_run(logs, page):
    for code in python(page):
        run(
            code,
            data=prudent.load_dataset("logs.npz"),
            observation=logs["observations"][0],
            action=logs["actions"][0],
            agent=shop(Path("shop.csv")),
            model=model_of(ROOT / "tests" / "fixtures" / "sb3_two_environments.npz"),
        )


def test_the_excerpt_is_the_source():
    (excerpt,) = re.findall(
        r"```python\n(.*?)\n    \.\.\.\n```",
        GENERATED.search((ROOT / "docs" / "guides" / "researcher.md").read_text(encoding="utf-8"))[0],
        flags=re.DOTALL,
    )
    assert excerpt in inspect.getsource(cql.conservative_loss)
    assert len(excerpt.splitlines()) <= 25, "one screen"


def test_the_readme_is_one_screen():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert sum(line.startswith("![") for line in lines) == 1


def test_every_extra_is_named():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(named) == sorted(declared), (
        "the table of extras in docs/install.md is not what pyproject.toml declares"
    )

"""Every runnable block of the docs runs, with fewer steps and smaller logs; `make site` runs them as they are."""

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from docs.website import blocks, sources

from helpers.patches import leave_pictures_blank
from helpers.tunings import deployed
from prudent import cli

PAGES = [path for path in sorted((sources.ROOT / "docs").rglob("*.md")) if blocks.marked(path.read_text("utf-8"))]
# What takes a minute, and what takes a second.
SHORTER = [
    (r"(--(?:rank-|final-)?steps) \d+", r"\1 4"),
    (r"--eval-every \d+", "--eval-every 4 --eval-episodes 1"),
    (r"\bsteps=\d+", "steps=4"),
    (r"\b(steps|eval_every|log_every) = [\d_]+", r"\1 = 4"),
    (r"eval_episodes = \d+", "eval_episodes = 1"),
    (r"range\((?:120|250)\)", "range(40)"),
    (r"range\((?:300|400)\)", "range(2)"),
    (r"prudent value ", "prudent value --n-bootstrap 0 --behaviour-steps 5 --members 1 "),
    (r"seen=train\)", "seen=train, steps=4, behaviour_steps=5, members=1, n_bootstrap=0)"),
]


def shorter(code):
    for long, short in SHORTER:
        code = re.sub(long, short, code)
    return code


def shell(code):
    """A shell block in this process, where PyTorch is imported already. Output goes to a file or nowhere."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        if words[0] == "prudent":
            parts = re.match(r"prudent (?P<words>.*?)(?: > (?P<file>\S+))?(?: 2> \S+)?(?: \|.*)?$", line)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = cli.main(shlex.split(parts["words"]))
            assert code in (0, None), line
            if parts["file"]:
                with open(parts["file"], "w") as file:
                    file.write(printed.getvalue())
        else:
            words[0] = sys.executable if words[0] == "python" else words[0]
            subprocess.run(["bash", "-euo", "pipefail", "-c", shlex.join(words)], check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_runnable_blocks_run(page, tmp_path, monkeypatch, capsys):
    shutil.copytree(sources.ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "act", raising=False)
    leave_pictures_blank(monkeypatch)
    names = {"__name__": "__page__"}
    text = page.read_text(encoding="utf-8")
    # After four steps nothing is better than the log, and the page goes on with the policy that is kept.
    with deployed() if "prudent tune" in text else contextlib.nullcontext():
        for block in blocks.marked(text):
            code = shorter(block.code)
            shell(code) if block.language == "sh" else exec(code, names)  # noqa: S102 - the project's own pages
            assert all((tmp_path / name).is_file() for name in block.pictures)
    sys.modules.pop("act", None)
    assert capsys.readouterr().out


def test_there_are_four_tutorials():
    tutorials = {path.stem for path in PAGES if path.parent.name == "tutorials"}
    assert {"csv", "benchmark", "masks", "export"} <= tutorials


def test_no_block_looks_marked_and_is_not():
    """A word after the language of a block is `run`, or an option of it."""
    for page in sorted((sources.ROOT / "docs").rglob("*.md")):
        for words in re.findall(r"^`{3,}(\w+ [^\n`]+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            language, *rest = words.split()
            assert language in blocks.LANGUAGES, f"{page.name}: {words}"
            assert rest[0] == "run", f"{page.name}: {words}"
            assert all(word.startswith("picture=") for word in rest[1:]), f"{page.name}: {words}"

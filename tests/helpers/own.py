"""Algorithms of a user's own, as files, and packages that are installed for one test."""

import sys
from importlib import resources
from pathlib import Path

SMALL = ["--steps", "4", "--batch-size", "8", "--hidden", "8", "8", "--device", "cpu", "--threads", "1"]


def algorithm_file(folder: Path, name: str = "mine", more: str = "", **edits: str) -> Path:
    """What ``prudent new algorithm NAME`` writes, with ``more`` at its end; ``edits`` replace words."""
    text = (resources.files("prudent.testing") / "template.py").read_text(encoding="utf-8")
    text = text.replace("MyAlgorithm", name.capitalize())
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.py"
    path.write_text(text + more, encoding="utf-8")
    return path


def installed(folder: Path, monkeypatch, points: dict[str, dict[str, str]], code: dict[str, str]) -> None:
    """Install a package ``somebody`` 1.2 for this test: its entry points by group and name, its modules by name."""
    site = folder / "site"
    about = site / "somebody-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.2\n")
    lines = [
        line for group, names in points.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, text in code.items():
        (site / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(site))

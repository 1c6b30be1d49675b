"""Whether version, CITATION.cff and CHANGELOG.md say the same."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^## \[(?P<version>\d+\.\d+\.\d+)\](?P<date> - \d{4}-\d{2}-\d{2})?\s*$", re.MULTILINE)


def faults(root: Path = ROOT) -> list[str]:
    """One line for each disagreement."""
    version = _found(root / "src" / "prudent" / "version.py", r'^__version__ = "(.+)"$')
    cited = _found(root / "CITATION.cff", r"^version: (.+)$")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = []
    if cited != version:
        found.append(f"CITATION.cff is of {cited}, src/prudent/version.py says {version}")
    headings = list(HEADING.finditer(changes))
    found += [f"CHANGELOG.md: [{one['version']}] has no date (- YYYY-MM-DD)" for one in headings if not one["date"]]
    versions = [one["version"] for one in headings]
    if versions and versions[0] != version:
        found.append(f"CHANGELOG.md: the newest release is {versions[0]}, src/prudent/version.py says {version}")
    if versions != sorted(versions, key=_order, reverse=True):
        found.append("CHANGELOG.md: its releases are not in order, the newest first")
    names = re.findall(r"^## \[(.+?)\]", changes, re.MULTILINE)
    if "Unreleased" in names[1:]:
        found.append("CHANGELOG.md: [Unreleased] does not come first")
    if not versions and "Unreleased" not in names:
        found.append("CHANGELOG.md has neither a release nor [Unreleased]")
    return found + _classifiers(root)


def unreleased(root: Path = ROOT) -> bool:
    """Whether the changelog has changes that belong to no release yet."""
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = changes.partition("## [Unreleased]")[2]
    return bool(re.split(r"^## \[", section, flags=re.MULTILINE)[0].strip())


def _classifiers(root: Path) -> list[str]:
    """The oldest supported Python is named both as a bound and as a classifier, and so are all that are newer."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    pythons = [name.rpartition(" ")[2] for name in project["classifiers"] if "Python :: 3." in name]
    ordered = sorted(pythons, key=_order)
    if not pythons or ordered[0] != oldest:
        return [f"pyproject.toml: requires-python is >={oldest}, the classifiers begin with {ordered[:1]}"]
    minors = [_order(name)[1] for name in ordered]
    if minors != list(range(minors[0], minors[-1] + 1)):
        return [f"pyproject.toml: the classifiers skip a Python: {', '.join(ordered)}"]
    return []


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _found(path: Path, pattern: str) -> str:
    match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else f"nothing ({path.name} has no version)"

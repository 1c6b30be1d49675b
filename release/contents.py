"""What must be in the wheel and in the sdist, and what must not."""

import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

from release.agreement import ROOT

SDIST = ("README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "pyproject.toml", "constraints.txt", "Makefile")
UNWANTED = ("__pycache__", ".venv", ".git/", "build/", ".pyc")


def faults(wheel: Path, sdist: Path) -> list[str]:
    """One line for each thing that is missing or too much."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(archive.read(next(n for n in names if n.endswith("METADATA"))).decode("utf-8"))
        program = archive.read(next(n for n in names if n.endswith("entry_points.txt"))).decode("utf-8")
    source = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*") if path.is_file()}
    source = {name for name in source if "__pycache__" not in name}
    found = [f"{wheel.name} lacks {name}" for name in sorted(source - {*names})]
    added = [name for name in names if name.startswith("prudent/") and name not in source]
    found += [f"{wheel.name} has {name}, which is not in src/" for name in added]
    if "prudent/py.typed" not in names:
        found.append(f"{wheel.name} lacks prudent/py.typed")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        found.append(f"{wheel.name} lacks the licence")
    if "prudent = prudent.cli:main" not in program:
        found.append(f"{wheel.name} installs no program prudent")
    if not (metadata.get_payload() or "").startswith("# prudent"):  # type: ignore[union-attr]
        found.append(f"{wheel.name} has no description")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    found += [f"{sdist.name} lacks {name}" for name in SDIST if name not in packed]
    found += [f"{sdist.name} lacks src/{name}" for name in sorted(source) if f"src/{name}" not in packed]
    both = [*((wheel.name, name) for name in names), *((sdist.name, name) for name in packed)]
    return found + [f"{file} has {name}" for file, name in both if any(part in name for part in UNWANTED)]

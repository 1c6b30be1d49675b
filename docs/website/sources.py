"""Which file of the repository becomes which page of the site."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "licence.txt",
    "CITATION.cff": "citation.cff",
}
"""Files outside of ``docs/`` that are part of the site, and what they are called there."""


def staged() -> dict[Path, str]:
    """Every file that becomes a page or stands beside one: its path in the repository, and its name in the site."""
    docs = ROOT / "docs"
    files = {ROOT / source: page for source, page in FILES.items()}
    files |= {path: path.relative_to(docs).as_posix() for path in sorted(docs.rglob("*.md"))}
    files |= {path: path.relative_to(docs).as_posix() for path in sorted((docs / "images").iterdir())}
    return files | {docs / "website" / name: name for name in ("style.css", "iframe-worker.js")}


def examples() -> str:
    """A page with all example programs."""
    parts = ["# Examples", "Programs in the folder `examples/` of the repository, as they are there."]
    for path in sorted((ROOT / "examples").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        parts += [f"## {path.name}", first, f"````python\n{source}````"]
    return "\n\n".join(parts) + "\n"


def page_of(target: Path, anchor: str) -> tuple[str, str] | None:
    """The page and the anchor that show a file or folder of the repository; None if the site has none."""
    pages = staged()
    if target in pages:
        return pages[target], anchor
    try:
        parts = target.relative_to(ROOT).parts
    except ValueError:
        return None
    if parts[:1] == ("examples",):
        return "examples.md", "".join(parts[1:]).replace(".", "")
    if parts[:2] == ("src", "prudent") and len(parts) > 2:
        from docs.website import api

        return api.place_of(".".join(parts[1:]).removesuffix(".py").removesuffix(".__init__"))
    return None


def repository() -> str | None:
    """The address of the repository, if ``pyproject.toml`` declares one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url.rstrip("/") for name, url in project.get("urls", {}).items()}
    return next((urls[name] for name in ("repository", "source", "source code") if name in urls), None)

"""Build the site: ``python -m docs.website`` (``make site``). It lies in ``build/site`` and opens without a server."""

import argparse
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from docs.website import api, blocks, built, markdown, sources

TOOLS = {"material": "mkdocs-material", "mkdocstrings_handlers": "mkdocstrings[python]", "latex2mathml": "latex2mathml"}
BUILD = sources.ROOT / "build"


def main(words: list[str] | None = None) -> int:
    """The exit code: 1 if the site has a fault, 2 if a tool is missing."""
    parser = argparse.ArgumentParser(prog="python -m docs.website", description="Build the documentation site.")
    parser.add_argument("--without-tutorials", action="store_true", help="leave the runnable blocks as they are")
    parser.add_argument("--out", type=Path, default=BUILD, help="folder for the pages and the site (default: build)")
    asked = parser.parse_args(words)
    missing = [package for module, package in TOOLS.items() if find_spec(module) is None]
    if missing:
        print(f"make site needs {', '.join(missing)}: pip install -c constraints.txt -e '.[docs]'", file=sys.stderr)
        return 2
    folder = asked.out.absolute()
    try:
        stage(folder, run=not asked.without_tutorials)
    except (markdown.DeadLinkError, blocks.BlockError) as error:
        print(error, file=sys.stderr)
        return 1
    faults = mkdocs(folder) or built.faults(folder / "site")
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"open {os.path.relpath(folder / 'site' / 'index.html')}")
    return 1 if faults else 0


def stage(folder: Path, run: bool) -> None:
    """Write every page to ``folder/pages``, and MkDocs' settings beside it."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for source, name in sources.staged().items():
        target = pages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix != ".md":
            shutil.copyfile(source, target)
            continue
        text = markdown.page(source.read_text(encoding="utf-8"), source, name)
        if blocks.marked(text):
            text = blocks.executed(text, target, folder / "tutorials") if run else blocks.plain(text)
        if name == "index.md":
            text = f"---\nhide: [navigation]\n---\n\n{text}"
        target.write_text(text, encoding="utf-8")
    (pages / "examples.md").write_text(sources.examples(), encoding="utf-8")
    api.stage(pages)
    settings = (sources.ROOT / "docs" / "website" / "mkdocs.yml").read_text(encoding="utf-8")
    entries = "".join(f"\n      - {title}: {name}" for title, name in api.navigation())
    settings = settings.replace("  - API: []", f"  - API:{entries}").replace("../", f"{sources.ROOT}/")
    (folder / "mkdocs.yml").write_text(settings, encoding="utf-8")


def mkdocs(folder: Path) -> list[str]:
    """Build ``folder/site``; returns what MkDocs complains of."""
    shutil.rmtree(folder / "site", ignore_errors=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(folder / "mkdocs.yml")]
    # The theme announces another project at each build.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=sources.ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    complaints = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("INFO")]
    return complaints or (["mkdocs failed"] if done.returncode else [])


if __name__ == "__main__":
    sys.exit(main())
